"""Resampling along each axis by sparse matrices: averages when going coarser, linear when going finer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.preprocess.maps import AxisMap, average_matrix
from hemoseg.preprocess.shares import share_labels
from hemoseg.types import IntZYX, Labels, NewLabels, NewStack

if TYPE_CHECKING:
    from scipy import sparse

Stack = Float32[np.ndarray, "*c z y x"]
"""One volume or several channels of it; the last three axes are (z, y, x)."""


def axis_operator(size: int, new_size: int) -> "sparse.csr_array":
    """The matrix (new_size, size) that takes samples to another number of samples of the same extent."""
    return average_matrix(AxisMap.same_extent(size, new_size))


def resample(array: Stack, shape: IntZYX) -> NewStack:
    """The array on another number of voxels over the same extent, axis by axis.

    Args:
        array: the last three axes are (z, y, x); leading axes are kept.
        shape: new numbers of voxels along (z, y, x).

    Returns:
        float32 array; unchanged where the shape is.
    """
    return resample_along(array, same_extent(array.shape[-3:], shape))


def resample_along(array: Stack, maps: Sequence[AxisMap]) -> NewStack:
    """The array on the grid that the maps of (z, y, x) describe."""
    result = array
    for axis, way in zip(range(-3, 0), maps, strict=True):
        if not way.is_identity:
            moved = np.moveaxis(result, axis, 0)
            flat = np.ascontiguousarray(moved).reshape(way.size, -1)
            changed = np.asarray(average_matrix(way) @ flat, dtype=np.float32)
            result = np.moveaxis(changed.reshape(way.new_size, *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(result, dtype=np.float32)


def resample_labels(labels: Labels, shape: IntZYX) -> NewLabels:
    """A label map on another number of voxels: each class as a share, the largest wins, volumes are kept."""
    if labels.shape == shape:
        return labels
    maps = same_extent(labels.shape, shape)
    return share_labels(labels, maps, [average_matrix(way).toarray() for way in maps], keep_volume=True)


def same_extent(shape: Sequence[int], new_shape: Sequence[int]) -> tuple[AxisMap, AxisMap, AxisMap]:
    """Maps of (z, y, x) to another number of voxels over the same extent."""
    z, y, x = (AxisMap.same_extent(size, new) for size, new in zip(shape, new_shape, strict=True))
    return z, y, x
