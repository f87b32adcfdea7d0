"""Folds by patient."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Int64
from hemoseg.datasets.balance import balance
from hemoseg.datasets.facts import CaseFacts
from hemoseg.errors import InputError

VOLUME_STRATA = 4
"""Cases with lesions are parted by volume into as many groups of equal size, each of which is spread over the folds."""
WEIGHTS = {"cases": 1e6, "empty": 1e4, "class": 10.0, "volume": 1.0}
"""What matters most where not all can be balanced: the numbers of cases, of empty ones, of a class, of a stratum."""
NNUNET_SEED = 12345
"""Seed of nnU-Net's folds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCase:
    """What folds depend on of a case."""

    name: str
    """Name of the case."""
    patient: str
    """Whom it belongs to."""
    class_ml: Mapping[str, float]
    """Milliliters of each foreground class."""
    shared_ml: float = 0.0
    """How much more these are together than what is labeled."""

    @property
    def labeled_ml(self) -> float:
        """Milliliters of all foreground; what classes share counts once."""
        return sum(self.class_ml.values()) - self.shared_ml

    @property
    def is_empty(self) -> bool:
        """Whether it holds no class."""
        return not any(self.class_ml.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One fold: case names, no patient on both sides."""

    train: tuple[str, ...]
    """Cases to learn from, sorted."""
    held_out: tuple[str, ...]
    """Cases to validate on, sorted; over all folds, every case is held out once."""


def split_cases(facts: Sequence[CaseFacts]) -> tuple[SplitCase, ...]:
    """What folds depend on, of measured cases."""
    return tuple(
        SplitCase(name=case.name, patient=case.patient, class_ml=case.class_ml, shared_ml=case.shared_ml)
        for case in facts
    )


def with_patients(facts: Sequence[CaseFacts], pattern: str | None) -> tuple[CaseFacts, ...]:
    """The cases with the patients that a pattern finds in their names; None leaves those of the data set.

    Args:
        facts: what was measured of each case.
        pattern: see `patients_named`.

    Raises:
        InputError: the pattern cannot be used, or patients.csv names patients already.
    """
    if pattern is None:
        return tuple(facts)
    if any(case.name != case.patient for case in facts):
        raise _bad_pattern(
            f"{pattern}, and a patients.csv", "one source of patients", "leave the option or the file out"
        )
    patients = patients_named([case.name for case in facts], pattern)
    return tuple(case.model_copy(update={"patient": patients[case.name]}) for case in facts)


def patients_named(names: Sequence[str], pattern: str) -> dict[str, str]:
    """{case: patient} by a regular expression with one group, searched in each name.

    Raises:
        InputError: no such expression, or names that it does not fit.

    Example:
        >>> patients_named(["ID_0a_1", "ID_0a_2"], "^(ID_[0-9a-f]+)_")
        {'ID_0a_1': 'ID_0a', 'ID_0a_2': 'ID_0a'}
    """
    expected = "a regular expression with one group, like ^(ID_[0-9a-f]+)_"
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise _bad_pattern(f"{pattern}: {error}", expected, "correct it") from error
    if expression.groups != 1:
        raise _bad_pattern(f"{pattern} has {expression.groups} groups", expected, "put (?: ) around the others")
    found = {name: expression.search(name) for name in names}
    strange = [name for name, match in found.items() if match is None or not match[1]]
    if strange:
        raise _bad_pattern(
            f"{pattern} finds no patient in {len(strange)} names, like {strange[0]}",
            "a patient in the name of every case",
            "correct the expression, or write patients.csv",
        )
    return {name: match[1] for name, match in found.items() if match is not None}


def first_patients(splits: Sequence[Split], cases: Sequence[SplitCase], *, count: int, seed: int) -> tuple[Split, ...]:
    """Folds with fewer patients to learn from: the first of a shuffle, so that more hold all of fewer.

    Raises:
        InputError: a fold has fewer patients to learn from.
    """
    patient = {case.name: case.patient for case in cases}
    reduced = []
    for fold, split in enumerate(splits):
        names = sorted({patient[name] for name in split.train})
        if count > len(names):
            raise InputError(
                f"fold {fold} has {len(names)} patients to train on",
                where="--train-cases",
                expected=f"at most that, not {count}",
                remedy="ask for fewer, or leave the option out to train on all",
            )
        order = np.random.default_rng([seed, fold]).permutation(len(names))
        kept = {names[int(number)] for number in order[:count]}
        train = tuple(name for name in split.train if patient[name] in kept)
        reduced.append(Split(train=train, held_out=split.held_out))
    return tuple(reduced)


def stratified_splits(cases: Sequence[SplitCase], *, folds: int, seed: int) -> tuple[Split, ...]:
    """Folds by patient, alike in number of cases, of empty ones, of cases with each class, and in lesion volume.

    No patient is in two folds. With one case per patient, the folds' numbers of cases, and of empty cases, differ by
    one at most; so do those of the cases that hold a class, and of each quarter of the cases by volume, where the
    search of `balance` finds such folds, which it does but for a few cases of many classes. Patients with several
    cases are balanced in the same way, as far as whole patients allow.

    Args:
        cases: in any order; the result does not depend on it.
        folds: number of folds, at least 2.
        seed: seed of the search, see `balance`.

    Raises:
        InputError: fewer than two folds, or fewer patients than folds.
    """
    patients = _patients(cases, folds)
    features, weights = _features(cases)
    row = {patient: number for number, patient in enumerate(patients)}
    counts: Int64[np.ndarray, "g f"] = np.zeros((len(patients), len(weights)), dtype=np.int64)
    for case in cases:
        counts[row[case.patient]] += features[case.name]
    fold_of = balance(counts, weights, folds=folds, seed=seed)
    return _splits(cases, lambda case: int(fold_of[row[case.patient]]), folds)


def shuffled_splits(cases: Sequence[SplitCase], *, folds: int, seed: int) -> tuple[Split, ...]:
    """Folds by patient by chance alone: every patient is held out once, folds differ by one patient at most.

    Args:
        cases: in any order; the result does not depend on it.
        folds: number of folds, at least 2.
        seed: seed of the shuffle (NumPy's PCG64).

    Raises:
        InputError: fewer than two folds, or fewer patients than folds.
    """
    patients = _patients(cases, folds)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(patients))
    fold_of = {patients[int(place)]: number % folds for number, place in enumerate(order)}
    return _splits(cases, lambda case: fold_of[case.patient], folds)


def nnunet_splits(cases: Sequence[SplitCase], *, folds: int) -> tuple[Split, ...]:
    """nnU-Net's own folds: those of its splits_final.json, which knows cases alone.

    Args:
        cases: in any order; the result does not depend on it.
        folds: number of folds; nnU-Net's are 5.

    Raises:
        InputError: fewer than two folds, fewer patients than folds, or a patient in two folds.

    Source:
        nnunetv2 2.8.1, utilities/crossval_split.py: scikit-learn's KFold(shuffle=True, random_state=12345), which
        shuffles 0 … n-1 with NumPy's RandomState (MT19937) and cuts them into runs, the longer first.
    """
    _patients(cases, folds)
    names = sorted(case.name for case in cases)
    order = np.arange(len(names))
    np.random.RandomState(NNUNET_SEED).shuffle(order)
    fold_of = {names[int(place)]: fold for fold, part in enumerate(np.array_split(order, folds)) for place in part}
    splits = _splits(cases, lambda case: fold_of[case.name], folds)
    check_leaks(splits, cases, where="splits")
    return splits


def check_leaks(splits: Sequence[Split], cases: Sequence[SplitCase], *, where: str) -> None:
    """Make sure that no patient is trained on in a fold that holds him out.

    Raises:
        InputError: one is; names patient and fold.
    """
    patients = {case.name: case.patient for case in cases}
    for fold, split in enumerate(splits):
        both = {patients[name] for name in split.train} & {patients[name] for name in split.held_out}
        if both:
            raise InputError(
                f"fold {fold} trains on {len(both)} patients that it holds out, like {min(both)}",
                where=where,
                expected="all cases of a patient on one side",
                remedy="use --splits stratified, or a file of splits by patient",
            )


def volume_strata(cases: Sequence[SplitCase]) -> dict[str, int]:
    """{case: which quarter by volume of all classes together, 0 the smallest} of the cases that are not empty."""
    ranked = sorted((case.labeled_ml, case.name) for case in cases if not case.is_empty)
    return {name: place * VOLUME_STRATA // len(ranked) for place, (_, name) in enumerate(ranked)}


def _features(cases: Sequence[SplitCase]) -> tuple[dict[str, list[int]], list[float]]:
    """What is counted of each case, and how much each count matters."""
    classes = sorted({name for case in cases for name, ml in case.class_ml.items() if ml})
    stratum = volume_strata(cases)
    features = {
        case.name: [
            1,
            int(case.is_empty),
            *(int(case.class_ml.get(name, 0.0) > 0) for name in classes),
            *(int(stratum.get(case.name) == number) for number in range(VOLUME_STRATA)),
        ]
        for case in cases
    }
    by_class, by_volume = [WEIGHTS["class"]] * len(classes), [WEIGHTS["volume"]] * VOLUME_STRATA
    return features, [WEIGHTS["cases"], WEIGHTS["empty"], *by_class, *by_volume]


def _patients(cases: Sequence[SplitCase], folds: int) -> list[str]:
    """The patients, sorted, of whom there is at least one for each fold."""
    patients = sorted({case.patient for case in cases})
    if not 2 <= folds <= len(patients):
        raise InputError(
            f"{folds} folds of {len(patients)} patients",
            where="splits",
            expected="at least 2 folds, and a patient or more for each",
            remedy="choose fewer folds, or add patients",
        )
    return patients


def _splits(cases: Sequence[SplitCase], fold_of: Callable[[SplitCase], int], folds: int) -> tuple[Split, ...]:
    return tuple(
        Split(
            train=tuple(sorted(case.name for case in cases if fold_of(case) != fold)),
            held_out=tuple(sorted(case.name for case in cases if fold_of(case) == fold)),
        )
        for fold in range(folds)
    )


def _bad_pattern(found: str, expected: str, remedy: str) -> InputError:
    return InputError(found, where="--patient-pattern", expected=expected, remedy=remedy)
