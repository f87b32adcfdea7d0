"""Where a case's labels lie: enough to draw a voxel of a class without keeping all of them in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Bool, Int64, Integer
from hemoseg.data.store import Sliced
from hemoseg.types import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Voxels of a case that have one of some label numbers, counted by slice; each is as likely to be drawn.

    nnU-Net v2 draws from a sample of them: of each class the larger of 10,000 voxels and 1%, taken once.
    """

    numbers: tuple[int, ...]
    """Label numbers."""
    before: Int64[np.ndarray, " m"]
    """Voxels before each slice, and in all."""

    @classmethod
    def of(cls, labels: Labels, numbers: Sequence[int]) -> "Places":
        """Where the numbers lie in a label map."""
        found = np.count_nonzero(having(labels, numbers), axis=(1, 2))
        return cls(numbers=tuple(numbers), before=np.insert(np.cumsum(found), 0, 0))

    @property
    def count(self) -> int:
        """Voxels in all."""
        return int(self.before[-1])

    def draw(self, generator: np.random.Generator, labels: Sliced | None) -> Int64[np.ndarray, " 3"]:
        """Index (z, y, x) of one of the voxels.

        Args:
            generator: gives one number.
            labels: the label map, of which one slice is read; without it y and x are 0.
        """
        number = int(generator.integers(self.count))
        z = int(np.searchsorted(self.before, number, side="right")) - 1
        if labels is None:
            return np.array([z, 0, 0])
        plane = labels[z]
        at = np.flatnonzero(having(plane, self.numbers))[number - int(self.before[z])]
        return np.array([z, *divmod(int(at), plane.shape[1])])


def class_places(labels: Labels, members: Sequence[tuple[int, ...]]) -> tuple[Places, ...]:
    """Places of each class that is present, in their order.

    Args:
        labels: the label map.
        members: label numbers that each class is made of.
    """
    every = [Places.of(labels, numbers) for numbers in members]
    return tuple(places for places in every if places.count)


def labeled_places(labels: Labels, *, ignore: int) -> Places:
    """Places of the voxels that are not ignored."""
    numbers = range(-1, ignore)
    if (labels == ignore).any():
        return Places.of(labels, numbers)
    return Places(numbers=tuple(numbers), before=np.arange(len(labels) + 1) * labels[0].size)


def having(labels: Integer[np.ndarray, "*_ y x"], numbers: Sequence[int]) -> Bool[np.ndarray, "*_ y x"]:
    """Which voxels have one of the numbers."""
    found: np.ndarray = labels == numbers[0] if len(numbers) == 1 else np.isin(labels, numbers)
    return found
