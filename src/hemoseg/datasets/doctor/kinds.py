"""Every kind of defect that `check` knows: its code, how bad it is, what it means and what to do about it.

Codes are a contract: scripts may rely on them. docs/reference/check-codes.md is the same table, which a test holds to
this one.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The worst first."""

_CONVERT = "convert the scan again from its DICOM series, for example with dcm2niix"
_LOOK = "look at image and label in a viewer"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of defect."""

    code: str
    """Its name: lower case and hyphens."""
    severity: Severity
    """`error`: training cannot use the case; `warning`: results may suffer; `note`: good to know."""
    meaning: str
    """What it is, in one sentence without a stop."""
    remedy: str
    """What to do about it."""
    repair: str = ""
    """What `--fix` does about it; empty if that is not certain."""


_DATA_SET = (
    Kind("no-description", "error", "There is no dataset.json", "write it: see the nnU-Net v2 data set format"),
    Kind(
        "description",
        "error",
        "dataset.json is no JSON object with channel_names, labels, numTraining and file_ending",
        "mend the file: see the nnU-Net v2 data set format",
    ),
    Kind("channels", "error", "channel_names does not name one channel", "keep the CT channel alone"),
    Kind(
        "label-table",
        "error",
        "labels is no table of class names with background 0 and the others 1, 2, … without a gap, or regions lack "
        "an order",
        "give every class a number of its own, in dataset.json and in the label files; regions need "
        "regions_class_order",
    ),
    Kind("file-ending", "error", "file_ending is neither .nii.gz nor .nii", "convert images and labels to NIfTI"),
    Kind(
        "case-count",
        "error",
        "numTraining is not the number of cases",
        "find the missing cases, or correct numTraining",
        "numTraining becomes the number of cases that have both files",
    ),
    Kind("no-cases", "error", "No case has an image and a label", "check file_ending and the folders"),
    Kind(
        "image-name",
        "error",
        "The name of an image does not end in _0000, the number of the one channel",
        "rename it, or move it out of imagesTr",
    ),
    Kind("label-missing", "error", "An image has no label", "add the label, or move the image out of imagesTr"),
    Kind("image-missing", "error", "A label has no image", "add the image, or move the label out of labelsTr"),
    Kind(
        "surplus-file", "note", "imagesTr or labelsTr holds a file that is not read", "none if it is meant to lie there"
    ),
    Kind(
        "patients",
        "error",
        "patients.csv does not give each case one patient",
        "correct the file, or remove it if every case is a patient of its own",
    ),
    Kind(
        "record",
        "error",
        "hemoseg.json is damaged or of another version",
        "import the data set again, or delete the file to go without it",
    ),
    Kind(
        "record-differs",
        "warning",
        "hemoseg.json names a case or slice that is not there, or the label contradicts it",
        "import the data set again, or correct hemoseg.json",
    ),
    Kind(
        "pseudo-hu",
        "note",
        "hemoseg.json says that intensities were rebuilt from windowed pictures",
        "none; a model trained on them suits such pictures, not true HU",
    ),
    Kind(
        "class-name",
        "note",
        "A class has no agreed meaning",
        "rename the class in dataset.json if one of the known names fits",
    ),
    Kind(
        "class-absent",
        "warning",
        "No label holds a class of the table",
        "remove the class from dataset.json, or add cases that have it: it cannot be learned",
    ),
    Kind("all-empty", "error", "All labels are empty", "check that the labels are the right files"),
)
_FILES = (
    Kind(
        "unreadable",
        "error",
        "A file cannot be read as NIfTI",
        "copy the file again; if that does not help, " + _CONVERT,
    ),
    Kind(
        "gzip-damaged",
        "error",
        "The gzip stream is cut short or damaged",
        "copy the file again; `gzip -t` tells whether it is whole",
    ),
    Kind(
        "header-size",
        "error",
        "The header asks for more than the file holds, or than a head needs",
        "copy the file again: it was cut short, or its header is damaged",
    ),
    Kind("voxel-type", "error", "The voxels are no plain numbers (colors, complex numbers, bits)", _CONVERT),
    Kind("four-d", "error", "The file holds several volumes", "split the file, and keep the non-contrast volume"),
    Kind(
        "extra-axis",
        "note",
        "The header has a fourth axis of length 1",
        "none for hemoseg; other programs may take the file for a series",
        "the axis is dropped",
    ),
    Kind("single-slice", "error", "The file is no stack of slices", "convert the whole series to one volume"),
    Kind(
        "matrix",
        "error",
        "The position matrix is not finite or singular, or voxels have an impossible size",
        _CONVERT,
    ),
    Kind(
        "unit-wrong",
        "error",
        "The header's unit of length contradicts its numbers, which suit a head in another unit alone",
        "set the unit, or the lengths, to millimeters",
        "unit and lengths become millimeters",
    ),
    Kind(
        "unit-not-mm",
        "warning",
        "Lengths are given in another unit than millimeters",
        "write the header in millimeters: many programs do not look at the unit",
        "lengths are converted to millimeters",
    ),
    Kind(
        "no-frame",
        "warning",
        "The header does not say how the head lies (sform and qform codes are 0)",
        _CONVERT + "; left and right cannot be told apart",
    ),
    Kind(
        "frames-differ",
        "warning",
        "sform and qform put the voxels in different places",
        "find out which is right and write it to both: programs differ in which they use, hemoseg takes the sform",
    ),
    Kind(
        "sheared",
        "warning",
        "The voxel grid is sheared, as a tilted gantry leaves it",
        "none for hemoseg; many programs ignore shear",
    ),
    Kind(
        "no-voxel-sizes",
        "warning",
        "A voxel size of the header (pixdim) is 0 or not finite, beside a sound matrix",
        "write the sizes of the matrix to pixdim: nnU-Net, and models imported from it, take 1 for them",
    ),
    Kind(
        "negative-voxel-sizes",
        "warning",
        "A voxel size of the header (pixdim) is below 0",
        "find out which way the axis runs and write its size without sign: hemoseg and nibabel leave out the sign, "
        "programs built on ITK mirror the axis",
    ),
    Kind(
        "voxel-sizes-differ",
        "warning",
        "The header's voxel sizes (pixdim) are not those of its sform",
        "find out which are right and write them to both: hemoseg measures by the sform, nnU-Net by pixdim",
    ),
    Kind(
        "surplus-bytes",
        "warning",
        "The file holds more data than its header says",
        "check that the header is that of this file; the surplus is not read",
    ),
    Kind("pixels-not-square", "note", "Pixels are not square", "none: spacing is taken from the header on each axis"),
)
_PAIRS = (
    Kind(
        "shape-differs",
        "error",
        "Image and label have different shapes",
        "resample the label onto the image's grid with nearest neighbors",
    ),
    Kind(
        "spacing-differs",
        "error",
        "Image and label have different spacings",
        _LOOK + "; if the voxels match, copy the image's header to the label",
    ),
    Kind(
        "place-differs",
        "error",
        "Image and label lie in different places, or are turned against each other",
        _LOOK + "; if the voxels match, copy the image's header to the label",
    ),
    Kind(
        "frame-rounding",
        "note",
        "The frames of image and label differ by a rounding error",
        "none for hemoseg; programs that compare headers strictly refuse the case",
        "the label gets the image's frame",
    ),
)
_IMAGES = (
    Kind(
        "not-finite",
        "error",
        "The image holds NaN or infinite values",
        "convert the scan again, or set these voxels to -1024",
    ),
    Kind("constant", "error", "All voxels of the image have the same value", "look at the file: it is empty"),
    Kind(
        "offset",
        "error",
        "Values are raised by about 1024: the rescale intercept was left out",
        "subtract 1024 (or the series' RescaleIntercept), or " + _CONVERT,
    ),
    Kind(
        "wraparound",
        "error",
        "Negative HU wrapped around to values beyond bone, at 4096 (12 bits) or 65536 (16 bits)",
        "subtract 4096 (or 65536) from all values above 2048 (or 32767), or " + _CONVERT,
    ),
    Kind("not-hu", "error", "Values are no HU", "export HU from the DICOM series, for example with dcm2niix"),
    Kind(
        "clipped",
        "warning",
        "HU are clipped from below: air, and perhaps fat and bone, were cut off",
        "export full HU if you can; a model trained on these suits scans that are clipped alike",
    ),
    Kind(
        "padding",
        "warning",
        "Values below -1024 fill what lies outside of the scanned circle; they would bend percentiles and means",
        "none for hemoseg, which sets them to -1024; other programs count them as intensities",
        "what lies below -1024 becomes -1024",
    ),
    Kind(
        "zero-fill",
        "warning",
        "Exact zeros fill a part of the image, as a mask or a resampling leaves them: 0 HU is water",
        "fill with -1024 instead of 0",
    ),
    Kind(
        "coarse-values",
        "warning",
        "HU come in steps of more than 1, as an 8-bit export leaves them",
        "export full HU if you can; differences below the step are lost",
    ),
    Kind(
        "brain-hu",
        "warning",
        "The commonest HU of soft tissue is implausible for a brain",
        "check the rescale intercept, the calibration, and whether contrast was given",
    ),
    Kind(
        "slices-reversed",
        "warning",
        "The head stands upside down in the header's frame: slices are stored in reverse",
        _LOOK + "; reverse the slices of the image, and of the label too if it fits it, or " + _CONVERT,
    ),
    Kind(
        "rows-reversed",
        "warning",
        "The face looks backward in the header's frame: rows are stored in reverse, or the scan was prone",
        _LOOK + "; if the patient lay on the back, correct the header, or " + _CONVERT,
    ),
    Kind(
        "slices-shuffled",
        "warning",
        "Slices are out of order: another order of neighbors fits clearly better",
        "sort the slices by their position; " + _CONVERT,
    ),
    Kind("slice-repeated", "warning", "Neighboring slices are equal", "remove the copy; " + _CONVERT),
    Kind("slice-blank", "warning", "A slice inside the head is blank", "find the missing slice; " + _CONVERT),
    Kind(
        "field-changes",
        "warning",
        "The scanned circle changes its size from slice to slice: parts with different fields of view were joined",
        "separate the parts, or resample them to one field of view",
    ),
)
_LABELS = (
    Kind(
        "label-values",
        "error",
        "The label holds numbers that dataset.json does not name",
        "map the values to the numbers of dataset.json",
    ),
    Kind(
        "label-255",
        "error",
        "The label is a 0/255 mask",
        "divide by 255",
        "255 becomes 1 if dataset.json names one foreground class",
    ),
    Kind(
        "label-fractions",
        "error",
        "The label holds numbers that are not whole",
        "resample label maps with nearest neighbors; turn probabilities into classes first",
    ),
    Kind(
        "label-float",
        "note",
        "Whole class numbers are stored as floats, or with a scale",
        "none for hemoseg; store labels as uint8 without scale for other programs",
        "the label is stored as uint8",
    ),
    Kind("label-empty", "note", "The label is empty", "none, if this patient has no bleed; else the label is missing"),
    Kind("label-in-air", "warning", "Much of a class lies in air or fat", _LOOK + ": label and image may not match"),
    Kind("label-in-bone", "warning", "Much of a class lies in bone", _LOOK + ": label and image may not match"),
    Kind(
        "label-in-padding",
        "warning",
        "Labeled voxels are padding, which enters the intensity statistics of the foreground",
        _LOOK + ": label and image may not match",
    ),
    Kind(
        "label-islands",
        "note",
        "Single labeled voxels stand alone",
        _LOOK + "; remove what is a slip: each counts as a lesion",
    ),
    Kind(
        "label-mirrored",
        "warning",
        "Blood lies under the mirrored label, not under the label",
        _LOOK + "; turn the label as the text says",
    ),
)
_COHORT = (
    Kind(
        "duplicate",
        "warning",
        "The same image has several names and patients",
        "keep one, or give them one patient in patients.csv: they must not part into two folds",
    ),
    Kind(
        "near-duplicate",
        "warning",
        "Two images are nearly equal: probably one scan of one patient under two names",
        "keep one, or give them one patient in patients.csv: they must not part into two folds",
    ),
    Kind(
        "orientations",
        "note",
        "Array axes run in different ways",
        "none: scans are brought to one orientation before training",
    ),
    Kind(
        "spacings",
        "note",
        "Spacing varies over the data set",
        "none: scans are resampled to one spacing before training",
    ),
    Kind(
        "field-of-view",
        "note",
        "The field of view varies over the data set",
        "none if all scans show whole heads; look at those at the ends of the range",
    ),
)
KINDS = {kind.code: kind for kind in (*_DATA_SET, *_FILES, *_PAIRS, *_IMAGES, *_LABELS, *_COHORT)}
"""{code: kind}, in the order of the reference."""
