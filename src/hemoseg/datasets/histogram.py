"""How often each intensity occurs: all that is kept of a case's foreground voxels."""

from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Float64, Int64, Real

EVERY = 10
"""nnU-Net v1 takes every tenth foreground voxel."""
DENSE = 2**17
"""Whole numbers in a range below this are counted in a table, others sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """The foreground voxels of one case and channel: how often each value occurs."""

    values: Float64[np.ndarray, " n"]
    """Values that occur, ascending."""
    counts: Int64[np.ndarray, " n"]
    """Voxels of each value, at least 1."""
    tenths: Int64[np.ndarray, " n"]
    """Of these, voxels whose number in scan order among all foreground voxels is a multiple of ten."""

    @classmethod
    def of(cls, voxels: Real[np.ndarray, " m"]) -> "Histogram":
        """The histogram of voxels given in scan order."""
        if voxels.dtype.kind in "iu" and len(voxels) and int(voxels.max()) - int(voxels.min()) < DENSE:
            low, span = int(voxels.min()), int(voxels.max()) - int(voxels.min()) + 1
            shifted = voxels.astype(np.int64) - low
            table = np.bincount(shifted, minlength=span)
            found = np.flatnonzero(table)
            tenths = np.bincount(shifted[::EVERY], minlength=span)
            return cls(values=(found + low).astype(np.float64), counts=table[found], tenths=tenths[found])
        values, place = np.unique(voxels.astype(np.float64), return_inverse=True)
        place = place.reshape(-1)
        counts, tenths = (np.bincount(part, minlength=len(values)) for part in (place, place[::EVERY]))
        return cls(values=values, counts=counts, tenths=tenths)

    @classmethod
    def from_table(cls, table: Float64[np.ndarray, "3 n"]) -> "Histogram":
        """The histogram of a table as `table` gives it."""
        return cls(values=table[0], counts=table[1].astype(np.int64), tenths=table[2].astype(np.int64))

    @property
    def table(self) -> Float64[np.ndarray, "3 n"]:
        """Values, counts and tenths as rows; float64 holds counts up to 2^53 exactly."""
        return np.stack([self.values, self.counts.astype(np.float64), self.tenths.astype(np.float64)])

    @property
    def total(self) -> int:
        """Voxels."""
        return int(self.counts.sum())
