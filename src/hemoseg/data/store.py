"""Prepared cases on disk: image, label map and `case.json` in one folder per case."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import read_model, sha256_of, whole_file, whole_folder, write_model
from hemoseg.errors import ArtifactError, ResourceError
from hemoseg.settings import StoreFormat
from hemoseg.types import Channels, IntZYX, Labels

REMEDY = "run `hemoseg preprocess --run DIR` again"
CHUNK_VOXELS = (8, 64, 64)
"""Largest chunk (z, y, x) of a compressed array: a patch reads little beyond itself."""


@runtime_checkable
class Sliced(Protocol):
    """An array on disk: a memory map, or a compressed one; slicing reads what is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""

    def __getitem__(self, item: Any, /) -> np.ndarray:
        """A part of it, in memory."""


class CaseRecord(BaseModel):
    """What a prepared case was made from, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[3] = 3
    """Schema version."""
    case: str
    """Name of the case."""
    source_sha256: str
    """SHA-256 of the image file and of the label file, joined and hashed."""
    plan_sha256: str
    """SHA-256 of the part of the plan that preprocessing depends on."""
    format: StoreFormat = "npy"
    """How the arrays lie on disk."""
    shape: tuple[int, int, int, int]
    """Channels and voxels (c, z, y, x) on the prepared grid."""
    image_sha256: str = ""
    """SHA-256 of the image's file beside the record; `write_case` fills it in."""
    label_sha256: str = ""
    """SHA-256 of the label map's file beside the record; `write_case` fills it in."""
    properties: dict[str, Any] = {}
    """How the case came to its grid: the steps with their numbers, for people and other programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCase:
    """A prepared case; the arrays are read when they are sliced."""

    name: str
    """Name of the case."""
    image: Sliced
    """Clamped HU in one channel, or channels, axes (c, z, y, x)."""
    labels: Sliced
    """Class numbers, axes (z, y, x)."""
    previous: Sliced | None
    """The previous stage's out-of-fold prediction on the same grid; None where there is no such stage."""

    @property
    def shape(self) -> IntZYX:
        """Voxels along (z, y, x)."""
        _, z, y, x = self.image.shape
        return z, y, x


def write_case(folder: Path, record: CaseRecord, image: Channels, labels: Labels) -> None:
    """Write one prepared case; the folder appears whole or not at all."""
    save = _writer(record.format)
    with whole_folder(folder) as temporary:
        image_file, label_file = _files(temporary, record)
        save(image_file, image)
        save(label_file, labels)
        hashes = {"image_sha256": sha256_of(image_file), "label_sha256": sha256_of(label_file)}
        write_model(temporary / "case.json", record.model_copy(update=hashes))


def write_previous(folder: Path, labels: Labels) -> None:
    """Add a previous stage's prediction, on the prepared grid, to a prepared case."""
    with whole_file(folder / "previous.npy") as temporary:
        np.save(temporary, labels)


def is_current(folder: Path, record: CaseRecord) -> bool:
    """Whether the folder holds the case, to the byte, as `record` describes it.

    Shape, properties and hashes are those of the stored record. Both arrays are read to compare their hashes.
    """
    try:
        stored = check_case(folder, plan_sha256=record.plan_sha256)
        open_case(folder, plan_sha256=record.plan_sha256)
    except ArtifactError:
        return False
    own = {name: getattr(record, name) for name in ("shape", "properties", "image_sha256", "label_sha256")}
    return stored.model_copy(update=own) == record


def check_case(folder: Path, *, plan_sha256: str) -> CaseRecord:
    """Read the arrays of a prepared case once and compare them with their hashes; its record.

    Raises:
        ArtifactError: a file is absent or differs from what was written, or was made to another plan.
    """
    record = _read_record(folder, plan_sha256)
    for path, expected in zip(_files(folder, record), (record.image_sha256, record.label_sha256), strict=True):
        try:
            found = sha256_of(path)
        except OSError as error:
            raise _damaged(path, error) from error
        if found != expected:
            raise ArtifactError(
                f"has SHA-256 {found[:12]}…", where=path, expected=f"{expected[:12]}…, as written", remedy=REMEDY
            )
    return record


def open_case(folder: Path, *, plan_sha256: str, with_previous: bool = False) -> StoredCase:
    """Open a prepared case without reading its arrays: their shapes and types are checked, their values are not.

    Args:
        folder: the case's folder.
        plan_sha256: hash of the part of the plan that preprocessing depends on.
        with_previous: whether the previous stage's prediction is needed.

    Raises:
        ArtifactError: a file is absent or damaged, or was made to another plan.
    """
    record = _read_record(folder, plan_sha256)
    image_file, label_file = _files(folder, record)
    image = _open_array(image_file, record.shape, kinds="f", itemsize=4)
    labels = _open_array(label_file, record.shape[1:], kinds="iu")
    previous = _open_array(folder / "previous.npy", record.shape[1:], kinds="iu") if with_previous else None
    return StoredCase(name=record.case, image=image, labels=labels, previous=previous)


def _read_record(folder: Path, plan_sha256: str) -> CaseRecord:
    record = read_model(folder / "case.json", CaseRecord, remedy=REMEDY)
    if record.plan_sha256 != plan_sha256:
        raise ArtifactError(
            f"was prepared to another plan ({record.plan_sha256[:12]}…)",
            where=folder,
            expected=f"the plan of the run ({plan_sha256[:12]}…)",
            remedy=REMEDY,
        )
    return record


def _files(folder: Path, record: CaseRecord) -> tuple[Path, Path]:
    """The files of image and label map."""
    ending = ENDINGS[record.format]
    return folder / f"image{ending}", folder / f"label{ending}"


ENDINGS = {"npy": ".npy", "blosc2": ".b2nd"}
"""{format: ending of its files}."""


def check_format(store: StoreFormat) -> None:
    """Make sure that a format can be written here.

    Raises:
        ResourceError: it needs a library that is not installed.
    """
    _writer(store)


def _writer(store: StoreFormat) -> Callable[[Path, np.ndarray], None]:
    if store == "npy":
        return np.save
    blosc2 = _blosc2(where="--store blosc2")

    def save(path: Path, array: np.ndarray) -> None:
        chunks = tuple(map(min, array.shape, (1,) * (array.ndim - 3) + CHUNK_VOXELS))
        cparams = {"codec": blosc2.Codec.ZSTD, "clevel": 3, "filters": [blosc2.Filter.BITSHUFFLE]}
        blosc2.asarray(np.ascontiguousarray(array), urlpath=str(path), mode="w", chunks=chunks, cparams=cparams)

    return save


class _OnDisk:
    """An array in a file. To another process it goes as its path, and is opened there when it is first sliced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: Sliced | None = None

    @property
    def array(self) -> Sliced:
        """The array.

        Raises:
            ArtifactError: the file is absent or damaged.
        """
        if self._opened is None:
            self._opened = _open_blosc2(self.path) if self.path.suffix == ".b2nd" else _open_npy(self.path)
        return self._opened

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""
        return self.array.dtype

    def __getitem__(self, item: Any, /) -> Any:
        """A part of it, in memory."""
        return self.array[item]

    def __reduce__(self) -> tuple[type["_OnDisk"], tuple[Path]]:
        return type(self), (self.path,)


def _open_array(path: Path, shape: tuple[int, ...], *, kinds: str, itemsize: int | None = None) -> Sliced:
    array = _OnDisk(path)
    known = array.dtype.kind in kinds and itemsize in (None, array.dtype.itemsize)
    if tuple(array.shape) != shape or not known:
        raise ArtifactError(
            f"an array of shape {tuple(array.shape)} and type {array.dtype}",
            where=path,
            expected=f"shape {shape}, as case.json says, and {'float32' if itemsize else 'whole numbers'}",
            remedy=REMEDY,
        )
    return array


def _open_npy(path: Path) -> Sliced:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    return array


def _open_blosc2(path: Path) -> Sliced:
    blosc2 = _blosc2(where=path)
    try:
        array = blosc2.open(str(path), mode="r")
    except (OSError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(array, blosc2.NDArray):
        raise _damaged(path, "no array")
    opened: Sliced = array
    return opened


def _blosc2(*, where: Path | str) -> Any:
    try:
        import blosc2
    except ImportError as error:
        raise ResourceError(
            "the library blosc2 is not installed",
            where=where,
            expected="it, for compressed arrays",
            remedy="pip install 'hemoseg[blosc2]', or use --store npy",
        ) from error
    return blosc2


def _damaged(path: Path, error: object) -> ArtifactError:
    return ArtifactError(
        f"cannot be read: {error}", where=path, expected="an array as `preprocess` writes it", remedy=REMEDY
    )
