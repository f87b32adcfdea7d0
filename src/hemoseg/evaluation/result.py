"""Results read back from their files."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hemoseg.errors import InputError
from hemoseg.evaluation.nnunet import from_summary

_LENIENT = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Case(BaseModel):
    """One case of a result."""

    model_config = _LENIENT

    case: str
    """Name of the case."""
    patient: str | None = None
    """Whose scan it is, where the result says so."""
    classes: dict[str, dict[str, float | str | None]]
    """{class: {metric: value}}."""


class Mean(BaseModel):
    """A mean over cases."""

    model_config = _LENIENT

    value: float | None
    """None where not finite."""
    n: int
    """Cases with a value."""


class Result(BaseModel):
    """What comparisons need of a metrics.json, an evaluation.json or a summary.json of nnU-Net."""

    model_config = _LENIENT

    protocol: str
    """Name of the set of metrics."""
    cases: tuple[Case, ...]
    """The cases."""
    mean: dict[str, dict[str, Mean]]
    """{class: {metric: mean}}."""

    @model_validator(mode="after")
    def _cases_are_alike(self) -> "Result":
        """Each case is there once, with the classes and metrics of all others."""
        names = [case.case for case in self.cases]
        if len(set(names)) < len(names):
            raise ValueError("a case is there more than once")
        columns = [
            {name: [key for key in values if key != "note"] for name, values in case.classes.items()}
            for case in self.cases
        ]
        for name, found in zip(names, columns, strict=True):
            if found != columns[0]:
                raise ValueError(f"case {name} has other classes or metrics than case {names[0]}")
        return self


def read_result(path: Path) -> Result:
    """A result, also one that nnU-Net wrote.

    Raises:
        InputError: the file is absent, or holds no result.
    """
    try:
        content: Any = json.loads(path.read_bytes())
        if isinstance(content, dict) and "metric_per_case" in content:
            content = from_summary(content)
        return Result.model_validate(content)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError, ValidationError) as error:
        found = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise InputError(
            f"no result ({found})",
            where=path,
            expected="metrics.json of `hemoseg evaluate`, evaluation.json of a run, or summary.json of nnU-Net",
            remedy="check the path, or evaluate again",
        ) from error
