"""JSON that others wrote: read strictly, with errors that name the file and the value."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from hemoseg.errors import InputError

Model = TypeVar("Model", bound=BaseModel)
REMEDY = "correct the file, or let nnU-Net write it again"
"""What to try with a file that is wrong."""


def read_json_object(path: Path, *, kind: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: the file.
        kind: what it should be, for errors, like `dataset.json of nnU-Net`.

    Raises:
        InputError: no file, no JSON, NaN or infinity in it, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise _unusable(error.strerror or str(error), path, kind) from error
    except (ValueError, RecursionError) as error:
        raise _unusable(f"no strict JSON: {error}", path, kind) from error
    if not isinstance(value, dict):
        raise _unusable(f"a JSON {type(value).__name__}", path, kind)
    return value


def checked(make: Callable[[], Model], *, where: Path | str, kind: str, remedy: str = REMEDY) -> Model:
    """What `make` returns, with pydantic's complaint turned into ours: the first value that is wrong, and why.

    Args:
        make: what makes it.
        where: the file.
        kind: what it should be.
        remedy: what to try.

    Raises:
        InputError: a value is missing, of another type or out of range.
    """
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(_shortened(part).strip("'") for part in first["loc"])  # keys of the file among them
        given = "" if first["type"] == "missing" else f", found {_shortened(first['input'])}"
        count = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        said = "an entry that is not known" if first["type"] == "extra_forbidden" else first["msg"]
        found = f"{at + ': ' if at else ''}{said}{given}{count}"
        raise InputError(found, where=where, expected=kind, remedy=remedy) from error


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _unusable(found: str, path: Path, kind: str) -> InputError:
    return InputError(found, where=path, expected=kind, remedy="check the path, or let nnU-Net write the file again")
