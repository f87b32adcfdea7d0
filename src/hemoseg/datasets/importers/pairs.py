"""Any two folders of images and masks, paired by their file names without ending."""

from collections.abc import Callable
from pathlib import Path

from hemoseg.datasets.importers.classes import HEMORRHAGE, RESERVED, annotated, class_named, in_order, numbering
from hemoseg.datasets.importers.core import (
    ImportRequest,
    NiftiScan,
    SourceCase,
    SourceSet,
    check_names,
    common_ending,
    nifti_files,
)
from hemoseg.datasets.index import shorten
from hemoseg.datasets.sources import Source
from hemoseg.errors import InputError, SettingsError

UNKNOWN_PATIENTS = (
    "the source does not say whose scan is whose: every scan counts as a patient of its own; correct patients.csv "
    "where one patient has several scans"
)
NOT_STATED = "not stated"


def discover_pairs(request: ImportRequest) -> SourceSet:
    """The pairs of SOURCE and the folder of masks.

    Without `labels`, 1 and 255 both stand for `hemorrhage`.

    Raises:
        InputError: a folder is absent, or an image or mask is alone.
        SettingsError: no folder of masks, or class numbers that cannot be.
    """
    if request.masks is None:
        raise SettingsError(
            "no folder of masks",
            where="--masks",
            expected="the folder of the masks, while SOURCE is that of the images",
            remedy="give --masks FOLDER",
        )
    table = _table(request.labels)
    classes = in_order(table.values())
    cases = paired_cases(
        request.source, request.masks, prefix="", numbers=numbering(table, classes), annotates=annotated(classes)
    )
    source = Source(
        name=request.source.resolve().name, license=request.license or NOT_STATED, citation=request.citation or ""
    )
    return set_of(source, classes, cases, where=request.source, warnings=(UNKNOWN_PATIENTS,))


def paired_cases(
    images: Path,
    masks: Path,
    *,
    prefix: str,
    numbers: tuple[tuple[int, int], ...],
    annotates: tuple[str, ...],
    patient: Callable[[str], str] | None = None,
) -> tuple[SourceCase, ...]:
    """One case per image; each needs its mask.

    Args:
        images: folder of the scans.
        masks: folder of the masks, with the scans' names.
        prefix: put before each name, so that data sets with numbers for names can be merged.
        numbers: see `SourceCase`.
        annotates: see `SourceCase`.
        patient: the patient by a file's stem; None counts every scan as a patient of its own.

    Raises:
        InputError: an image or mask is alone.
    """
    scans, labels = nifti_files(images), nifti_files(masks)
    for lonely, folder in (
        (sorted(scans.keys() - labels.keys()), images),
        (sorted(labels.keys() - scans.keys()), masks),
    ):
        if lonely:
            raise InputError(
                f"{len(lonely)} files without a partner: {shorten(lonely)}",
                where=folder,
                expected=f"the same names in {images} and {masks}, but for .nii or .nii.gz",
                remedy="rename or add the missing ones, or move these out of the folder",
            )
    return tuple(
        SourceCase(
            name=prefix + stem,
            patient=prefix + stem if patient is None else patient(stem),
            scan=NiftiScan(image=scans[stem], mask=labels[stem]),
            numbers=numbers,
            annotates=annotates,
        )
        for stem in scans
    )


def set_of(
    source: Source,
    classes: tuple[str, ...],
    cases: tuple[SourceCase, ...],
    *,
    where: Path,
    warnings: tuple[str, ...] = (),
) -> SourceSet:
    """The set of one source's NIfTI cases.

    Raises:
        InputError: there is no case, or two share a name.
    """
    check_names(cases, where=where)
    return SourceSet(sources=(source,), classes=classes, ending=common_ending(cases), cases=cases, warnings=warnings)


def _table(labels: tuple[tuple[str, int], ...]) -> dict[int, str]:
    if not labels:
        return {1: HEMORRHAGE, 255: HEMORRHAGE}
    table = {number: class_named(name) for name, number in labels}
    if len(table) != len(labels) or min(table) < 1 or not RESERVED.isdisjoint(map(str.lower, table.values())):
        raise SettingsError(
            ", ".join(f"{name}={number}" for name, number in labels),
            where="--label",
            expected="one number per class, from 1 on; 0 is background, and no class is called background or ignore",
            remedy="give --label NAME=NUMBER once for each number in the masks",
        )
    return table
