"""Names for the numbers in label files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.arrays import Shaped
from hemoseg.errors import InputError, LabelError
from hemoseg.evaluation.files import listed
from hemoseg.evaluation.many import run_cases
from hemoseg.io import read_labels
from hemoseg.labels import LabelTable
from hemoseg.scale import Job
from hemoseg.types import LabelMap

DESCRIPTION = "dataset.json"
"""Name of the file that names classes, beside the references or one folder above."""
MOST_CLASSES = 255
"""Foreground classes that a label map of 8 bits can hold."""
WHITE = 255
"""What masks that were written as pictures hold in place of 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNumbers:
    """Classes without names: the numbers that occur in the files."""

    numbers: tuple[int, ...]
    """0 and the numbers found, in ascending order."""

    @property
    def table(self) -> LabelTable:
        """The numbers as names of classes 1, 2, …"""
        return LabelTable(("background", *(str(number) for number in self.numbers[1:])))

    def rank(self, labels: Shaped[np.ndarray, "z y x"]) -> LabelMap:
        """The label map with each number replaced by its class in `table`."""
        ranked: LabelMap = np.searchsorted(self.numbers, labels).astype(np.uint8)
        return ranked


def read_table(path: Path) -> LabelTable:
    """The label table of a file like nnU-Net's dataset.json.

    Raises:
        InputError: the file is absent, no JSON, or has no `labels`.
        LabelError: the labels have gaps.
    """
    return LabelTable.from_mapping(read_labels_entry(path), where=str(path))


def read_labels_entry(path: Path) -> dict[str, Any]:
    """The entry `labels` of a file like nnU-Net's dataset.json, {name: number or region}.

    Raises:
        InputError: the file is absent, no JSON, or has no such entry.
    """
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"cannot be read as JSON ({error})",
            where=path,
            expected="a file like nnU-Net's dataset.json",
            remedy="check the path, or mend the file",
        ) from error
    labels = description.get("labels") if isinstance(description, dict) else None
    if not isinstance(labels, dict):
        raise InputError(
            "no labels",
            where=path,
            expected='an object with an entry like "labels": {"background": 0, "hemorrhage": 1}',
            remedy="add the entry",
        )
    return labels


def find_table(references: Path) -> Path | None:
    """The dataset.json beside the references or one folder above; None if there is none."""
    candidates = (references / DESCRIPTION, references.resolve().parent / DESCRIPTION)
    return next((path for path in candidates if path.is_file()), None)


def find_numbers(predictions: Sequence[Path], references: Sequence[Path]) -> FoundNumbers:
    """The numbers that occur in any of the files; each is read once.

    Raises:
        InputError: a file cannot be read.
        LabelError: no number above 0, negative ones, too many, none that both sides share, or masks of 0 and 255.
    """
    paths = list(dict.fromkeys((*predictions, *references)))
    held = run_cases(read_numbers, [Job(name=str(path), argument=path) for path in paths], None)
    numbers = dict(zip(paths, held, strict=True))
    predicted, expected = (set().union(*map(numbers.__getitem__, side)) for side in (predictions, references))
    found = sorted({0} | predicted | expected)
    if found[0] < 0 or not 2 <= len(found) <= MOST_CLASSES + 1:
        raise _no_classes(f"{len(found)} label values from {found[0]} to {found[-1]}", references)
    if predicted - {0} and expected - {0} and not predicted & expected - {0}:
        raise _no_classes(
            f"predictions hold {_listed(predicted)}, references {_listed(expected)}: no class in common",
            references,
        )
    of_bytes = [str(path) for path, found_here in numbers.items() if WHITE in found_here]
    if of_bytes:  # as a class of its own it would be scored against the 1 of other files, or pass for a name
        raise _no_classes(f"the value {WHITE} in {listed(of_bytes, 'file')}", references)
    return FoundNumbers(numbers=tuple(found))


def read_numbers(path: Path) -> set[int] | InputError:
    """The numbers in a label file; what is wrong with it is returned."""
    try:
        return {int(number) for number in np.unique(read_labels(path)[0])}
    except InputError as error:
        return error


def _listed(numbers: set[int]) -> str:
    shown = ", ".join(str(number) for number in sorted(numbers - {0})[:8])
    return shown + (", …" if len(numbers - {0}) > 8 else "")


def _no_classes(found: str, references: Sequence[Path]) -> LabelError:
    return LabelError(
        found,
        where=references[0].parent,
        expected="0 for background and the same whole numbers above it for classes in both folders",
        remedy="name the classes with --labels dataset.json (a 0/255 mask: divide by 255)",
    )
