"""One file: what its header says, and its numbers."""

import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from hemoseg.arrays import Float64, Shaped
from hemoseg.errors import GeometryError, InputError
from hemoseg.geometry import Grid
from hemoseg.io.frame import Frame, read_frame
from hemoseg.io.header import PLAIN_TYPES, Header, header_fields, parse_header
from hemoseg.io.nifti import MAX_VOXELS, read_numbers, read_start

HEAD_SPACING_MM = (0.1, 20.0)
"""Voxels of a head CT lie well within; a thousandth or a thousandfold of them does not."""
UNITS_MM = {"meters": 1000.0, "millimeters": 1.0, "micrometers": 0.001}
"""Units of length in mm that a header can name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What there is to know of one file but its numbers."""

    problem: tuple[str, str] | None = None
    """Code and text of what keeps it from being used; None if nothing does."""
    shape: tuple[int, ...] = ()
    """Voxels along (z, y, x); empty if its numbers could not be read."""
    frame: Frame | None = None
    """Where its voxels lie; None if the header does not say it in a way that can be used."""
    factor_mm: float = 1.0
    """What takes the header's lengths to mm, whatever unit it names."""
    extra_axes: int = 0
    """Axes of length 1 after the third."""
    has_surplus: bool = False
    """Whether the file holds more data than the header says."""
    is_plain: bool = True
    """Whether it holds whole numbers without scale."""
    header: bytes = b""
    """The header as stored."""

    @property
    def grid(self) -> Grid | None:
        """Where its voxels lie, if that is known."""
        return None if self.frame is None else self.frame.grid


Numbers = Shaped[np.ndarray, "z y x"]


def read_file(path: Path) -> tuple[FileFacts, Header | None, Numbers | None]:
    """Facts, header and stored numbers of a file; nothing is raised for a damaged one.

    Returns:
        Header and numbers are None if the file cannot be read to its end.
    """
    try:
        header, array, surplus = read_numbers(path)
    except InputError as error:
        return FileFacts(problem=(_code_of(error, path), error.found)), None, None
    fields = header.fields
    count = int(fields["dim"][0])
    common: dict[str, Any] = {
        "shape": header.shape,
        "extra_axes": count - 3,
        "has_surplus": surplus,
        "is_plain": header.dtype.kind in "iu" and (header.slope, header.intercept) == (1.0, 0.0),
        "header": header.raw,
    }
    if min(header.shape) < 2:
        text = f"{' x '.join(map(str, header.shape))} voxels (z, y, x)"
        return FileFacts(problem=("single-slice", text), **common), header, None
    try:
        frame = read_frame(fields, header.shape, where=path)
    except GeometryError as error:
        unit = _true_unit(fields)
        if unit is None:
            return FileFacts(problem=("matrix", error.found), **common), header, array
        text = f"{error.found}; in {unit} they suit a head"
        return FileFacts(problem=("unit-wrong", text), factor_mm=UNITS_MM[unit], **common), header, array
    return FileFacts(frame=frame, factor_mm=UNITS_MM[frame.unit or "millimeters"], **common), header, array


def _code_of(error: InputError, path: Path) -> str:
    """The kind of what made reading fail."""
    if isinstance(error.__cause__, EOFError | zlib.error | IsalError | igzip.BadGzipFile):
        return "gzip-damaged"
    try:
        start = read_start(path)
        fields, _ = header_fields(start)
    except (InputError, ValueError):
        return "unreadable"
    count, *sizes = (int(value) for value in fields["dim"])
    sizes = sizes[: max(0, count)]
    if len(sizes) < 3 or min(sizes) < 1:
        return "unreadable"
    if prod(sizes[3:]) > 1:
        return "four-d"
    if int(fields["datatype"]) not in PLAIN_TYPES:
        return "voxel-type"
    if prod(sizes) > MAX_VOXELS:
        return "header-size"
    try:
        parse_header(start, where=path, max_voxels=MAX_VOXELS)
    except InputError:
        return "unreadable"
    return "header-size"  # the header alone is sound, so that the file is shorter than it says


def _true_unit(fields: Any) -> str | None:
    """The unit in which a header's numbers suit a head, where they do not in the one that it names."""
    spacing = _stored_spacing(fields)
    low, high = HEAD_SPACING_MM
    fitting = [u for u, mm in UNITS_MM.items() if np.all((spacing * mm >= low) & (spacing * mm <= high))]
    return fitting[0] if fitting else None


def _stored_spacing(fields: Any) -> Float64[np.ndarray, " axes"]:
    """Voxel sizes (x, y, z) as the header gives them, without a unit."""
    if int(fields["sform_code"]) > 0:
        rows = np.array([fields[name][:3] for name in ("srow_x", "srow_y", "srow_z")], dtype=np.float64)
        return np.asarray(np.linalg.norm(rows, axis=0))
    return np.asarray(np.abs(fields["pixdim"][1:4]), dtype=np.float64)
