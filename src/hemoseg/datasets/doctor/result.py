"""What a check found, as a table for people and as JSON for programs."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.doctor.kinds import KINDS, Severity
from hemoseg.datasets.index import shorten

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Instance(BaseModel):
    """One place where a defect was found."""

    model_config = _FROZEN

    cases: tuple[str, ...]
    """The cases it concerns together; none if it is the data set as such."""
    found: str
    """What was found, with values."""
    slices: tuple[int, ...]
    """Slices to look at, as stored, from 0."""


class Row(BaseModel):
    """One kind of defect and where it was found."""

    model_config = _FROZEN

    code: str
    """Its kind; a contract, see docs/reference/check-codes.md."""
    severity: Severity
    """`error`: training cannot use the case; `warning`: results may suffer; `note`: good to know."""
    meaning: str
    """What it is."""
    remedy: str
    """What to do about it."""
    repair: str
    """What `--fix` does about it; empty if that is not certain."""
    instances: tuple[Instance, ...]
    """Where it was found, at least once."""

    @property
    def where(self) -> str:
        """The case, how many, or the data set, for a table."""
        names = self.cases
        if not names:
            return "data set"
        return names[0] if len(names) == 1 else f"{len(names)} cases"

    @property
    def cases(self) -> list[str]:
        """All cases that it concerns, each once."""
        return list(dict.fromkeys(name for instance in self.instances for name in instance.cases))

    @property
    def text(self) -> str:
        """What was found, of all instances in one."""
        first = self.instances[0]
        if len(self.instances) == 1:
            return first.found
        if not first.cases:
            return "; ".join(instance.found for instance in self.instances)
        alike = all(instance.found == first.found for instance in self.instances)
        found = first.found if alike else f"{first.found} (in {first.cases[0]}; values vary)"
        return f"{found} [{shorten(self.cases)}]"


class Repair(BaseModel):
    """One thing that `--fix` did."""

    model_config = _FROZEN

    case: str
    """The case; empty if it is the data set as such."""
    code: str
    """The defect."""
    done: str
    """What was done."""


class CheckResult(BaseModel):
    """What `check --json` prints."""

    model_config = _FROZEN

    version: Literal[1] = 1
    """Schema version."""
    research_use_only: str
    """Stands in every result."""
    dataset: str
    """Name of the data set's folder."""
    cases: int
    """Cases of which there is an image or a label."""
    counts: dict[Severity, int]
    """Rows of each severity."""
    rows: tuple[Row, ...]
    """What was found, errors first; one row per kind."""
    repairs: tuple[Repair, ...] = ()
    """What `--fix` did."""
    left: dict[Severity, int] | None = None
    """Rows of each severity that a check of the repaired data set finds; None without `--fix`."""


def make_rows(findings: Sequence[Finding]) -> tuple[Row, ...]:
    """One row per kind, in the order of the findings."""
    groups: dict[str, list[Instance]] = defaultdict(list)
    for item in findings:
        groups[item.code].append(Instance(cases=item.cases, found=item.found, slices=item.slices))
    return tuple(
        Row(
            code=code,
            severity=KINDS[code].severity,
            meaning=KINDS[code].meaning,
            remedy=KINDS[code].remedy,
            repair=KINDS[code].repair,
            instances=tuple(instances),
        )
        for code, instances in groups.items()
    )


def count_rows(rows: Sequence[Row]) -> dict[Severity, int]:
    """Rows of each severity."""
    counts: dict[Severity, int] = {"error": 0, "warning": 0, "note": 0}
    for row in rows:
        counts[row.severity] += 1
    return counts
