"""What is measured of one case."""

from math import fsum, prod

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.anatomy import AIR_HU, box_shape, head_box
from hemoseg.arrays import Float64, Real
from hemoseg.components import CORNERS, Box, find_runs
from hemoseg.datasets.histogram import Histogram
from hemoseg.io import RawScan
from hemoseg.labels import LabelTable
from hemoseg.types import FloatZYX, IntZYX, LabelMap, Mask

Numbers = Real[np.ndarray, "z y x"]
"""HU as a file stores them, axes (z, y, x)."""

BRAIN_HU = (15, 50)
"""Range in which the mode of brain tissue is looked for: white matter has 20 to 30, gray matter 37 to 45; below lies
cerebrospinal fluid, above fresh blood."""
SMOOTH_HU = 5
"""Width of the moving average over the histogram of brain: wide enough for the noise of counts."""
EVERY_ROW = 4
"""Of this many rows one is counted: a quarter of a brain's voxels gives the same mode in a quarter of the time."""
LEAST_BRAIN_ML = 20.0
"""Less tissue than this within `BRAIN_HU` is no brain: it has 1000 to 1500 ml."""


class CaseFacts(BaseModel):
    """What was measured of one case.

    Axes are (z, y, x). Those of `shape`, `spacing_mm`, `head_box` and `head_shape` run to superior, posterior and
    left; those named `stored` or `nonzero` run as the file has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the case."""
    patient: str
    """Whom it belongs to."""
    source_sha256: str
    """SHA-256 of image and label file, joined and hashed."""
    shape: IntZYX
    """Voxels."""
    spacing_mm: FloatZYX
    """Distance between voxel centers."""
    slice_interval_mm: FloatZYX
    """Smallest, median and largest thickness that a slice stands for."""
    stored_shape: IntZYX
    """Voxels, axes as stored."""
    stored_spacing_mm: FloatZYX
    """Spacing, axes as stored, to the bit as nnU-Net reads it."""
    nonzero_shape: IntZYX
    """Voxels of the bounding box of what is not 0, axes as stored: nnU-Net's crop."""
    nonzero_share: float
    """Share of the voxels that this box holds."""
    head_box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """First voxel of the head's bounding box and one beyond its last, along each axis."""
    head_shape: IntZYX
    """Voxels of the head's bounding box."""
    hu_min: float
    """Smallest HU; padding counts as -1024."""
    hu_max: float
    """Largest HU."""
    brain_mode_hu: float | None
    """Most frequent HU of unlabeled brain tissue; None where no peak is to be seen."""
    class_ml: dict[str, float]
    """Milliliters of each foreground class."""
    shared_ml: float = 0.0
    """How much more these are together than what is labeled: regions may share voxels."""
    class_mean_hu: dict[str, float]
    """Mean HU of each foreground class that is present."""
    lesions_ml: dict[str, tuple[float, ...]]
    """Milliliters of each lesion (26-connected component) of each foreground class, the largest first."""
    ignored_share: float = 0.0
    """Share of the voxels that nobody labeled."""
    warnings: tuple[str, ...]
    """Doubts of the reader."""

    @property
    def labeled_ml(self) -> float:
        """Milliliters of all foreground; what classes share counts once."""
        return sum(self.class_ml.values()) - self.shared_ml


def measure_case(
    scan: RawScan, labels: LabelMap, table: LabelTable, *, name: str, patient: str, source_sha256: str
) -> tuple[CaseFacts, Histogram]:
    """Measure one case: its facts, and its foreground voxels for the statistics of the data set. Pure.

    Ignored voxels belong to no class and no lesion. In the histogram they count, as they do for nnU-Net, whose
    foreground is all that is above 0: its statistics are the only ones that are made of it.

    Args:
        scan: the scan as stored.
        labels: class numbers on its voxels.
        table: names of the classes.
        name: name of the case.
        patient: whom it belongs to.
        source_sha256: hash of its files.
    """
    orientation = scan.grid.canonical_orientation()
    turned, grid = orientation.apply(scan.hu), scan.grid.reoriented(orientation)
    box, nonzero = head_box(turned), filled_box(scan.hu)
    weights = np.sort([part.weight_mm for part in scan.slices])
    labeled = filled_box(labels)
    masks = {name: table.mask(labels[labeled], name) for name in table.members}
    lesions = {name: _lesions_ml(mask, scan, labeled[0].start) for name, mask in masks.items()}
    values = {name: scan.hu[labeled][mask] for name, mask in masks.items()}
    shared_ml = 0.0
    if table.regions:
        every = _lesions_ml(table.mask(labels[labeled], *table.members), scan, labeled[0].start)
        shared_ml = round(fsum(ml for parts in lesions.values() for ml in parts) - fsum(every), 4)
    z, y, x = scan.hu.shape
    facts = CaseFacts(
        name=name,
        patient=patient,
        source_sha256=source_sha256,
        shape=grid.shape,
        spacing_mm=grid.rounded_spacing_mm,
        slice_interval_mm=(_rounded(weights[0]), _rounded(_middle(weights)), _rounded(weights[-1])),
        stored_shape=(z, y, x),
        stored_spacing_mm=scan.stored_spacing_mm,
        nonzero_shape=box_shape(nonzero),
        nonzero_share=prod(box_shape(nonzero)) / prod((z, y, x)),
        head_box=(_range(box[0]), _range(box[1]), _range(box[2])),
        head_shape=box_shape(box),
        hu_min=max(float(scan.hu.min()), float(AIR_HU)),
        hu_max=float(scan.hu.max()),
        brain_mode_hu=brain_mode_hu(turned[box], orientation.apply(labels)[box], voxel_ml=grid.voxel_ml),
        class_ml={n: round(fsum(parts), 4) for n, parts in lesions.items()},
        shared_ml=shared_ml,
        class_mean_hu={n: round(float(v.mean(dtype=np.float64)), 2) for n, v in values.items() if len(v)},
        lesions_ml={n: tuple(sorted((round(part, 4) for part in parts), reverse=True)) for n, parts in lesions.items()},
        ignored_share=0.0 if table.ignore is None else np.count_nonzero(labels == table.ignore) / labels.size,
        warnings=scan.warnings,
    )
    both = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(nonzero, labeled, strict=True))
    return facts, Histogram.of(scan.hu[both][labels[both] > 0])


def filled_box(array: Numbers) -> Box:
    """The bounding box of what is not 0; the whole array if all is 0.

    nnU-Net fills holes of its non-zero mask before it takes the box, which no hole can change. Planes are taken away
    from both ends of each axis, so an image without a border of zeros costs six planes.
    """
    box = [slice(0, size) for size in array.shape]
    for axis in range(3):
        rest = array[box[0], box[1], box[2]]
        planes = np.moveaxis(rest, axis, 0)
        if axis and not planes[0].any():  # much to take away: look at all slices as one, and at all its lines at once
            filled = np.flatnonzero(np.any(np.any(rest, axis=0), axis=2 - axis))
            box[axis] = slice(int(filled[0]), int(filled[-1]) + 1)
            continue
        low = next((index for index in range(len(planes)) if planes[index].any()), None)
        if low is None:
            break
        high = next(index for index in reversed(range(len(planes))) if planes[index].any())
        box[axis] = slice(low, high + 1)
    return box[0], box[1], box[2]


def brain_mode_hu(hu: Numbers, labels: LabelMap, *, voxel_ml: float) -> float | None:
    """The most frequent HU of brain, after a moving average over `SMOOTH_HU`; of every fourth row, which suffice.

    None if the histogram has no peak inside `BRAIN_HU`, or too little lies there.

    Args:
        hu: the head, axes (z, y, x).
        labels: class numbers on its voxels; labeled and ignored ones are left out.
        voxel_ml: volume of a voxel.
    """
    reach = SMOOTH_HU // 2
    low, high = BRAIN_HU[0] - reach, BRAIN_HU[1] + reach
    counts = np.zeros(high - low + 1, dtype=np.int64)
    for plane, marks in zip(hu[:, ::EVERY_ROW], labels[:, ::EVERY_ROW], strict=True):
        tissue = plane[(plane >= low) & (plane <= high) & (marks == 0)]
        whole = tissue if tissue.dtype.kind in "iu" else np.rint(tissue).astype(np.int64)
        counts += np.bincount(whole - low, minlength=len(counts))
    smooth = np.convolve(counts, np.ones(SMOOTH_HU, dtype=np.int64), mode="valid")
    peak = int(smooth.argmax())
    if counts[reach:-reach].sum() * EVERY_ROW * voxel_ml < LEAST_BRAIN_ML or peak in (0, len(smooth) - 1):
        return None
    return float(BRAIN_HU[0] + peak)


def _lesions_ml(mask: Mask, scan: RawScan, first_slice: int) -> list[float]:
    """Milliliters of each connected component of a mask that begins at a slice of the scan."""
    area_mm2 = scan.grid.voxel_ml * 1000 / scan.grid.slice_interval_mm
    weights = np.array([part.weight_mm for part in scan.slices[first_slice : first_slice + len(mask)]])
    runs = find_runs(mask, CORNERS)
    volumes: list[float] = (runs.sums(lambda part: part.length * weights[part.z]) * area_mm2 / 1000).tolist()
    return volumes


def _middle(ordered: Float64[np.ndarray, " n"]) -> np.floating:
    """The median of sorted values; NumPy's own loads its masked arrays, which takes longer than to measure a case."""
    low, high = (len(ordered) - 1) // 2, len(ordered) // 2
    middle: np.floating = (ordered[low] + ordered[high]) / 2
    return middle


def _rounded(length_mm: np.floating) -> float:
    """A length to a nanometer, without the rounding error of a header."""
    return round(float(length_mm), 6)


def _range(part: slice) -> tuple[int, int]:
    return int(part.start), int(part.stop)
