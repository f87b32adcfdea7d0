"""The entry for scans, and a shorter one for what only measures them."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.arrays import Real, Shaped
from hemoseg.artifacts import readable, sha256_of
from hemoseg.errors import InputError
from hemoseg.geometry import Grid, Slice, Volume, uniform_slices
from hemoseg.io.frame import stored_spacing_mm
from hemoseg.io.header import Header, parse_header
from hemoseg.io.hu import check_hu
from hemoseg.io.nifti import MAX_VOXELS, read_start, read_stored, stem
from hemoseg.types import HU, FloatZYX


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScan:
    """A scan as measuring needs it: without a copy in float32 where that can be."""

    hu: Real[np.ndarray, "z y x"]
    """HU as stored, axes (z, y, x): whole numbers if the file holds 8 or 16 bits without scale, else float32."""
    grid: Grid
    """Where the voxels lie."""
    slices: tuple[Slice, ...]
    """One entry per slice along z."""
    stored_spacing_mm: FloatZYX
    """Spacing (z, y, x) to the bit as SimpleITK reads it."""
    warnings: tuple[str, ...]
    """What a reader of the result should know about the source; the same that `read_scan` gives."""


def read_scan(
    path: Path | str,
    *,
    assume_hu: bool = False,
    max_voxels: int = MAX_VOXELS,
    pseudo_hu: tuple[float, float] | None = None,
    least_slices: int = 2,
) -> Volume:
    """Read a head CT from a NIfTI file.

    Args:
        path: a `.nii` or `.nii.gz` file with one volume in Hounsfield units.
        assume_hu: accept values that do not look like HU, with a warning.
        max_voxels: larger volumes are refused from their header alone.
        pseudo_hu: bounds of HU that are known to be rebuilt from windowed pictures: values beyond them are refused,
            and nothing else is asked of them.
        least_slices: fewer are refused. One can be segmented, and its thickness is what its header says; data sets of
            volumes have no use for it.

    Returns:
        The volume as stored, padding included; doubts are in its `warnings`.

    Raises:
        InputError: the file cannot be read, holds no single volume, or its values are no HU.
        GeometryError: the position matrix cannot be trusted.
    """
    file = Path(path)
    stored = read_stored(file, max_voxels=max_voxels)
    _check_is_volume(stored.grid, where=file, least_slices=least_slices)
    with readable(file):
        digest = sha256_of(file)
    hu = _scaled(stored.array, stored.header)
    doubts = check_hu(hu, assume_hu=assume_hu, where=file, pseudo_hu=pseudo_hu)
    return Volume(
        hu=hu,
        grid=stored.grid,
        slices=uniform_slices(stored.grid),
        name=stem(file),
        stored_spacing_mm=stored_spacing_mm(stored.header.fields),
        nifti_header=stored.header.raw,
        sha256=digest,
        warnings=(*stored.warnings, *doubts, *_doubts_of_one_slice(stored.grid)),
    )


def reading_bytes(path: Path) -> int:
    """Most memory that `read_scan` takes for a file, by its header: voxels as stored, and in float32 or float64.

    Raises:
        InputError: the file is absent or no NIfTI; then reading it takes no memory.
    """
    header = parse_header(read_start(path), where=path, max_voxels=MAX_VOXELS)
    return header.data_bytes + prod(header.shape) * (12 if header.dtype.itemsize > 2 else 4)


def read_raw(path: Path, *, pseudo_hu: tuple[float, float] | None = None) -> RawScan:
    """Read a head CT from a NIfTI file without touching its numbers; what `read_scan` refuses is refused.

    Args:
        path: as for `read_scan`.
        pseudo_hu: as for `read_scan`.

    Raises:
        InputError: the file cannot be read, holds no single volume, or its values are no HU.
        GeometryError: the position matrix cannot be trusted.
    """
    stored = read_stored(path)
    _check_is_volume(stored.grid, where=path)
    hu = as_hu(stored.array, stored.header)
    return RawScan(
        hu=hu,
        grid=stored.grid,
        slices=uniform_slices(stored.grid),
        stored_spacing_mm=stored_spacing_mm(stored.header.fields),
        warnings=(*stored.warnings, *check_hu(hu, assume_hu=False, where=path, pseudo_hu=pseudo_hu)),
    )


def _check_is_volume(grid: Grid, *, where: Path, least_slices: int = 2) -> None:
    slices, *plane = (grid.shape[axis] for axis in grid.canonical_orientation().axes)
    if slices < least_slices or min(plane) < 2:
        raise InputError(
            f"a single picture: {' x '.join(map(str, grid.shape))} voxels (z, y, x)",
            where=where,
            expected="at least two slices" if least_slices > 1 else "a slice of at least 2 x 2 pixels",
            remedy="convert the whole series to one volume, for example with dcm2niix",
        )


def _doubts_of_one_slice(grid: Grid) -> tuple[str, ...]:
    axis = grid.canonical_orientation().axes[0]
    if grid.shape[axis] > 1:
        return ()
    return (f"a single slice: volumes rest on the {grid.spacing_mm[axis]:g} mm that its header says it is thick",)


def as_hu(array: Shaped[np.ndarray, "z y x"], header: Header) -> Real[np.ndarray, "z y x"]:
    """Stored numbers as HU: whole ones if they have 8 or 16 bits and no scale, else float32."""
    plain = array.dtype.kind in "iu" and array.dtype.itemsize <= 2 and (header.slope, header.intercept) == (1.0, 0.0)
    return array.astype(array.dtype.newbyteorder("="), copy=False) if plain else _scaled(array, header)


def _scaled(array: Shaped[np.ndarray, "z y x"], header: Header) -> HU:
    """Slope · stored + intercept, as float32; 32-bit and 64-bit numbers are scaled in float64."""
    slope, intercept = header.slope, header.intercept
    wide = array.dtype.itemsize > 2 and (slope, intercept) != (1.0, 0.0)
    with np.errstate(all="ignore"):  # what overflows becomes infinite, and is refused as such
        values: np.ndarray[Any, np.dtype[np.floating]] = array.astype(np.float64 if wide else np.float32)
        if slope != 1.0:
            values *= slope
        if intercept != 0.0:
            values += intercept
        return values.astype(np.float32, copy=False)
