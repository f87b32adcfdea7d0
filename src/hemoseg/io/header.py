"""The NIfTI header, checked before a single voxel is read.

Source: the NIfTI-1.1 header file nifti1.h (Cox and others, 2007) and its 64-bit successor nifti2.h,
https://nifti.nimh.nih.gov.
"""

import struct
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.errors import InputError
from hemoseg.types import IntZYX

NIFTI1_BYTES, NIFTI2_BYTES = 348, 540
"""Bytes of a header, which its first field repeats."""
LONGEST_HEADER = NIFTI2_BYTES
"""Reading this many bytes from the start of a file is enough."""
LARGEST_OFFSET = 2**26
"""Voxels start within the first 64 MB: header extensions hold texts and DICOM headers, not images."""

_MAGIC = {NIFTI1_BYTES: b"n+1\0", NIFTI2_BYTES: b"n+2\0\r\n\x1a\n"}
_MAGIC_AT = {NIFTI1_BYTES: 344, NIFTI2_BYTES: 4}
_PAIR_MAGIC = (b"ni1\0", b"ni2\0\r\n\x1a\n")
_LAYOUTS = {
    NIFTI1_BYTES: {
        "dim": ("i2", 8, 40),
        "datatype": ("i2", 1, 70),
        "pixdim": ("f4", 8, 76),
        "vox_offset": ("f4", 1, 108),
        "scl_slope": ("f4", 1, 112),
        "scl_inter": ("f4", 1, 116),
        "xyzt_units": ("u1", 1, 123),
        "qform_code": ("i2", 1, 252),
        "sform_code": ("i2", 1, 254),
        "quatern_b": ("f4", 1, 256),
        "quatern_c": ("f4", 1, 260),
        "quatern_d": ("f4", 1, 264),
        "qoffset_x": ("f4", 1, 268),
        "qoffset_y": ("f4", 1, 272),
        "qoffset_z": ("f4", 1, 276),
        "srow_x": ("f4", 4, 280),
        "srow_y": ("f4", 4, 296),
        "srow_z": ("f4", 4, 312),
    },
    NIFTI2_BYTES: {
        "datatype": ("i2", 1, 12),
        "dim": ("i8", 8, 16),
        "pixdim": ("f8", 8, 104),
        "vox_offset": ("i8", 1, 168),
        "scl_slope": ("f8", 1, 176),
        "scl_inter": ("f8", 1, 184),
        "qform_code": ("i4", 1, 344),
        "sform_code": ("i4", 1, 348),
        "quatern_b": ("f8", 1, 352),
        "quatern_c": ("f8", 1, 360),
        "quatern_d": ("f8", 1, 368),
        "qoffset_x": ("f8", 1, 376),
        "qoffset_y": ("f8", 1, 384),
        "qoffset_z": ("f8", 1, 392),
        "srow_x": ("f8", 4, 400),
        "srow_y": ("f8", 4, 432),
        "srow_z": ("f8", 4, 464),
        "xyzt_units": ("i4", 1, 500),
    },
}
"""{bytes of the header: {field: type, count, offset}} of the fields that are read here. nibabel has them too, but
takes longer to import than a scan takes to read."""
PLAIN_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_OTHER_DTYPES = {
    1: "1 bit per voxel",
    32: "complex numbers",
    128: "RGB colors",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colors",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a NIfTI header says of its voxels, after the checks."""

    raw: bytes
    """The header as stored: 348 bytes (NIfTI-1) or 540 (NIfTI-2)."""
    fields: Any
    """The same by the names of its fields, those that are read here."""
    shape: IntZYX
    """Voxels along (z, y, x), which is (k, j, i)."""
    dtype: np.dtype[Any]
    """Type of the stored numbers, in the file's byte order."""
    offset: int
    """Bytes from the start of the (inflated) file to the first voxel."""
    slope: float
    """Factor on stored numbers; 1 where the header gives none."""
    intercept: float
    """Added after the factor; 0 where the header gives none."""

    @property
    def data_bytes(self) -> int:
        """Bytes that the voxels take in the inflated file."""
        return prod(self.shape) * self.dtype.itemsize


def header_fields(raw: bytes) -> tuple[Any, str]:
    """The named fields of a header of 348 or 540 bytes, whose first field says which, and its byte order.

    Raises:
        ValueError: the bytes are no NIfTI header.
    """
    for size, layout in _LAYOUTS.items():
        for mark in "<>":
            if len(raw) >= size and raw[:4] == struct.pack(f"{mark}i", size):
                formats = [(mark + kind, (count,) if count > 1 else ()) for kind, count, _ in layout.values()]
                offsets = [offset for _, _, offset in layout.values()]
                kind = np.dtype({"names": [*layout], "formats": formats, "offsets": offsets, "itemsize": size})
                return np.frombuffer(raw[:size], dtype=kind)[0], mark
    raise ValueError("neither 348 nor 540 in the first field")


def parse_header(start: bytes, *, where: Path, max_voxels: int) -> Header:
    """Interpret the first bytes of an inflated file.

    Args:
        start: at least the header; `LONGEST_HEADER` bytes suffice.
        where: the file, for error texts.
        max_voxels: more voxels than this are refused.

    Raises:
        InputError: no NIfTI header, or one that asks for something this package does not read.
    """
    if len(start) < min(_LAYOUTS):
        raise InputError(
            f"a file cut short: {len(start)} bytes where a header has {min(_LAYOUTS)}",
            where=where,
            expected="a whole NIfTI file",
            remedy="copy the file again",
        )
    try:
        fields, byte_order = header_fields(start)
    except ValueError as error:
        raise _refuse(f"{len(start)} bytes that begin with {start[:4]!r}", where=where) from error
    size = fields.dtype.itemsize
    _check_magic(start[:size], where=where)
    slope, intercept = _scaling(fields, where=where)
    shape = _shape(fields, where=where)
    if prod(shape) > max_voxels:
        raise InputError(
            f"{prod(shape):,} voxels, {' x '.join(map(str, shape))} (z, y, x)",
            where=where,
            expected=f"at most {max_voxels:,} voxels",
            remedy="crop the scan to the head, or resample it",
        )
    return Header(
        raw=start[:size],
        fields=fields,
        shape=shape,
        dtype=_dtype(fields, byte_order, where=where),
        offset=_offset(fields, where=where),
        slope=slope,
        intercept=intercept,
    )


def _check_magic(raw: bytes, *, where: Path) -> None:
    expected = _MAGIC[len(raw)]
    magic = raw[_MAGIC_AT[len(raw)] :][: len(expected)]
    if magic in _PAIR_MAGIC:
        raise _refuse("the header of a .hdr/.img pair", where=where)
    if magic != expected:
        raise _refuse(f"magic bytes {magic!r}", where=where)


def _shape(fields: Any, *, where: Path) -> IntZYX:
    dimensions = [int(value) for value in fields["dim"]]
    count = dimensions[0]
    sizes = dimensions[1 : 1 + count] if 1 <= count <= 7 else []
    if len(sizes) == 2:
        raise InputError(
            f"a picture without a third dimension, {sizes[0]} x {sizes[1]}",
            where=where,
            expected="three dimensions (i, j, k): ITK writes 1 as thickness of such pictures, whatever it is",
            remedy="convert the whole series, or say how thick the slice is, say 5 mm, for example with SimpleITK: "
            "WriteImage(JoinSeries(image, 0.0, 5.0), FILE)",
        )
    if len(sizes) < 3 or min(sizes) < 1:
        raise InputError(
            f"dimensions {sizes or dimensions}",
            where=where,
            expected="three dimensions (i, j, k) of at least one voxel each",
            remedy="convert the whole series to one volume, for example with dcm2niix",
        )
    if prod(sizes[3:]) > 1:
        raise InputError(
            f"dimensions {sizes}: {prod(sizes[3:])} volumes in one file",
            where=where,
            expected="one volume",
            remedy="split the file, and give the non-contrast volume",
        )
    return sizes[2], sizes[1], sizes[0]


def _dtype(fields: Any, byte_order: str, *, where: Path) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code not in PLAIN_TYPES:
        raise InputError(
            f"data type {code} ({_OTHER_DTYPES.get(code, 'unknown')})",
            where=where,
            expected="whole or real numbers, one per voxel",
            remedy="convert the scan from its DICOM series, for example with dcm2niix",
        )
    return np.dtype(PLAIN_TYPES[code]).newbyteorder("<" if byte_order == "<" else ">")


def _offset(fields: Any, *, where: Path) -> int:
    smallest = fields.dtype.itemsize + 4
    stored = float(fields["vox_offset"])
    if stored == 0:  # some writers leave it out; the voxels then follow the header
        return int(smallest)
    if not smallest <= stored <= LARGEST_OFFSET:
        raise InputError(
            f"voxels are said to start at byte {stored:g}",
            where=where,
            expected=f"a start between bytes {smallest} and {LARGEST_OFFSET}",
            remedy="copy or convert the file again: its header is damaged",
        )
    return int(stored)


def _scaling(fields: Any, *, where: Path) -> tuple[float, float]:
    """scl_slope and scl_inter; a slope of 0 or NaN means that the stored numbers are the values."""
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or not isfinite(slope):
        return 1.0, 0.0
    if not isfinite(intercept):
        raise InputError(
            f"scl_slope {slope:g} with scl_inter {intercept:g}",
            where=where,
            expected="a finite scl_inter beside a finite scl_slope",
            remedy="copy or convert the file again: its header is damaged",
        )
    return slope, intercept


def _refuse(found: str, *, where: Path) -> InputError:
    return InputError(
        found,
        where=where,
        expected="a single-file NIfTI (.nii or .nii.gz)",
        remedy="convert the scan from its DICOM series, for example with dcm2niix",
    )
