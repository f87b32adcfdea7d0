"""Grids and volumes: where voxels lie. Arrays are (z, y, x); the world is LPS, in mm."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np

from hemoseg.arrays import Float64, Shaped
from hemoseg.types import HU, FloatXYZ, FloatZYX, IntZYX

Array3 = Shaped[np.ndarray, "_ _ _"]
"""Three axes in any order; the order may change between argument and result."""
Affine = Float64[np.ndarray, "4 4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """A reordering of the three array axes followed by flips: 48 of them exist."""

    axes: IntZYX
    """For each axis of the result, the axis of the source it is taken from."""
    flips: tuple[bool, bool, bool]
    """For each axis of the result, whether it runs backward along its source axis."""

    def apply(self, array: Array3) -> Array3:
        """The array in the new order; a view, nothing is copied."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        view: np.ndarray[Any, Any] = array.transpose(self.axes)[steps]
        return view

    def undo(self, array: Array3) -> Array3:
        """The inverse of `apply`: `undo(apply(a))` equals `a`; a view."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        inverse = tuple(self.axes.index(axis) for axis in range(3))
        view: np.ndarray[Any, Any] = array[steps].transpose(inverse)
        return view


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A regular voxel grid, possibly sheared (gantry tilt)."""

    shape: IntZYX
    """Voxels along the array axes z, y, x."""
    spacing_mm: FloatZYX
    """Distance between voxel centers along the array axes z, y, x."""
    origin_lps_mm: FloatXYZ
    """World position of the center of voxel (0, 0, 0)."""
    direction: tuple[FloatXYZ, FloatXYZ, FloatXYZ]
    """Unit vectors in LPS along the array axes z, y, x, in this order; oblique ones shear the grid."""

    @classmethod
    def from_affine(cls, shape: IntZYX, affine_lps: Affine) -> "Grid":
        """The grid whose index (z, y, x, 1) is taken to LPS mm by a 4x4 matrix."""
        columns = affine_lps[:3, :3]
        spacing = np.linalg.norm(columns, axis=0)
        unit = columns / spacing
        return cls(
            shape=shape,
            spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            origin_lps_mm=_xyz(affine_lps[:3, 3]),
            direction=(_xyz(unit[:, 0]), _xyz(unit[:, 1]), _xyz(unit[:, 2])),
        )

    @property
    def affine_lps(self) -> Affine:
        """The 4x4 matrix that takes an index (z, y, x, 1) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.array(self.direction).T * np.array(self.spacing_mm)
        matrix[:3, 3] = self.origin_lps_mm
        return matrix

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters: |det| / 1000, right for sheared grids too."""
        return abs(float(np.linalg.det(self.affine_lps[:3, :3]))) / 1000

    @property
    def rounded_spacing_mm(self) -> FloatZYX:
        """Spacing to a nanometer: what a header's rounding error must not decide is decided on this."""
        z, y, x = (round(value, 6) for value in self.spacing_mm)
        return z, y, x

    @property
    def slice_interval_mm(self) -> float:
        """Distance of neighboring slice planes (array axis z), measured along their normal."""
        matrix = self.affine_lps[:3, :3]
        area = float(np.linalg.norm(np.cross(matrix[:, 1], matrix[:, 2])))
        return self.voxel_ml * 1000 / area

    def world(self, index_zyx: Sequence[float]) -> FloatXYZ:
        """LPS position in mm of an index (z, y, x), which may be fractional."""
        return _xyz((self.affine_lps @ np.array([*index_zyx, 1.0]))[:3])

    def corner_distance_mm(self, other: "Grid") -> float:
        """The largest distance in mm between corner voxels of the same index in two grids of one shape."""
        ends = [(0, n - 1) for n in self.shape]
        corners = np.array([(z, y, x, 1.0) for z in ends[0] for y in ends[1] for x in ends[2]])
        difference = corners @ (self.affine_lps - other.affine_lps)[:3].T
        return float(np.linalg.norm(difference, axis=1).max())

    def canonical_orientation(self) -> Orientation:
        """The reordering after which z runs to superior, y to posterior and x to the patient's left.

        Of the six orders of axes, the one with the largest sum of |cosines| between array axes and
        patient axes. Of equals (a tilt by 45 degrees) the one whose world vectors are largest in lexical
        order: that does not depend on how the array is stored.
        """
        toward = np.array(self.direction)[:, ::-1]  # row: array axis; column: patient axis S, P, L

        def rank(order: tuple[int, ...]) -> tuple[float, ...]:
            chosen = toward[list(order)]
            cosines = np.diagonal(chosen)
            vectors = np.where(cosines < 0, -1.0, 1.0)[:, None] * chosen
            return (round(float(np.abs(cosines).sum()), 6), *np.round(vectors, 6).ravel().tolist())

        best = max(permutations(range(3)), key=rank)
        flips = tuple(bool(toward[axis, i] < 0) for i, axis in enumerate(best))
        return Orientation(axes=(best[0], best[1], best[2]), flips=(flips[0], flips[1], flips[2]))

    def ras_orientation(self) -> Orientation:
        """The reordering after which z runs to superior, y to anterior and x to the patient's right.

        That of nnU-Net's readers that turn axes. Of a grid that lies askew, the axes of the nearest rotation choose,
        the one nearest to a patient axis first, each the nearest that is left; `canonical_orientation` may differ.

        Source:
            nibabel 5.4, `io_orientation`, which NibabelIOWithReorient calls.
        """
        toward = np.array(self.direction)[::-1] * (-1, -1, 1)  # row: array axis x, y, z; column: patient axis R, A, S
        left, _, right = np.linalg.svd(toward)
        near = left @ right
        share = np.abs(near)
        axes, flips = [0, 0, 0], [False, False, False]
        for row in np.argsort(-share.max(axis=1), kind="stable"):
            column = int(share[row].argmax())
            share[:, column] = -1
            axes[2 - column], flips[2 - column] = 2 - int(row), bool(near[row, column] < 0)
        return Orientation(axes=(axes[0], axes[1], axes[2]), flips=(flips[0], flips[1], flips[2]))

    def reoriented(self, orientation: Orientation) -> "Grid":
        """The grid of an array after `orientation.apply`: same voxels, same places."""
        affine = self.affine_lps
        changed = affine.copy()
        for new, (old, flip) in enumerate(zip(orientation.axes, orientation.flips, strict=True)):
            changed[:3, new] = -affine[:3, old] if flip else affine[:3, old]
            if flip:
                changed[:3, 3] += affine[:3, old] * (self.shape[old] - 1)
        z, y, x = (self.shape[axis] for axis in orientation.axes)
        return Grid.from_affine((z, y, x), changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of a volume and where it came from."""

    weight_mm: float
    """Thickness that the slice stands for: the projected slice interval. Area times this is volume."""
    source: str
    """The source of the slice: its 0-based index in the file as stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One scan in Hounsfield units on the scanner's own grid."""

    hu: HU
    """Intensities in HU, axes (z, y, x) as stored; z is the slice axis of the source."""
    grid: Grid
    """Where the voxels lie."""
    slices: tuple[Slice, ...]
    """One entry per slice along z."""
    name: str
    """Name of the scan: its file name without `.nii` or `.nii.gz`."""
    stored_spacing_mm: FloatZYX | None = None
    """Spacing (z, y, x) to the bit as SimpleITK, and so nnU-Net, reads it from the file; None for other sources."""
    nifti_header: bytes | None = None
    """The NIfTI header as stored, so that a mask returns with the same frame; None for other sources."""
    sha256: str | None = None
    """SHA-256 of the source file; None if there is none."""
    warnings: tuple[str, ...] = field(default=())
    """What a reader of the result should know about the source."""


def uniform_slices(grid: Grid) -> tuple[Slice, ...]:
    """Slices of a regular grid: all with the projected slice interval."""
    interval_mm = grid.slice_interval_mm
    return tuple(Slice(weight_mm=interval_mm, source=str(i)) for i in range(grid.shape[0]))


def _xyz(values: Float64[np.ndarray, "3"]) -> FloatXYZ:
    return (float(values[0]), float(values[1]), float(values[2]))
