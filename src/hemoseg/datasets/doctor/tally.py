"""How often each whole HU occurs in an image, counted some slices at a time."""

from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Int64, Real, Shaped

WIDEST = 2**15
"""Floats are counted to the nearest whole number within plus or minus this; HU lie well within."""
SLICES = 8
"""Slices counted at once: few calls, and little memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of whole numbers that follow each other."""

    low: int
    """The first number."""
    counts: Int64[np.ndarray, " n"]
    """How often it and those after it occur."""

    @classmethod
    def of(cls, numbers: Real[np.ndarray, "z y x"], *, step: int = 1) -> "Tally":
        """The counts of an image of 8 or 16 bits, or of floats, which are finite.

        Args:
            numbers: axes (z, y, x).
            step: every how many rows are counted.
        """
        total = np.zeros(2**16, dtype=np.int64)
        low = 0
        for first in range(0, len(numbers), SLICES):
            codes, low = _codes(numbers[first : first + SLICES, ::step])
            total += np.bincount(codes.reshape(-1), minlength=len(total))
        if low:  # signed numbers: negative ones are the codes of the upper half
            total = np.roll(total, WIDEST)
        return cls(low=low, counts=total)

    @property
    def total(self) -> int:
        """Voxels."""
        return int(self.counts.sum())

    def within(self, first: int, last: int) -> Int64[np.ndarray, " n"]:
        """Counts of the whole numbers from `first` to `last`, both included; those out of range are left out."""
        begin, end = (int(np.clip(edge - self.low, 0, len(self.counts))) for edge in (first, last + 1))
        part: Int64[np.ndarray, " n"] = self.counts[begin:end]
        return part

    def share(self, first: int, last: int) -> float:
        """Share of the voxels from `first` to `last`."""
        return float(self.within(first, last).sum()) / max(1, self.total)


def _codes(part: Real[np.ndarray, "z y x"]) -> tuple[Shaped[np.ndarray, "z y x"], int]:
    """Slices as numbers from 0 to 65535, and the number that its range begins with."""
    if part.dtype.kind == "f":
        part = np.rint(np.clip(part, -WIDEST, WIDEST - 1)).astype(np.int16)
    if part.dtype == np.int8:
        part = part.astype(np.int16)
    if part.dtype == np.int16:
        return np.ascontiguousarray(part).view(np.uint16), -WIDEST
    return part, 0
