"""Results read back from their files."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

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
        first = str(error).splitlines()[0]
        raise InputError(
            f"no result ({first})",
            where=path,
            expected="metrics.json of `hemoseg evaluate`, evaluation.json of a run, or summary.json of nnU-Net",
            remedy="check the path, or evaluate again",
        ) from error
