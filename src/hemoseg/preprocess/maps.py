"""One axis on its way to another grid, and the matrices that take samples along."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hemoseg.arrays import Float, Float32, Float64, Int64

if TYPE_CHECKING:
    from scipy import sparse
    from threadpoolctl import ThreadpoolController

Order = Literal[0, 1, 3]
"""Order of a spline: nearest, linear, cubic."""
BLOCK_ROWS = 64
"""Rows of a spline matrix that are multiplied at once: few enough that most columns are left out."""
NEGLIGIBLE = 1e-8
"""Weights of a spline below this are taken as 0: they fall by a factor 0.27 from sample to sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisMap:
    """Where the samples of a new axis lie on an old one: sample i covers low + i · ratio to low + (i + 1) · ratio.

    Positions count from the edge of the first old sample, so the center of old sample k is at k + 1/2.
    """

    size: int
    """Samples of the old axis."""
    new_size: int
    """Samples of the new axis."""
    low: float
    """Position of the first edge of the new axis, in old samples."""
    ratio: float
    """Length of a new sample in old samples; above 1 when going coarser."""

    @classmethod
    def same_extent(cls, size: int, new_size: int) -> "AxisMap":
        """Both samplings fill the same interval."""
        return cls(size=size, new_size=new_size, low=0.0, ratio=size / new_size)

    @property
    def is_identity(self) -> bool:
        """Whether the samples are the same."""
        return self.size == self.new_size and self.low == 0.0 and self.ratio == 1.0

    def centers(self) -> Float64[np.ndarray, " n"]:
        """Old index, fractional, at the center of each new sample."""
        scaled: Float64[np.ndarray, " n"] = self.ratio * (np.arange(self.new_size) + 0.5)
        return scaled - 0.5 + self.low

    def nearest(self) -> Int64[np.ndarray, " n"]:
        """Old index nearest to the center of each new sample; a center between two takes the higher one."""
        inside = np.clip(self.centers(), 0, self.size - 1)
        index: Int64[np.ndarray, " n"] = np.floor(inside + 0.5).astype(np.int64)
        return index


@lru_cache(maxsize=64)
def average_matrix(axis: AxisMap) -> "sparse.csr_array":
    """Averages when going coarser, linear interpolation when going finer.

    Going coarser, each result is the mean of the interval that it covers (average pooling with fractional
    borders), so thin slices are averaged as a scanner would; going finer, it is linear interpolation at the
    center, held constant beyond the outermost centers.

    Returns:
        Matrix of shape (new_size, size); every row sums to 1.
    """
    from scipy import sparse  # here and below: where nothing is resampled, half a second of imports is spared

    matrix = np.zeros((axis.new_size, axis.size))
    for i in range(axis.new_size):
        if axis.ratio > 1:
            low, high = max(0.0, axis.low + i * axis.ratio), min(float(axis.size), axis.low + (i + 1) * axis.ratio)
            inner = np.arange(int(low), min(axis.size, int(np.ceil(high))))
            matrix[i, inner] = np.minimum(inner + 1, high) - np.maximum(inner, low)
        else:
            center = min(max(axis.low + (i + 0.5) * axis.ratio - 0.5, 0.0), axis.size - 1.0)
            left = min(int(center), axis.size - 1)
            matrix[i, left] += 1 - (center - left)
            matrix[i, min(left + 1, axis.size - 1)] += center - left
    matrix /= matrix.sum(axis=1, keepdims=True)
    return sparse.csr_array(matrix.astype(np.float32))


def overlap_matrix(axis: AxisMap) -> Float64[np.ndarray, "n m"]:
    """Share of each old sample in what a new one covers: averages going coarser, repeated samples going finer.

    Returns:
        Matrix of shape (new_size, size); every row sums to 1.
    """
    edges = axis.low + axis.ratio * np.arange(axis.new_size + 1)
    low, high, old = edges[:-1, None], edges[1:, None], np.arange(axis.size)
    matrix: Float64[np.ndarray, "n m"] = np.clip(np.minimum(high, old + 1) - np.maximum(low, old), 0, None)
    matrix[matrix < NEGLIGIBLE] = 0  # edges that meet but for rounding
    matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix


@lru_cache(maxsize=64)
def spline_matrix(axis: AxisMap, order: Order) -> Float64[np.ndarray, "n m"]:
    """Interpolation at the centers by a spline through all samples, which are held constant beyond the ends.

    Taken from SciPy's own interpolation of unit samples, so both agree to rounding. Shared: not to be changed.
    """
    from scipy import ndimage

    places = np.stack(np.meshgrid(axis.centers(), np.arange(axis.size, dtype=np.float64), indexing="ij"))
    unit: Any = np.eye(axis.size)
    matrix: Float64[np.ndarray, "n m"] = ndimage.map_coordinates(unit, places, order=order, mode="nearest")
    matrix[np.abs(matrix) < NEGLIGIBLE] = 0
    matrix.setflags(write=False)
    return matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Some rows of a matrix without the columns that are 0 in all of them."""

    rows: slice
    """Which rows."""
    columns: slice
    """Which columns."""
    weights: Float32[np.ndarray, "r c"]
    """Their entries."""


@lru_cache(maxsize=64)
def bands(axis: AxisMap, order: Order) -> tuple[Band, ...]:
    """The matrix of a spline as blocks of rows: dense products of these are faster than sparse ones."""
    return blocks(spline_matrix(axis, order))


def blocks(matrix: Float[np.ndarray, "n m"]) -> tuple[Band, ...]:
    """A matrix whose entries lie near its diagonal as blocks of rows."""
    found = []
    for start in range(0, len(matrix), BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, len(matrix)))
        columns = span(np.any(matrix[rows], axis=0))
        weights = np.ascontiguousarray(matrix[rows, columns], dtype=np.float32)
        found.append(Band(rows=rows, columns=columns, weights=weights))
    return tuple(found)


@lru_cache(maxsize=1)
def _blas() -> "ThreadpoolController":
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Products of small matrices on one thread: more would wait for each other, and for those of other workers."""
    limit: AbstractContextManager[Any] = _blas().limit(limits=1)
    return limit


def span(marks: np.ndarray) -> slice:
    """From the first to the last true entry; empty if there is none."""
    found = np.flatnonzero(marks)
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)
