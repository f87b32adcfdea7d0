"""Places that a case is searched for: its lesions one by one, and bright tissue that is none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Bool, Float32, Int64, Integer
from hemoseg.components import CORNERS, Runs, find_runs
from hemoseg.data.places import having
from hemoseg.data.store import StoredCase
from hemoseg.types import Labels

BRIGHT_PERCENTILE = 25.0
"""Tissue is bright from this percentile of the foreground's intensities on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """The connected components (26-connectivity) of a class in a case."""

    runs: Runs
    """Their voxels."""
    count: int
    """How many there are."""

    @classmethod
    def of(cls, labels: Labels, numbers: Sequence[int]) -> "Lesions":
        """The lesions of a class that is made of some label numbers."""
        runs = find_runs(having(labels, numbers), CORNERS)
        return cls(runs=runs, count=runs.count)

    def draw(self, generator: np.random.Generator) -> Int64[np.ndarray, " 3"]:
        """Index (z, y, x) of a voxel of one of them; each is as likely, whatever its size."""
        lesion = self.runs.of(int(generator.integers(self.count)))
        ends = np.cumsum(lesion.length)
        number = int(generator.integers(ends[-1]))
        run = int(np.searchsorted(ends, number, side="right"))
        return np.array([lesion.z[run], lesion.y[run], lesion.stop[run] - (ends[run] - number)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bright:
    """Background voxels as bright as lesions are, counted by slice: partial volume near the skull, falx, calcification.

    The largest value of the case is left out: where intensities are clipped, that is bone.
    """

    low: float
    """Lowest intensity, as it is stored in channel 0."""
    high: float
    """The largest, which does not count."""
    before: Int64[np.ndarray, " m"]
    """Voxels before each slice, and in all."""

    @classmethod
    def of(cls, case: StoredCase, low: float) -> "Bright":
        """The bright background of a case."""
        image = case.image[0]
        high = float(image.max())
        found = np.count_nonzero(_bright(image, case.labels[:], low, high), axis=(1, 2))
        return cls(low=low, high=high, before=np.insert(np.cumsum(found), 0, 0))

    @property
    def count(self) -> int:
        """Voxels in all."""
        return int(self.before[-1])

    def draw(self, generator: np.random.Generator, case: StoredCase | None) -> Int64[np.ndarray, " 3"]:
        """Index (z, y, x) of one of them; of the case one slice is read, and without it y and x are 0."""
        number = int(generator.integers(self.count))
        z = int(np.searchsorted(self.before, number, side="right")) - 1
        if case is None:
            return np.array([z, 0, 0])
        plane = _bright(case.image[0, z], case.labels[z], self.low, self.high)
        return np.array([z, *divmod(int(np.flatnonzero(plane)[number - int(self.before[z])]), plane.shape[1])])


def foreground_quartile(cases: list[StoredCase], *, ignore: int) -> float | None:
    """The intensity from which on tissue is bright: a percentile of all foreground; None without foreground."""
    found = []
    for case in cases:
        labels = case.labels[:]
        found.append(case.image[0][(labels > 0) & (labels != ignore)])
    values = np.concatenate(found)
    return float(np.percentile(values, BRIGHT_PERCENTILE)) if len(values) else None


def _bright(
    image: Float32[np.ndarray, "*z y x"], labels: Integer[np.ndarray, "*z y x"], low: float, high: float
) -> Bool[np.ndarray, "*z y x"]:
    found: np.ndarray = (image >= low) & (image < high) & (labels == 0)
    return found
