"""The stage that parts cases into folds, and a table of what is in each."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemoseg.artifacts import readable, sha256_of
from hemoseg.datasets import (
    Split,
    SplitCase,
    check_leaks,
    first_patients,
    nnunet_splits,
    shuffled_splits,
    split_cases,
    stratified_splits,
    volume_strata,
    with_patients,
)
from hemoseg.datasets.splits import VOLUME_STRATA
from hemoseg.errors import InputError
from hemoseg.pipeline.folder import RunFolder, Splits
from hemoseg.planning import Fingerprint
from hemoseg.settings import FOLDS, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRow:
    """What a fold holds out."""

    patients: int
    """Number of patients."""
    cases: int
    """Number of cases."""
    empty: int
    """Cases without any class."""
    with_class: dict[str, int]
    """{class: cases that hold it}."""
    by_volume: tuple[int, ...]
    """Cases in each quarter of the data set's cases by volume of all classes together, the smallest first."""


def named(fingerprint: Fingerprint, settings: Settings) -> Fingerprint:
    """The fingerprint with the patients that the settings' pattern names.

    Raises:
        InputError: the pattern cannot be used.
    """
    cases = with_patients(fingerprint.cases, settings.splits.patient_pattern)
    return fingerprint.model_copy(update={"cases": cases})


def find_splits(folder: RunFolder, settings: Settings) -> Splits:
    """The folds in `splits.json`, or those that the settings ask for if it is not there. Nothing is written.

    Raises:
        InputError: too few patients, a pattern that does not fit, a file that cannot be used, or a patient in two
            folds.
    """
    if folder.splits_file.exists():
        return folder.splits()
    cases = split_cases(named(folder.fingerprint(), settings).cases)
    splits = decide_splits(cases, settings)
    if settings.train_cases is not None:
        splits = first_patients(splits, cases, count=settings.train_cases, seed=settings.seed)
    return Splits.of(splits)


def decide_splits(cases: tuple[SplitCase, ...], settings: Settings) -> tuple[Split, ...]:
    """The folds that settings ask for.

    Raises:
        InputError: as `find_splits`.
    """
    splitting = settings.splits
    if splitting.rule == "stratified":
        return stratified_splits(cases, folds=FOLDS, seed=settings.seed)
    if splitting.rule == "shuffled":
        return shuffled_splits(cases, folds=FOLDS, seed=settings.seed)
    if splitting.rule == "nnunet":
        return nnunet_splits(cases, folds=FOLDS)
    assert splitting.file is not None
    path = Path(splitting.file)
    with readable(path):
        unchanged = path.is_file() and sha256_of(path) == splitting.file_sha256
    if not unchanged:
        raise _unusable(path, "absent, or another content than when the run was begun")
    splits = read_splits(path, cases)
    check_leaks(splits, cases, where=str(path))
    return splits


def read_splits(path: Path, cases: tuple[SplitCase, ...]) -> tuple[Split, ...]:
    """The folds of a file: a run's splits.json, or nnU-Net's splits_final.json.

    Raises:
        InputError: neither of both, or folds that do not hold out every case once and train on others.
    """
    try:
        content = json.loads(path.read_bytes())
        splits = _parse(content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unusable(path, f"cannot be read as splits ({type(error).__name__}: {error})") from error
    names = {case.name for case in cases}
    held_out = [name for split in splits for name in split.held_out]
    strange = sorted(({name for split in splits for name in split.train} | set(held_out)) - names)
    if len(splits) != FOLDS:
        raise _unusable(path, f"{len(splits)} folds")
    if strange:
        raise _unusable(path, f"{len(strange)} cases that the data set does not have, like {strange[0]}")
    if sorted(held_out) != sorted(names):
        wrong = sorted(name for name in names if held_out.count(name) != 1)
        raise _unusable(path, f"{len(wrong)} cases that are not held out once, like {wrong[0]}")
    for fold, split in enumerate(splits):
        if not split.train or not split.held_out or set(split.train) & set(split.held_out):
            raise _unusable(path, f"fold {fold} has an empty side, or a case on both")
    return splits


def fold_rows(folder: RunFolder) -> list[FoldRow]:
    """What each fold of a run holds out."""
    fingerprint = named(folder.fingerprint(), folder.settings())
    cases = {case.name: case for case in split_cases(fingerprint.cases)}
    strata = volume_strata(list(cases.values()))
    rows = []
    for names in folder.splits().held_out:
        held_out = [cases[name] for name in names]
        rows.append(
            FoldRow(
                patients=len({case.patient for case in held_out}),
                cases=len(held_out),
                empty=sum(case.is_empty for case in held_out),
                with_class={name: sum(case.class_ml[name] > 0 for case in held_out) for name in fingerprint.labels[1:]},
                by_volume=tuple(sum(strata.get(name) == quarter for name in names) for quarter in range(VOLUME_STRATA)),
            )
        )
    return rows


def check_run_leaks(folder: RunFolder) -> None:
    """Make sure that no patient of a run is on both sides of a fold.

    Raises:
        InputError: one is.
    """
    splits = folder.splits()
    pairs = [Split(train=a, held_out=b) for a, b in zip(splits.train, splits.held_out, strict=True)]
    cases = split_cases(named(folder.fingerprint(), folder.settings()).cases)
    check_leaks(pairs, cases, where=str(folder.splits_file))


def _parse(content: Any) -> tuple[Split, ...]:
    """The folds of either format."""
    if isinstance(content, dict):
        stored = Splits.model_validate(content)
        pairs = list(zip(stored.train, stored.held_out, strict=True))
    else:
        pairs = [(fold["train"], fold["val"]) for fold in content]
    return tuple(
        Split(train=tuple(sorted(map(str, train))), held_out=tuple(sorted(map(str, held_out))))
        for train, held_out in pairs
    )


def _unusable(path: Path, found: str) -> InputError:
    return InputError(
        found,
        where=path,
        expected=f"{FOLDS} folds that each hold out other cases and train on the rest: splits.json of a run, or "
        "splits_final.json of nnU-Net",
        remedy="correct the file, or leave out --splits",
    )
