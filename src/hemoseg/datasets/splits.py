"""Folds by patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.datasets.index import Case
from hemoseg.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One fold: case names, no patient on both sides."""

    train: tuple[str, ...]
    """Cases to learn from, sorted."""
    held_out: tuple[str, ...]
    """Cases to validate on, sorted; over all folds, every case is held out once."""


def make_splits(cases: Sequence[Case], *, folds: int, seed: int) -> tuple[Split, ...]:
    """Cross-validation folds: every patient is held out once, folds differ by one patient at most.

    Args:
        cases: in any order; the result does not depend on it.
        folds: number of folds, at least 2.
        seed: seed of the shuffle (NumPy's PCG64).

    Raises:
        InputError: fewer than two folds, or fewer patients than folds.
    """
    patients = sorted({case.patient for case in cases})
    if not 2 <= folds <= len(patients):
        raise InputError(
            f"{folds} folds of {len(patients)} patients",
            where="splits",
            expected="at least 2 folds, and a patient or more for each",
            remedy="choose fewer folds, or add patients",
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(patients))
    fold_of = {patients[int(place)]: number % folds for number, place in enumerate(order)}
    return tuple(
        Split(
            train=tuple(sorted(case.name for case in cases if fold_of[case.patient] != fold)),
            held_out=tuple(sorted(case.name for case in cases if fold_of[case.patient] == fold)),
        )
        for fold in range(folds)
    )
