"""Air and head."""

from collections.abc import Iterator

import numpy as np

from hemoseg.arrays import Bool, Real
from hemoseg.components import FACES, Box, find_runs
from hemoseg.types import IntZYX

AIR_HU = -1024
"""Lowest value a CT number can take in 12 bits; anything below is padding outside the scanned circle."""
HEAD_ABOVE_HU = -10
"""Voxels above this are head, not air or padding. Above -20 HU, so that scans whose HU were clipped to a
brain window give the same box as true-HU scans; scalp fat falls outside, the skull does not."""


def head_box(hu: Real[np.ndarray, "z y x"]) -> Box:
    """The bounding box of the head, axes (z, y, x); the whole volume if nothing is brighter than air.

    The largest connected component (6-connectivity) above `HEAD_ABOVE_HU` after an in-plane opening by a cross of
    five pixels, which cuts the head from head holder and table.
    """
    runs = find_runs(_opened(hu), FACES)
    if not len(runs.component):
        z, y, x = hu.shape
        return slice(0, z), slice(0, y), slice(0, x)
    return runs.of(int(runs.sizes.argmax())).box


def box_shape(box: Box) -> IntZYX:
    """Voxels of a box along (z, y, x)."""
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x


def _opened(hu: Real[np.ndarray, "z y x"]) -> Iterator[Bool[np.ndarray, "y x"]]:
    """Where each slice lies above `HEAD_ABOVE_HU`, eroded, then dilated by a cross of five pixels.

    Beyond the border nothing is set. One slice at a time stays in the cache, twenty times faster than an opening of
    the whole volume; all slices share the memory, so each is valid until the next one is asked for.
    """
    rows, columns = hu.shape[1:]
    width = columns + 1  # a column that is empty parts the rows, so that the slice is one line of pixels
    line, eroded, dilated = (np.zeros((rows + 2) * width, dtype=bool) for _ in range(3))
    bright, result = (_pixels(part, width)[:, :columns] for part in (line, dilated))
    for plane in hu:
        np.greater(plane, HEAD_ABOVE_HU, out=bright)
        _combine_neighbors(line, width, np.logical_and, out=eroded)
        _combine_neighbors(eroded, width, np.logical_or, out=dilated)
        yield result


def _combine_neighbors(
    line: Bool[np.ndarray, " n"], width: int, combine: np.ufunc, *, out: Bool[np.ndarray, " n"]
) -> None:
    """Each pixel combined with the four beside it, in a line of rows between two empty ones."""
    inner = out[width:-width]
    combine(line[width:-width], line[: -2 * width], out=inner)
    for neighbors in (line[2 * width :], line[width - 1 : -width - 1], line[width + 1 :][: len(inner)]):
        combine(inner, neighbors, out=inner)


def _pixels(line: Bool[np.ndarray, " n"], width: int) -> Bool[np.ndarray, "y w"]:
    """The rows of a line without the empty ones at its ends; a view."""
    return line[width:-width].reshape(-1, width)
