"""Resampling along each axis by sparse matrices: averages when going coarser, linear when going finer."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float32
from scipy import sparse

from hemoseg.types import IntZYX, LabelMap, NewLabelMap, NewStack

Stack = Float32[np.ndarray, "*c z y x"]
"""One volume or several channels of it; the last three axes are (z, y, x)."""


@lru_cache(maxsize=64)
def axis_operator(size: int, new_size: int) -> sparse.csr_array:
    """The matrix that takes `size` samples to `new_size` samples of the same extent.

    Both samplings fill the same interval, so sample i of the result is centered at
    (i + 1/2) · size / new_size - 1/2. Going coarser, each result is the mean of the interval that it
    covers (average pooling with fractional borders), so thin slices are averaged as a scanner would;
    going finer, it is linear interpolation, held constant beyond the outermost centers.

    Returns:
        Matrix of shape (new_size, size); every row sums to 1.
    """
    ratio = size / new_size
    matrix = np.zeros((new_size, size))
    for i in range(new_size):
        if ratio > 1:
            low, high = i * ratio, (i + 1) * ratio
            inner = np.arange(int(low), min(size, int(np.ceil(high))))
            matrix[i, inner] = np.minimum(inner + 1, high) - np.maximum(inner, low)
        else:
            center = min(max((i + 0.5) * ratio - 0.5, 0.0), size - 1.0)
            left = min(int(center), size - 1)
            matrix[i, left] += 1 - (center - left)
            matrix[i, min(left + 1, size - 1)] += center - left
    matrix /= matrix.sum(axis=1, keepdims=True)
    return sparse.csr_array(matrix.astype(np.float32))


def resample(array: Stack, shape: IntZYX) -> NewStack:
    """The array on another number of voxels over the same extent, axis by axis.

    Args:
        array: the last three axes are (z, y, x); leading axes are kept.
        shape: new numbers of voxels along (z, y, x).

    Returns:
        float32 array; unchanged where the shape is.
    """
    result = array
    for axis, new_size in zip(range(-3, 0), shape, strict=True):
        size = result.shape[axis]
        if size != new_size:
            moved = np.moveaxis(result, axis, 0)
            flat = np.ascontiguousarray(moved).reshape(size, -1)
            changed = np.asarray(axis_operator(size, new_size) @ flat, dtype=np.float32)
            result = np.moveaxis(changed.reshape(new_size, *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(result, dtype=np.float32)


def resample_labels(labels: LabelMap, shape: IntZYX) -> NewLabelMap:
    """A label map on another number of voxels: each class as an indicator, the strongest wins.

    Ties go to the lower class number, so background wins over an equal share of foreground.
    """
    if labels.shape == shape:
        return labels
    best = np.zeros(shape, dtype=np.float32)
    result = np.zeros(shape, dtype=np.uint8)
    for number in np.unique(labels):
        share = resample((labels == number).astype(np.float32), shape)
        wins = share > best
        best[wins] = share[wins]
        result[wins] = number
    return result
