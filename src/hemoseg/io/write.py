"""NIfTI files out: masks in the frame of their scan, and scans. The same input gives the same bytes."""

from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import igzip

from hemoseg.arrays import Float, Shaped
from hemoseg.artifacts import whole_file
from hemoseg.errors import GeometryError
from hemoseg.geometry import Grid, Volume
from hemoseg.io.frame import is_orthogonal, lps_to_nifti
from hemoseg.io.header import NIFTI1_BYTES, header_fields
from hemoseg.types import LabelMap

FRAME_FIELDS = (
    *("dim", "pixdim", "xyzt_units", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)
"""What a mask takes from the header of its scan: where the voxels lie. Texts and display ranges, which
may name a patient or mislead a viewer, are left behind."""


def write_mask(path: Path, labels: LabelMap, volume: Volume) -> None:
    """Write a label map in the frame of its scan: shape, sform, qform, codes and units are the scan's.

    Args:
        path: file to write, `.nii.gz` or `.nii`; it appears whole or not at all.
        labels: class numbers, axes (z, y, x), of the volume's shape.
        volume: the scan that was segmented.

    Raises:
        GeometryError: the shapes differ.
        ResourceError: the file cannot be written.
    """
    if labels.shape != volume.grid.shape:
        raise GeometryError(
            f"a mask of {labels.shape} voxels (z, y, x)",
            where=path,
            expected=f"the shape of {volume.name}, {volume.grid.shape}",
            remedy="bring the mask back to the scan's own grid first",
        )
    write_labels(path, labels, volume.grid, volume.nifti_header)


def write_map(path: Path, values: Float[np.ndarray, "z y x"], volume: Volume) -> None:
    """Write values by voxel as float32 in the frame of their scan, like `write_mask`.

    Args:
        path: file to write, `.nii.gz` or `.nii`; it appears whole or not at all.
        values: axes (z, y, x), of the volume's shape.
        volume: the scan that they belong to.

    Raises:
        ResourceError: the file cannot be written.
    """
    assert values.shape == volume.grid.shape
    _write(path, values.astype(np.float32), volume.grid, volume.nifti_header)


def write_labels(path: Path, labels: LabelMap, grid: Grid, nifti_header: bytes | None) -> None:
    """Write a label map in a frame that is known to be its own.

    Args:
        path: file to write, `.nii.gz` or `.nii`; it appears whole or not at all.
        labels: class numbers, axes (z, y, x), of the grid's shape.
        grid: where the voxels lie.
        nifti_header: header of a NIfTI file on this grid, whose frame is taken; None writes the grid's.

    Raises:
        ResourceError: the file cannot be written.
    """
    _write(path, labels, grid, nifti_header)


def write_scan(path: Path, volume: Volume) -> None:
    """Write the HU of a volume: int16 if all are whole and fit, else float32.

    Args:
        path: file to write, `.nii.gz` or `.nii`; it appears whole or not at all.
        volume: the scan; its frame is that of its NIfTI header, or of its grid if it has none.

    Raises:
        ResourceError: the file cannot be written.
    """
    limits = np.iinfo(np.int16)
    fits = bool(np.all((volume.hu >= limits.min) & (volume.hu <= limits.max) & (volume.hu == np.rint(volume.hu))))
    _write(path, volume.hu.astype(np.int16) if fits else volume.hu, volume.grid, volume.nifti_header)


def _write(path: Path, array: Shaped[np.ndarray, "z y x"], grid: Grid, nifti_header: bytes | None) -> None:
    header = _header_of(grid, nifti_header)
    header.set_data_dtype(array.dtype)
    header["vox_offset"] = header.sizeof_hdr + 4
    no_extensions = b"\0" * 4
    with whole_file(path) as temporary, temporary.open("wb") as file:
        parts = (header.binaryblock, no_extensions, np.ascontiguousarray(array).data)
        if not path.name.endswith(".gz"):
            file.writelines(parts)
            return
        with zipped_into(file) as zipped:
            for part in parts:
                zipped.write(part)


def zipped_into(file: IO[bytes]) -> Any:
    """A gzip stream without file name and time in its header: the same content gives the same bytes."""
    return igzip.IGzipFile(filename="", mode="wb", fileobj=file, mtime=0)  # type: ignore[no-untyped-call]


def _header_of(grid: Grid, nifti_header: bytes | None) -> Any:
    """A new header with the frame of another header, or of the grid, and nothing else, little-endian."""
    if nifti_header is None:
        return _header_from_grid(grid)
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    kinds: dict[bool, Any] = {True: Nifti1Header, False: Nifti2Header}
    kind = kinds[len(nifti_header) == NIFTI1_BYTES]
    _, byte_order = header_fields(nifti_header)
    source = kind(nifti_header, endianness=byte_order, check=False)
    header = kind(endianness="<")
    for name in FRAME_FIELDS:
        header[name] = source[name]
    return header


def _header_from_grid(grid: Grid) -> Any:
    """sform and, where the axes stand at right angles, qform: both with code 1 (scanner)."""
    from nibabel.nifti1 import Nifti1Header

    header: Any = Nifti1Header(endianness="<")  # type: ignore[no-untyped-call]
    header.set_data_shape(grid.shape[::-1])
    header.set_xyzt_units("mm")
    affine = lps_to_nifti(grid)
    header["pixdim"][1:4] = grid.spacing_mm[::-1]
    if is_orthogonal(grid):
        header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    return header
