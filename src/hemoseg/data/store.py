"""Prepared cases on disk: `image.npy`, `label.npy` and `case.json` in one folder per case."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import read_model, whole_file, whole_folder, write_model
from hemoseg.errors import ArtifactError
from hemoseg.types import HU, LabelMap

REMEDY = "run `hemoseg preprocess --run DIR` again"


class CaseRecord(BaseModel):
    """What a prepared case was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    case: str
    """Name of the case."""
    source_sha256: str
    """SHA-256 of the image file and of the label file, joined and hashed."""
    plan_sha256: str
    """SHA-256 of the part of the plan that preprocessing depends on."""
    shape: tuple[int, int, int]
    """Voxels along (z, y, x) on the prepared grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCase:
    """A prepared case; the arrays are memory maps."""

    name: str
    """Name of the case."""
    hu: HU
    """Clamped HU, axes (z, y, x)."""
    labels: LabelMap
    """Class numbers, axes (z, y, x)."""
    previous: LabelMap | None
    """The previous stage's out-of-fold prediction on the same grid; None where there is no such stage."""


def write_case(folder: Path, record: CaseRecord, hu: HU, labels: LabelMap) -> None:
    """Write one prepared case; the folder appears whole or not at all."""
    with whole_folder(folder) as temporary:
        np.save(temporary / "image.npy", hu[None])
        np.save(temporary / "label.npy", labels)
        write_model(temporary / "case.json", record)


def write_previous(folder: Path, labels: LabelMap) -> None:
    """Add a previous stage's prediction, on the prepared grid, to a prepared case."""
    with whole_file(folder / "previous.npy") as temporary:
        np.save(temporary, labels)


def is_current(folder: Path, record: CaseRecord) -> bool:
    """Whether the folder holds the case, whole, as `record` describes it (its shape aside)."""
    try:
        stored = read_model(folder / "case.json", CaseRecord, remedy=REMEDY)
        open_case(folder)
    except ArtifactError:
        return False
    return stored.model_copy(update={"shape": record.shape}) == record


def open_case(folder: Path, *, with_previous: bool = False) -> StoredCase:
    """Open a prepared case without reading its arrays.

    Raises:
        ArtifactError: a file is absent or damaged.
    """
    record = read_model(folder / "case.json", CaseRecord, remedy=REMEDY)
    image = _open_array(folder / "image.npy")
    labels = _open_array(folder / "label.npy")
    previous = _open_array(folder / "previous.npy") if with_previous else None
    shapes = [array.shape for array in (image[0], labels, previous) if array is not None]
    if image.ndim != 4 or any(shape != record.shape for shape in shapes):
        raise ArtifactError(
            f"arrays of shape {', '.join(map(str, shapes))}",
            where=folder,
            expected=f"{record.shape} (z, y, x), as case.json says",
            remedy=REMEDY,
        )
    return StoredCase(name=record.case, hu=image[0], labels=labels, previous=previous)


def _open_array(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"cannot be read: {error}",
            where=path,
            expected="an array as `preprocess` writes it",
            remedy=REMEDY,
        ) from error
    return array
