"""NIfTI files as arrays of stored numbers. Nothing is inflated before its header has been checked."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from hemoseg.arrays import Shaped
from hemoseg.artifacts import readable
from hemoseg.errors import InputError
from hemoseg.geometry import Grid
from hemoseg.io.frame import read_grid
from hemoseg.io.header import LONGEST_HEADER, Header, parse_header

MAX_VOXELS = 2**28
"""Default cap: 1024 slices of 512 x 512. Above it a damaged or hostile header is likelier than a head."""
PIECE = 2**20
"""Bytes inflated at once: pieces that stay in the cache take half the time that a whole volume takes."""
DEFLATE_RATIO = 1032
"""No deflate stream grows by more than this factor (zlib's technical notes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A NIfTI file as it is."""

    array: Shaped[np.ndarray, "z y x"]
    """The stored numbers, axes (z, y, x), without slope and intercept."""
    header: Header
    """What the header says."""
    grid: Grid
    """Where the voxels lie."""
    warnings: tuple[str, ...]
    """Doubts about the frame and the file."""


def stem(path: Path) -> str:
    """The file name without `.nii` or `.nii.gz`.

    Raises:
        InputError: the name ends otherwise, or begins with a dot: no result folder can be named after it.
    """
    for ending in (".nii.gz", ".nii"):
        if path.name.lower().endswith(ending) and not path.name.startswith("."):
            return path.name[: -len(ending)]
    raise InputError(
        f"a file named '{path.name}'",
        where=path,
        expected="a NIfTI file, NAME.nii or NAME.nii.gz",
        remedy="convert the scan, for example with dcm2niix",
    )


def read_stored(path: Path, *, max_voxels: int = MAX_VOXELS) -> Stored:
    """Read a single-file NIfTI, gzipped or plain.

    Args:
        path: a `.nii` or `.nii.gz` file; whether it is gzipped is seen from its first bytes.
        max_voxels: larger volumes are refused from their header alone.

    Raises:
        InputError: the file is absent, no NIfTI, damaged, cut short, or holds no single volume of numbers.
        GeometryError: the header's matrix cannot be trusted.
    """
    with _inflating(path) as handle:
        start = handle.read(LONGEST_HEADER)
        header = parse_header(start, where=path, max_voxels=max_voxels)
        grid, doubts = read_grid(header.fields, header.shape, where=path)
        array, surplus = _read_array(handle, start, header, where=path)
    if surplus:
        doubts = (*doubts, "the file holds more data than its header says; the surplus was left out")
    return Stored(array=array, header=header, grid=grid, warnings=doubts)


def read_numbers(path: Path) -> tuple[Header, Shaped[np.ndarray, "z y x"], bool]:
    """The header of a NIfTI file, its numbers, and whether it holds more data than the header says.

    Where its voxels lie is not looked at, so a file with a damaged frame can be examined.

    Raises:
        InputError: as `read_stored`.
    """
    with _inflating(path) as handle:
        start = handle.read(LONGEST_HEADER)
        header = parse_header(start, where=path, max_voxels=MAX_VOXELS)
        array, surplus = _read_array(handle, start, header, where=path)
    return header, array, surplus


def read_place(path: Path) -> Grid:
    """Where the voxels of a NIfTI file lie, from its header alone.

    Raises:
        InputError: the file is absent or no NIfTI.
        GeometryError: the header's matrix cannot be trusted.
    """
    header = parse_header(read_start(path), where=path, max_voxels=MAX_VOXELS)
    return read_grid(header.fields, header.shape, where=path)[0]


def read_start(path: Path) -> bytes:
    """The first bytes of a file after inflation, enough for any header.

    Raises:
        InputError: the file cannot be read or its gzip stream is damaged there.
    """
    with _inflating(path) as handle:
        start: bytes = handle.read(LONGEST_HEADER)
    return start


@contextmanager
def _inflating(path: Path) -> Iterator[Any]:
    """The bytes of a file, inflated if it is gzipped."""
    with _readable(path), _open(path) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        yield igzip.IGzipFile(fileobj=file, mode="rb") if zipped else file  # type: ignore[no-untyped-call]


def _open(path: Path) -> IO[bytes]:
    if not path.is_file():
        raise InputError(
            "a folder" if path.is_dir() else "no such file",
            where=path,
            expected="a NIfTI file, .nii or .nii.gz",
            remedy="check the path",
        )
    stem(path)
    return path.open("rb")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Failures of the disk or of the gzip stream as input errors."""
    with readable(path):
        try:
            yield
        except (EOFError, zlib.error, IsalError, igzip.BadGzipFile) as error:  # type: ignore[misc]
            raise InputError(
                f"a gzip stream that is cut short or damaged ({error})",
                where=path,
                expected="a whole gzip file",
                remedy="copy the file again; `gzip -t` tells whether it is whole",
            ) from error


def _check_size(header: Header, available: int, *, where: Path) -> None:
    """Refuse what cannot hold its voxels, before memory is taken for them."""
    needed = header.offset + header.data_bytes
    if available < needed:
        raise _too_short(f"at most {available:,} bytes", needed, where)


def _read_array(handle: Any, start: bytes, header: Header, *, where: Path) -> tuple[Shaped[np.ndarray, "z y x"], bool]:
    """The voxels, and whether more data follow. Asking for more also makes gzip check its sum."""
    size = where.stat().st_size
    zipped = isinstance(handle, igzip.IGzipFile)
    _check_size(header, size * DEFLATE_RATIO if zipped else size, where=where)
    early = start[header.offset :][: header.data_bytes]
    gap = header.offset - len(start)
    if gap > 0:
        handle.read(gap)
    data = np.empty(header.data_bytes, dtype=np.uint8)
    view = data.data
    filled = len(early)
    view[:filled] = early
    while filled < len(data):
        count = handle.readinto(view[filled : filled + PIECE])
        if not count:
            raise _too_short(f"{filled:,} bytes of voxels", header.data_bytes, where)
        filled += count
    surplus = len(start) > header.offset + header.data_bytes or bool(handle.read(1))
    return data.view(header.dtype).reshape(header.shape), surplus


def _too_short(found: str, needed: int, where: Path) -> InputError:
    return InputError(
        found,
        where=where,
        expected=f"{needed:,} bytes, as the header says",
        remedy="copy the file again: it was cut short, or its header is damaged",
    )
