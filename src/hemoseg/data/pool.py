"""Cases to draw patches from, and what is known of their labels."""

from collections.abc import Sequence
from copy import copy

import numpy as np

from hemoseg.arrays import Int64
from hemoseg.data.finds import Bright, Lesions, foreground_quartile
from hemoseg.data.places import class_places, labeled_places
from hemoseg.data.store import Sliced, StoredCase
from hemoseg.errors import InputError
from hemoseg.labels import LabelTable


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
        self.cases = list(cases)
        self._is_read = True
        self._classes, self._labeled = [], []
        self.ignoring: set[int] = set()
        """Indices of the cases that have ignored voxels."""
        for number, case in enumerate(cases):
            labels = case.labels[:]
            labeled = labeled_places(labels, ignore=ignore)
            self._classes.append(class_places(labels, members))
            self._labeled.append(labeled)
            if labeled.count < labels.size:
                self.ignoring.add(number)
        self._lesions: list[tuple[Lesions, ...]] = []
        self._bright: list[Bright] = []
        self.labeled = [i for i, labeled in enumerate(self._labeled) if labeled.count]
        """Indices of the cases that have a labeled voxel."""
        self.with_foreground = [i for i, classes in enumerate(self._classes) if classes]
        """Indices of the cases that have foreground."""
        self.empty = [i for i in self.labeled if not self._classes[i]]
        """Indices of those that have labeled voxels and no foreground."""
        if not self.labeled:
            raise InputError(
                "every voxel of every case is ignored",
                where=where,
                expected="a labeled slice at least",
                remedy="label some slices, or leave out cases without labels",
            )

    def unread(self) -> "Pool":
        """The same pool, which draws as this one does but reads no case: of voxels it knows the slice alone."""
        unread = copy(self)
        unread._is_read = False
        return unread

    def find_lesions(self) -> None:
        """Look for the lesions of all cases, so that they can be drawn one by one."""
        for case, classes in zip(self.cases, self._classes, strict=True):
            labels = case.labels[:]
            self._lesions.append(tuple(Lesions.of(labels, one.numbers) for one in classes))

    def find_bright(self, *, ignore: int) -> None:
        """Look for bright background in all cases that have labels; there is none where no case has foreground."""
        low = foreground_quartile(self.cases, ignore=ignore)
        self._bright = [] if low is None else [Bright.of(case, low) for case in self.cases]

    def voxel_of_a_lesion(self, generator: np.random.Generator, case: int) -> Int64[np.ndarray, " 3"]:
        """Index (z, y, x) of a voxel of a lesion, drawn evenly among those of a class of a case with foreground."""
        classes = self._lesions[case]
        return classes[int(generator.integers(len(classes)))].draw(generator)

    def bright_voxel(self, generator: np.random.Generator, case: int) -> Int64[np.ndarray, " 3"] | None:
        """Index (z, y, x) of a bright voxel of background; None where there is none."""
        if not self._bright or not self._bright[case].count:
            return None
        return self._bright[case].draw(generator, self.cases[case] if self._is_read else None)

    def voxel_of_a_class(self, generator: np.random.Generator, case: int) -> Int64[np.ndarray, " 3"] | None:
        """Index (z, y, x) of a voxel of a class, drawn evenly among those of the case; None without foreground."""
        classes = self._classes[case]
        if not classes:
            return None
        return classes[int(generator.integers(len(classes)))].draw(generator, self._map(case))

    def labeled_voxel(self, generator: np.random.Generator, case: int) -> Int64[np.ndarray, " 3"] | None:
        """Index (z, y, x) of a voxel that is not ignored; None where all are."""
        labeled = self._labeled[case]
        return labeled.draw(generator, self._map(case)) if labeled.count else None

    def _map(self, case: int) -> Sliced | None:
        return self.cases[case].labels if self._is_read else None


def make_pools(
    cases: Sequence[StoredCase], held_out: Sequence[StoredCase], table: LabelTable, *, fold: int, ignores: bool
) -> tuple[Pool, Pool | None, int | None]:
    """Both sides of a fold, and the number that stands for ignored voxels in the labels of a batch.

    Args:
        cases: prepared cases to train on.
        held_out: prepared cases to validate on.
        table: the plan's classes.
        fold: number of the fold.
        ignores: whether the data set has a label for ignored voxels. It counts in a fold without any, too: the loss of
            regions depends on it, and folds of a cross-validation learn alike.

    Returns:
        A pool to train on; one to validate on, None without cases; and the number, None where there is none.

    Raises:
        InputError: every voxel of every case is ignored.
    """
    members, ignore, where = list(table.members.values()), table.largest + 1, f"fold {fold}"
    pool = Pool(cases, members, ignore=ignore, where=where)
    other = Pool(held_out, members, ignore=ignore, where=f"held-out cases of {where}") if held_out else None
    ignoring = pool.ignoring or (other is not None and other.ignoring)
    return pool, other, ignore if ignores or ignoring else None


def no_held_out(fold: int) -> InputError:
    """The error for validation without a held-out case."""
    return InputError(
        "no case is held out",
        where=f"fold {fold}",
        expected="at least one, to validate on",
        remedy="take no validation batches, or split the cases again",
    )
