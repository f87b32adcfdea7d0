"""One case as arrays, with image and label known to lie on the same grid."""

import hashlib

from hemoseg.artifacts import readable, sha256_of
from hemoseg.datasets.index import Case
from hemoseg.errors import GeometryError
from hemoseg.geometry import Grid, Volume
from hemoseg.io import RawScan, read_labels, read_raw, read_scan
from hemoseg.labels import LabelTable
from hemoseg.types import LabelMap

TOLERANCE_MM = 0.1
"""Corners of image and label may lie this far apart: a tenth of a fine pixel, far above rounding."""


def read_case(case: Case, table: LabelTable) -> tuple[Volume, LabelMap]:
    """The scan of a case and its reference label map, both (z, y, x) on the scan's grid.

    Raises:
        InputError: a file cannot be read, or the scan is not in HU.
        GeometryError: image and label differ in shape or place.
        LabelError: label values outside the table.
    """
    volume = read_scan(case.image, pseudo_hu=case.pseudo_hu)
    return volume, _read_reference(case, table, volume.grid)


def read_raw_case(case: Case, table: LabelTable) -> tuple[RawScan, LabelMap]:
    """The same without touching the scan's numbers, for what only measures them.

    Raises:
        InputError: a file cannot be read, or the scan is not in HU.
        GeometryError: image and label differ in shape or place.
        LabelError: label values outside the table.
    """
    scan = read_raw(case.image, pseudo_hu=case.pseudo_hu)
    return scan, _read_reference(case, table, scan.grid)


def source_of(case: Case) -> str:
    """SHA-256 over the hashes of a case's image and label file.

    Raises:
        InputError: a file cannot be read.
    """
    hashes = []
    for path in (case.image, case.label):
        with readable(path):
            hashes.append(sha256_of(path))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _read_reference(case: Case, table: LabelTable, image: Grid) -> LabelMap:
    labels, grid = read_labels(case.label)
    _check_same_place(grid, image, case)
    return table.check(labels, where=str(case.label))


def _check_same_place(label: Grid, image: Grid, case: Case) -> None:
    if label.shape != image.shape:
        raise GeometryError(
            f"the label has {label.shape} voxels (z, y, x), the image {image.shape}",
            where=case.label,
            expected="the same shape",
            remedy="resample the label onto the image's grid with nearest neighbors",
        )
    apart = label.corner_distance_mm(image)
    if not apart <= TOLERANCE_MM:
        raise GeometryError(
            f"corners of label and image lie {apart:.2f} mm apart",
            where=case.label,
            expected=f"the same place within {TOLERANCE_MM:g} mm",
            remedy="look at both in a viewer; if the voxels match, copy the image's header to the label",
        )
