"""Label files: whole numbers on a grid."""

from pathlib import Path

import numpy as np

from hemoseg.arrays import Shaped
from hemoseg.errors import LabelError
from hemoseg.geometry import Grid
from hemoseg.io.header import Header
from hemoseg.io.nifti import read_stored

LARGEST_LABEL = 2**31 - 1
"""Numbers beyond this are no labels; it also keeps the conversion from floats exact."""
WHOLE_WITHIN = 1e-4
"""Whole but for rounding: labels stored as uint8 with a 32-bit slope come back as 0.99999998."""


def read_labels(path: Path) -> tuple[Shaped[np.ndarray, "z y x"], Grid]:
    """Read a label map as the whole numbers it holds.

    Files of floats, or with a slope and intercept, are accepted if every value is whole.

    Returns:
        Integer array, axes (z, y, x) as stored, and where its voxels lie.

    Raises:
        InputError: the file cannot be read or holds no single volume.
        GeometryError: the position matrix cannot be trusted.
        LabelError: values that are not whole.
    """
    stored = read_stored(path)
    return whole_numbers(stored.array, stored.header, where=path), stored.grid


def whole_numbers(array: Shaped[np.ndarray, "z y x"], header: Header, *, where: Path) -> Shaped[np.ndarray, "z y x"]:
    """The whole numbers that stored ones stand for.

    Raises:
        LabelError: values that are not whole.
    """
    if array.dtype.kind in "iu" and (header.slope, header.intercept) == (1.0, 0.0):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    with np.errstate(all="ignore"):  # what overflows becomes infinite, and is refused as such
        values = array.astype(np.float64) * header.slope + header.intercept
        rounded = np.rint(values)
        whole = (np.abs(values) <= LARGEST_LABEL) & (np.abs(values - rounded) <= WHOLE_WITHIN)
    if not whole.all():
        strange = [f"{value:g}" for value in np.unique(values[~whole])[:8]]
        raise LabelError(
            f"{np.count_nonzero(~whole):,} voxels are not whole numbers: {', '.join(strange)}",
            where=where,
            expected="a whole class number in every voxel",
            remedy="resample label maps with nearest neighbors; turn probabilities into classes first",
        )
    return rounded.astype(np.int32)
