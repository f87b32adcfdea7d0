"""Every case of a data set read once, and what is wrong or worth knowing about it."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hemoseg.datasets.index import Case, Dataset, shorten
from hemoseg.datasets.read import read_case
from hemoseg.errors import InputError
from hemoseg.geometry import Volume
from hemoseg.types import FloatZYX

Severity = Literal["error", "warning", "note"]
SPREAD = 1.5
"""Largest over smallest spacing along an axis from which a spread is worth a note."""

_PATIENT_AXES = (("S", "I"), ("P", "A"), ("L", "R"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found in a data set."""

    case: str
    """Name of the case, or `N cases` if several share the finding."""
    severity: Severity
    """`error`: training cannot use the case; `warning`: results may suffer; `note`: good to know."""
    found: str
    """What was found, with values."""
    remedy: str
    """What to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is kept of a case that was read."""

    case: Case
    orientation: str
    spacing_mm: FloatZYX
    content: str


def check_dataset(dataset: Dataset, *, progress: Callable[[int, int, str], None] | None = None) -> tuple[Finding, ...]:
    """Read every case and report errors, warnings and notes, in this order.

    Args:
        dataset: the cases, from `index_dataset`.
        progress: told (cases done, all cases, name of the case) after each case.

    Returns:
        Findings; equal ones (but for numbers) of several cases come as one.
    """
    findings: list[Finding] = []
    seen: list[_Seen] = []
    for number, case in enumerate(dataset.cases, start=1):
        try:
            volume, labels = read_case(case, dataset.table)
        except InputError as error:
            found = f"{error.found}; expected: {error.expected}"
            findings.append(Finding(case=case.name, severity="error", found=found, remedy=error.remedy))
        else:
            seen.append(_look(case, volume))
            findings.extend(_case_findings(case, volume, empty=not dataset.table.without_ignored(labels).any()))
        if progress is not None:
            progress(number, len(dataset.cases), case.name)
    found_together = (*_duplicates(seen), *_orientations(seen), *_spacings(seen), *_table_doubts(dataset))
    order: tuple[Severity, ...] = ("error", "warning", "note")
    return tuple(sorted((*_merge(findings), *found_together), key=lambda item: order.index(item.severity)))


def _look(case: Case, volume: Volume) -> _Seen:
    return _Seen(
        case=case,
        orientation=_orientation(volume),
        spacing_mm=volume.grid.spacing_mm,
        content=hashlib.sha256(np.ascontiguousarray(volume.hu).data).hexdigest(),
    )


def _case_findings(case: Case, volume: Volume, *, empty: bool) -> list[Finding]:
    remedy = "check that this is meant; see the limits in the documentation"
    findings = [Finding(case=case.name, severity="warning", found=text, remedy=remedy) for text in volume.warnings]
    if empty:
        remedy = "none, if this patient has no bleed; else the label is missing"
        findings.append(Finding(case=case.name, severity="note", found="the label is empty", remedy=remedy))
    return findings


def _merge(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for all cases whose texts differ in numbers at most."""
    groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for item in findings:
        groups[item.severity, re.sub(r"[\d.,]+", "#", item.found), item.remedy].append(item)
    return [group[0] if len(group) == 1 else _together(group) for group in groups.values()]


def _together(group: Sequence[Finding]) -> Finding:
    first = group[0]
    alike = all(item.found == first.found for item in group)
    found = first.found if alike else f"{first.found} (in {first.case}; values vary)"
    names = shorten([item.case for item in group])
    return Finding(
        case=f"{len(group)} cases",
        severity=first.severity,
        found=f"{found} [{names}]",
        remedy=first.remedy,
    )


def _duplicates(seen: Sequence[_Seen]) -> list[Finding]:
    groups: dict[str, list[Case]] = defaultdict(list)
    for item in seen:
        groups[item.content].append(item.case)
    return [
        Finding(
            case=f"{len(group)} cases",
            severity="warning",
            found=f"the same image under several names: {shorten([case.name for case in group])}",
            remedy="keep one, or give them one patient in patients.csv: they must not part into two folds",
        )
        for group in groups.values()
        if len(group) > 1
    ]


def _orientations(seen: Sequence[_Seen]) -> list[Finding]:
    counts: dict[str, int] = defaultdict(int)
    for item in seen:
        counts[item.orientation] += 1
    if len(counts) < 2:
        return []
    text = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return [
        Finding(
            case=f"{len(seen)} cases",
            severity="note",
            found=f"array axes (z, y, x) run in different ways: {text}",
            remedy="none: scans are brought to one orientation before training",
        )
    ]


def _spacings(seen: Sequence[_Seen]) -> list[Finding]:
    if not seen:
        return []
    spacing = np.array([item.spacing_mm for item in seen])
    low, high = spacing.min(axis=0), spacing.max(axis=0)
    if not np.any(high > SPREAD * low):
        return []
    text = ", ".join(f"{axis} {a:.3g} to {b:.3g}" for axis, a, b in zip("zyx", low, high, strict=True))
    return [
        Finding(
            case=f"{len(seen)} cases",
            severity="note",
            found=f"voxel spacing varies, in mm: {text}",
            remedy="none: scans are resampled to one spacing before training",
        )
    ]


def _table_doubts(dataset: Dataset) -> list[Finding]:
    remedy = "rename the class in dataset.json if one of the known names fits"
    return [
        Finding(case=f"{len(dataset.cases)} cases", severity="note", found=text, remedy=remedy)
        for text in dataset.table.warnings()
    ]


def _orientation(volume: Volume) -> str:
    """Where the array axes z, y, x run to: S or I (superior, inferior), P or A, L or R."""
    orientation = volume.grid.canonical_orientation()
    letters = ["", "", ""]
    for patient, (axis, flip) in enumerate(zip(orientation.axes, orientation.flips, strict=True)):
        letters[axis] = _PATIENT_AXES[patient][int(flip)]
    return "".join(letters)
