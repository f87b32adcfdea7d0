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
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from hemoseg.errors import InputError
from hemoseg.types import IntZYX

LONGEST_HEADER = Nifti2Header.sizeof_hdr
"""Bytes of the longest header; reading this many from the start of a file is enough."""
LARGEST_OFFSET = 2**26
"""Voxels start within the first 64 MB: header extensions hold texts and DICOM headers, not images."""

_MAGIC = {Nifti1Header: b"n+1\0", Nifti2Header: b"n+2\0\r\n\x1a\n"}
_PAIR_MAGIC = (b"ni1\0", b"ni2\0\r\n\x1a\n")
_DTYPES = {
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
    """The same as a nibabel header, unchecked by nibabel, for its named fields."""
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


def header_fields(raw: bytes) -> Any:
    """The nibabel header of 348 or 540 bytes whose first field says which; nothing is checked.

    Raises:
        ValueError: the bytes are no NIfTI header.
    """
    kinds: tuple[Any, ...] = (Nifti1Header, Nifti2Header)
    for kind in kinds:
        for mark in "<>":
            size = int(kind.sizeof_hdr)
            if len(raw) >= size and raw[:4] == struct.pack(f"{mark}i", size):
                return kind(raw[:size], endianness=mark, check=False)
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
    try:
        fields = header_fields(start)
    except ValueError as error:
        raise _refuse(f"{len(start)} bytes that begin with {start[:4]!r}", where=where) from error
    size = fields.sizeof_hdr
    _check_magic(start[:size], fields, where=where)
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
        dtype=_dtype(fields, where=where),
        offset=_offset(fields, where=where),
        slope=slope,
        intercept=intercept,
    )


def _check_magic(raw: bytes, fields: Any, *, where: Path) -> None:
    magic = raw[344:348] if fields.sizeof_hdr == Nifti1Header.sizeof_hdr else raw[4:12]
    if magic in _PAIR_MAGIC:
        raise _refuse("the header of a .hdr/.img pair", where=where)
    if magic != _MAGIC[type(fields)]:
        raise _refuse(f"magic bytes {magic!r}", where=where)


def _shape(fields: Any, *, where: Path) -> IntZYX:
    dimensions = [int(value) for value in fields["dim"]]
    count = dimensions[0]
    sizes = dimensions[1 : 1 + count] if 1 <= count <= 7 else []
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


def _dtype(fields: Any, *, where: Path) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code not in _DTYPES:
        raise InputError(
            f"data type {code} ({_OTHER_DTYPES.get(code, 'unknown')})",
            where=where,
            expected="whole or real numbers, one per voxel",
            remedy="convert the scan from its DICOM series, for example with dcm2niix",
        )
    return np.dtype(_DTYPES[code]).newbyteorder(fields.endianness)


def _offset(fields: Any, *, where: Path) -> int:
    smallest = fields.sizeof_hdr + 4
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
