"""`curves.png` of a fold."""

import json
from pathlib import Path
from typing import Any

from hemoseg.artifacts import whole_file
from hemoseg.errors import ArtifactError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.report import curves_png


def write_curves(folder: RunFolder, configuration: str, fold: int) -> bytes:
    """The curves of a fold from its logs, as they are written beside them.

    Raises:
        ArtifactError: a log is absent or damaged.
    """
    place = folder.fold(configuration, fold)
    epochs = _log_rows(place / "epochs.jsonl") if (place / "epochs.jsonl").is_file() else []
    png: bytes = curves_png(_log_rows(place / "train.jsonl"), f"{configuration}, fold {fold}", epochs)
    with whole_file(place / "curves.png") as temporary:
        temporary.write_bytes(png)
    return png


def read_text(path: Path, *, remedy: str) -> str:
    """A text of an earlier stage.

    Raises:
        ArtifactError: it is absent or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"cannot be read: {error}", where=path, expected="the file as the run wrote it", remedy=remedy
        ) from error


def _log_rows(log: Path) -> list[dict[str, Any]]:
    """The lines of a training's log.

    Raises:
        ArtifactError: it is absent or damaged.
    """
    remedy = "delete the fold's folder to train it anew"
    try:
        return [json.loads(line) for line in read_text(log, remedy=remedy).splitlines()]
    except ValueError as error:
        raise ArtifactError(f"no JSON: {error}", where=log, expected="one object a line", remedy=remedy) from error
