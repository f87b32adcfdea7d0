"""Where the voxels of a NIfTI file lie: sform, qform and units, turned into a grid in LPS."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.arrays import Float64
from hemoseg.errors import GeometryError
from hemoseg.geometry import Grid
from hemoseg.types import FloatZYX, IntZYX

Affine = Float64[np.ndarray, "4 4"]

SPACING_LIMITS_MM = (0.01, 100.0)
"""Voxels outside this range are no head CT: a wrong unit or a damaged header."""
FRAMES_DIFFER_MM = 0.5
"""sform and qform that put a corner further apart than this are said to differ: about a pixel."""
SHEAR_DEGREES = 0.1
"""Axes further from a right angle than this are sheared; float32 headers stay well below."""
SIZES_DIFFER = 0.01
"""Share by which a voxel size of the header may be off that of the sform before it is told: 3 % of a volume."""
SINGULAR = 1e-3
"""Volume of the unit cell below which three axes count as lying in one plane."""

_UNITS_MM = {1: ("meters", 1000.0), 3: ("micrometers", 0.001)}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where voxels lie, and what is doubtful about it."""

    grid: Grid
    """The grid."""
    unit: str
    """Unit of the header's lengths where it is not the millimeter; else empty."""
    has_place: bool
    """Whether an sform or a qform says how the head lies."""
    apart_mm: float
    """The largest distance at which sform and qform put the same corner; 0 if there are not both."""
    shear_degrees: float
    """How far the axes are from right angles."""
    no_sizes: str
    """Voxel sizes of the header, (x, y, z), where one of them is none, for which other programs take 1; else empty."""
    signed_sizes: str
    """The same where one of them is below 0, for which other programs mirror the axis; else empty."""
    other_sizes: str
    """The same where the sform has others, and no shear explains it; else empty."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a reader of the result should know."""
        doubts = []
        if self.unit:
            doubts.append(f"lengths in {self.unit} were taken to millimeters")
        if not self.has_place:
            doubts.append(
                "the file does not say how the head lies (sform and qform codes are 0): orientation is unknown"
            )
        if self.apart_mm > FRAMES_DIFFER_MM:
            doubts.append(f"sform and qform put a corner of the scan {self.apart_mm:.1f} mm apart: the sform is used")
        if self.shear_degrees > SHEAR_DEGREES:
            degrees = self.shear_degrees
            doubts.append(f"the voxel grid is sheared by {degrees:.1f} degrees, as a tilted gantry leaves it")
        if self.no_sizes:
            doubts.append(
                f"the header's voxel sizes are {self.no_sizes} (x, y, z): those of its matrix are used, but models "
                "imported from nnU-Net take 1 for one that is 0 or not finite, as nnU-Net does"
            )
        if self.signed_sizes:
            doubts.append(
                f"the header's voxel sizes are {self.signed_sizes} (x, y, z): signs are left out, as nibabel does, but "
                "programs built on ITK mirror such an axis, and show scan and mask so"
            )
        if self.other_sizes:
            z, y, x = self.grid.spacing_mm
            doubts.append(
                f"the header's voxel sizes are {self.other_sizes} (x, y, z), its sform's {x:g} x {y:g} x {z:g} mm: "
                "volumes are by the sform; nnU-Net, models imported from it, and ITK take the others"
            )
        return tuple(doubts)


def read_grid(fields: Any, shape: IntZYX, *, where: Path) -> tuple[Grid, tuple[str, ...]]:
    """The grid of a NIfTI header, and what is doubtful about it.

    The sform is used if its code is above 0, else the qform if its code is, else the voxel sizes alone.

    Args:
        fields: the header by names of its fields.
        shape: voxels along (z, y, x).
        where: the file, for error texts.

    Raises:
        GeometryError: the matrix is not finite or singular, or a spacing is out of all reason.
    """
    frame = read_frame(fields, shape, where=where)
    return frame.grid, frame.doubts


def read_frame(fields: Any, shape: IntZYX, *, where: Path) -> Frame:
    """The grid of a NIfTI header with what there is to say about it, as numbers; see `read_grid`.

    Raises:
        GeometryError: the matrix is not finite or singular, or a spacing is out of all reason.
    """
    unit, factor = _UNITS_MM.get(int(fields["xyzt_units"]) & 7, ("", 1.0))
    with np.errstate(all="ignore"):  # damaged headers overflow; the check below says so
        matrix, apart_mm = _choose(fields, shape, factor, where=where)
        lps = _RAS_TO_LPS @ matrix[:, [2, 1, 0, 3]]
        _check(lps, where=where)
    grid = Grid.from_affine(shape, lps)
    return Frame(
        grid=grid,
        unit=unit,
        has_place=int(fields["sform_code"]) > 0 or int(fields["qform_code"]) > 0,
        apart_mm=apart_mm,
        shear_degrees=_shear_degrees(grid),
        no_sizes=_told_sizes(fields, lambda size: not _is_size(abs(size))),
        signed_sizes=_told_sizes(fields, lambda size: size < 0),
        other_sizes=_other_sizes(fields, grid),
    )


def stored_spacing_mm(fields: Any) -> FloatZYX:
    """Spacing (z, y, x) to the bit as SimpleITK reads it: the voxel sizes of the header, whatever the sform says.

    A size of 0 or none that is finite counts as 1, as in nifti1_io.c.

    Args:
        fields: the header by names of its fields.
    """
    _, factor = _UNITS_MM.get(int(fields["xyzt_units"]) & 7, ("", 1.0))
    sizes = [abs(float(fields["pixdim"][axis])) for axis in (3, 2, 1)]
    z, y, x = ((size if _is_size(size) else 1.0) * factor for size in sizes)
    return z, y, x


def lps_to_nifti(grid: Grid) -> Affine:
    """The matrix that takes an index (i, j, k, 1) to RAS mm."""
    matrix: Affine = (_RAS_TO_LPS @ grid.affine_lps)[:, [2, 1, 0, 3]]
    return matrix


def is_orthogonal(grid: Grid) -> bool:
    """Whether the axes of a grid stand at right angles, so that a qform can hold them."""
    return _shear_degrees(grid) <= SHEAR_DEGREES


def _choose(fields: Any, shape: IntZYX, factor: float, *, where: Path) -> tuple[Affine, float]:
    """The matrix to RAS mm, and how far that of the qform is from it in mm."""
    has_sform, has_qform = int(fields["sform_code"]) > 0, int(fields["qform_code"]) > 0
    scale = np.diag([factor, factor, factor, 1.0])
    qform = _qform(fields) if has_qform else None
    if has_sform:
        sform = np.eye(4)
        for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
            sform[row] = fields[name]
        return scale @ sform, _apart_mm(scale @ sform, scale @ qform, shape) if qform is not None else 0.0
    if qform is not None:
        return scale @ qform, 0.0
    if has_qform:
        raise _damaged("a qform whose quaternion is longer than 1 or whose voxel sizes are 0 or not finite", where)
    spacing = np.abs(np.asarray(fields["pixdim"][1:4], dtype=np.float64))
    return scale @ np.diag([*spacing, 1.0]), 0.0


def _qform(fields: Any) -> Affine | None:
    """The qform matrix; None where the header holds no rotation.

    nibabel's own reader refuses a pixdim[0] of 0 and quaternions a rounding error above length 1; both
    occur in good files and are read here as nifti1_io.c reads them. Of sizes below 0, which NIfTI does not
    allow, the sign is left out as nibabel does: which way an axis runs is what quaternion and pixdim[0] say.
    """
    spacing = np.abs(np.asarray(fields["pixdim"][1:4], dtype=np.float64))
    vector = np.array([fields["quatern_b"], fields["quatern_c"], fields["quatern_d"]], dtype=np.float64)
    length = float(np.linalg.norm(vector))
    if not (length < 1.001 and np.all(np.isfinite(spacing)) and np.all(spacing > 0)):
        return None
    rotation = _rotation(vector / max(1.0, length))
    handedness = -1.0 if float(fields["pixdim"][0]) < 0 else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * (spacing * [1.0, 1.0, handedness])
    matrix[:3, 3] = [fields["qoffset_x"], fields["qoffset_y"], fields["qoffset_z"]]
    return matrix


def _rotation(vector: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The matrix of the rotation whose unit quaternion has this vector part, and a scalar part that is not negative.

    In the longest floats, as nibabel does: near half a turn the scalar part is a difference of nearly equal numbers.
    """
    x, y, z = vector.astype(np.longdouble)
    rest = 1.0 - (x * x + y * y + z * z)
    w = np.sqrt(rest) if rest > 3 * np.finfo(np.float64).eps else np.longdouble(0)
    scale = 2.0 / (w * w + x * x + y * y + z * z)
    xs, ys, zs = x * scale, y * scale, z * scale
    rows = [
        [1.0 - (y * ys + z * zs), x * ys - w * zs, x * zs + w * ys],
        [x * ys + w * zs, 1.0 - (x * xs + z * zs), y * zs - w * xs],
        [x * zs - w * ys, y * zs + w * xs, 1.0 - (x * xs + y * ys)],
    ]
    return np.array(rows).astype(np.float64)


def _is_size(size: float) -> bool:
    return 0 < size < inf


def _told_sizes(fields: Any, is_odd: Callable[[float], bool]) -> str:
    """The header's voxel sizes (x, y, z) if one of them is odd, else nothing."""
    sizes = [float(fields["pixdim"][axis]) for axis in (1, 2, 3)]
    return " x ".join(f"{size:g}" for size in sizes) if any(map(is_odd, sizes)) else ""


def _other_sizes(fields: Any, grid: Grid) -> str:
    """The header's voxel sizes (x, y, z) where they are sound and not those of the grid, else nothing.

    A sheared grid is not looked at: of tilted slices the header may have the distance along their normal.
    """
    stored, ours = stored_spacing_mm(fields), grid.spacing_mm
    same = all(abs(one - other) <= SIZES_DIFFER * other for one, other in zip(stored, ours, strict=True))
    if same or not is_orthogonal(grid) or _told_sizes(fields, lambda size: not _is_size(abs(size))):
        return ""
    return _told_sizes(fields, lambda _size: True)


def _apart_mm(sform: Affine, qform: Affine, shape: IntZYX) -> float:
    """The largest distance at which two matrices put the same corner."""
    corners = np.array(
        [(i, j, k, 1.0) for i in (0, shape[2] - 1) for j in (0, shape[1] - 1) for k in (0, shape[0] - 1)]
    )
    return float(np.linalg.norm(corners @ (sform - qform)[:3].T, axis=1).max())


def _check(matrix: Affine, *, where: Path) -> None:
    if not np.all(np.isfinite(matrix)):
        raise _damaged("a position matrix with values that are not finite", where)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    low, high = SPACING_LIMITS_MM
    if not np.all((spacing >= low) & (spacing <= high)):
        text = " x ".join(f"{value:.4g}" for value in spacing)
        raise _damaged(f"voxels of {text} mm (z, y, x)", where)
    cell = abs(float(np.linalg.det(matrix[:3, :3] / spacing)))
    if cell < SINGULAR:
        raise _damaged("three voxel axes that lie in one plane (singular matrix)", where)


def _damaged(found: str, where: Path) -> GeometryError:
    low, high = SPACING_LIMITS_MM
    return GeometryError(
        found,
        where=where,
        expected=f"an sform or qform with three independent axes and voxels of {low:g} to {high:g} mm",
        remedy="convert the scan again from its DICOM series, for example with dcm2niix",
    )


def _shear_degrees(grid: Grid) -> float:
    """How far the axes are from right angles."""
    unit = np.array(grid.direction)
    cosines = unit @ unit.T - np.eye(3)
    return float(np.degrees(np.arcsin(min(1.0, float(np.abs(cosines).max())))))
