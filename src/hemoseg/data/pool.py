"""Cases to draw patches from, and what is known of their labels."""

from collections.abc import Sequence

import numpy as np

from hemoseg.arrays import Int64
from hemoseg.data.places import class_places, labeled_places
from hemoseg.data.store import StoredCase
from hemoseg.errors import InputError


class Pool:
    """The cases of one side of a fold.

    Args:
        cases: prepared cases; their label maps are read once.
        members: label numbers that each class is made of.
        ignore: number of voxels that nobody labeled.
        where: what to call it in errors.

    Raises:
        InputError: every voxel of every case is ignored.
    """

    def __init__(
        self, cases: Sequence[StoredCase], members: Sequence[tuple[int, ...]], *, ignore: int, where: str
    ) -> None:
        self.cases = cases
        seen = []
        for case in cases:
            labels = case.labels[:]
            seen.append((class_places(labels, members), labeled_places(labels, ignore=ignore)))
        self._classes = [classes for classes, _ in seen]
        self._labeled = [labeled for _, labeled in seen]
        self.labeled = [i for i, labeled in enumerate(self._labeled) if labeled.count]
        """Indices of the cases that have a labeled voxel."""
        self.with_foreground = [i for i, classes in enumerate(self._classes) if classes]
        """Indices of the cases that have foreground."""
        if not self.labeled:
            raise InputError(
                "every voxel of every case is ignored",
                where=where,
                expected="labels to learn from",
                remedy="label some slices, or leave out cases without labels",
            )

    @property
    def ignores(self) -> bool:
        """Whether any case has ignored voxels."""
        return any(self.ignores_in(case) for case in range(len(self.cases)))

    def ignores_in(self, case: int) -> bool:
        """Whether a case has ignored voxels."""
        z, y, x = self.cases[case].shape
        return self._labeled[case].count < z * y * x

    def voxel_of_a_class(self, generator: np.random.Generator, case: int) -> Int64[np.ndarray, " 3"] | None:
        """Index (z, y, x) of a voxel of a class, drawn evenly among those of the case; None without foreground."""
        classes = self._classes[case]
        if not classes:
            return None
        return classes[int(generator.integers(len(classes)))].draw(generator, self.cases[case].labels)

    def labeled_voxel(self, generator: np.random.Generator, case: int) -> Int64[np.ndarray, " 3"] | None:
        """Index (z, y, x) of a voxel that is not ignored; None where all are."""
        labeled = self._labeled[case]
        return labeled.draw(generator, self.cases[case].labels) if labeled.count else None


def no_held_out(fold: int) -> InputError:
    """The error for validation without a held-out case."""
    return InputError(
        "no case is held out",
        where=f"fold {fold}",
        expected="at least one, to validate on",
        remedy="take no validation batches, or split the cases again",
    )
