"""A head without a bleed: its anatomy, drawn from a seed, and its HU on a grid.

The head's frame has the axes x to the left, y to posterior, z to superior, in mm; the origin lies on the
midline at the level of the basal ganglia. Everything that does not bound a bleed is there for the look only.
"""

from dataclasses import dataclass
from math import ceil, cos, radians, sin

import numpy as np

from hemoseg.arrays import Float32, Float64
from hemoseg.phantom.raster import COARSE, Frame, Pose, Rotation, fill_fractions
from hemoseg.phantom.shapes import Ellipsoid, Points
from hemoseg.types import HU, FloatXYZ

AIR_HU, CSF_HU, GRAY_HU, WHITE_HU, FALX_HU, BASE_HU = -1000.0, 8.0, 37.0, 28.5, 50.0, 750.0
"""Usual HU of adult heads at 120 kV: fluid 0 to 15, brain 25 to 40; bone of the base with its air cells."""
BRAIN_EDGE = 0.966
"""Where the brain ends and the fluid around it begins, as a part of the way to the inner table."""
LAYERS = (
    *((BRAIN_EDGE, CSF_HU), (0.996, CSF_HU + 6), (1.004, 1150.0), (1.026, 1250.0), (1.034, 650.0)),
    *((1.058, 600.0), (1.066, 1350.0), (1.090, 1300.0), (1.097, 45.0), (1.110, 40.0), (1.114, -85.0)),
    *((1.142, -90.0), (1.147, 55.0), (1.178, 50.0), (1.184, AIR_HU)),
)
"""HU along a ray from the origin, the inner table of the skull being 1: fluid, inner table, diploe, outer
table, galea and muscle, fat, skin, air."""
DOME_MM = 26.0
"""The cavity is an exact ellipsoid from this far below the origin upward; below, it narrows slowly."""
RADIUS_MM = 75.0
"""Typical radius of the cavity: makes lengths of the parts of a ray."""

_TABLE_END = 1.6
_TABLE_SIZE = 8192
_FOLD_WIDTHS_MM = (6.0, 9.0)
_LATTICE_MM = 5.0
_LATTICE_REACH_MM = 130.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What differs from head to head."""

    semiaxes_mm: FloatXYZ
    """Semi-axes (x, y, z) of the inner table of the skull."""
    pose: Pose
    """How the head lies in the scanner."""
    ventricles: tuple[Ellipsoid, Ellipsoid]
    """The left and the right lateral ventricle."""
    fold_seed: int
    """Seed of the folds of the cortex."""

    def squared_level(self, x: Points, y: Points, z: Points) -> Points:
        """Squared position along the ray from the origin: 1 on the inner table.

        (x/a)² + (y/b)² + g(z) with g = (z/c)² above -DOME_MM and its tangent below.
        """
        a, b, c = (np.float32(1 / axis) for axis in self.semiaxes_mm)
        above = np.maximum(z, np.float32(-DOME_MM))
        below = np.minimum(z + np.float32(DOME_MM), np.float32(0))
        x, y, w = x * a, y * b, above * c
        squared: Points = x * x + y * y + w * w - below * (np.float32(2 * DOME_MM) * c * c)
        return squared


def draw_anatomy(seed: int, *, ventricle_scale: float = 1.0) -> Anatomy:
    """An adult head: size, tilt, place and ventricles vary with the seed.

    Args:
        seed: the same seed gives the same head on every grid and with every bleed.
        ventricle_scale: size of the lateral ventricles over the usual one; above 1 where blood dams them up.
    """
    rng = np.random.default_rng([seed, 0])
    size = rng.uniform(0.97, 1.03)
    semiaxes = size * np.array([67.0, 85.0, 76.0]) * rng.uniform(0.98, 1.02, 3)
    turn = _rotation(*(radians(value) for value in rng.uniform((-5, -4, -6), (5, 4, 6))))
    center = np.array([0.0, 0.0, -9.0]) + rng.uniform(-4, 4, 3)
    width, length, height = np.array([7.5, 35.0, 9.5]) * size * ventricle_scale * rng.uniform(0.93, 1.07, 3)
    tilt = radians(rng.uniform(8, 12))
    ventricles = [
        Ellipsoid(
            center_mm=(side * (width + 5.5), 8.0, 18.0),
            semiaxes_mm=(float(width), float(length), float(height)),
            yaw=-side * tilt,
        )
        for side in (1, -1)
    ]
    return Anatomy(
        semiaxes_mm=_xyz(semiaxes),
        pose=Pose(rotation=turn, center_mm=_xyz(center)),
        ventricles=(ventricles[0], ventricles[1]),
        fold_seed=int(rng.integers(2**31)),
    )


def fill_head(anatomy: Anatomy, frame: Frame) -> HU:
    """HU of the head on a grid, before blur and noise, axes (z, y, x).

    Slices are averaged over their thickness, so that the skull's dome and the sulci fade as they do in thick
    slices.
    """
    n, rows, columns = frame.grid.shape
    hu = np.empty(frame.grid.shape, dtype=np.float32)
    folds = _Folds(anatomy.fold_seed, frame)
    parts = max(2, ceil(frame.grid.spacing_mm[0] / 1.3))
    y, x = np.arange(rows, dtype=np.float64), np.arange(columns, dtype=np.float64)
    table = _layer_table()
    for index in range(n):
        z = index + (np.arange(parts) + 0.5) / parts - 0.5
        points = frame.points(z, y, x)
        squared = anatomy.squared_level(*points)
        level = np.minimum(squared * np.float32(_TABLE_SIZE / _TABLE_END), np.float32(_TABLE_SIZE - 1))
        fine = table[level.astype(np.int32)]
        if squared.min() < BRAIN_EDGE**2:
            brain = _brain_hu(squared, points, folds.at(z))
            inside = _step((np.float32(BRAIN_EDGE) - np.sqrt(squared)) * np.float32(RADIUS_MM), width_mm=1.0)
            fine += inside * (brain - fine)
        hu[index] = fine.mean(axis=0)
    for solid, value in _structures(anatomy):
        box, fraction = fill_fractions(solid, frame, samples=COARSE)
        hu[box] += fraction * (np.float32(value) - hu[box])
    return hu


class _Folds:
    """A smooth random field with zero mean and unit variance: its zeros run like sulci.

    White noise on a lattice fixed in the world, smoothed with a Gaussian and with a wider one, and subtracted:
    what is left has one wavelength. Gaussians are separable, so a plane costs two products of matrices.
    """

    def __init__(self, seed: int, frame: Frame) -> None:
        self.nodes = np.arange(-_LATTICE_REACH_MM, _LATTICE_REACH_MM, _LATTICE_MM)
        shape = (len(self.nodes),) * 3
        self.noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        self.frame = frame
        _, rows, columns = frame.grid.shape
        self.in_plane = [
            (self._weights(np.arange(float(rows)), 1, width), self._weights(np.arange(float(columns)), 2, width))
            for width in _FOLD_WIDTHS_MM
        ]
        # The variance of a weighted sum of independent unit normals, at the node in the middle.
        narrow, wide = (_gaussian(self.nodes, width) for width in _FOLD_WIDTHS_MM)
        kernel = np.einsum("i,j,k->ijk", *[narrow] * 3) - np.einsum("i,j,k->ijk", *[wide] * 3)
        self.deviation = np.float32(np.sqrt((kernel**2).sum()))

    def at(self, z: Float64[np.ndarray, " z"]) -> Points:
        """The field at array positions z, on all pixels."""
        smooth = []
        for (rows, columns), width in zip(self.in_plane, _FOLD_WIDTHS_MM, strict=True):
            planes = np.tensordot(self._weights(z, 0, width), self.noise, axes=1)
            smooth.append(rows @ planes @ columns.T)
        field: Points = (smooth[0] - smooth[1]) / self.deviation
        return field

    def _weights(self, index: Float64[np.ndarray, " n"], axis: int, width_mm: float) -> Float32[np.ndarray, "n m"]:
        """Weights of the lattice's nodes at positions along an array axis."""
        place = index * self.frame.grid.spacing_mm[axis] + self.frame.grid.origin_lps_mm[2 - axis]
        weights: Float32[np.ndarray, "n m"] = _gaussian(place[:, None] - self.nodes[None, :], width_mm).astype(
            np.float32
        )
        return weights


def _gaussian(distance_mm: Float64[np.ndarray, " ..."], width_mm: float) -> Float64[np.ndarray, " ..."]:
    """Gaussian weights of lattice nodes, their sum being 1."""
    scale = _LATTICE_MM / (width_mm * np.sqrt(2 * np.pi))
    weights: Float64[np.ndarray, " ..."] = np.exp(-((distance_mm / width_mm) ** 2) / 2) * scale
    return weights


def _brain_hu(squared: Points, points: tuple[Points, Points, Points], folds: Points) -> Points:
    """Cortex along the surface and along the sulci, white matter below, and the fluid between the halves."""
    x, y, z = points
    depth = (np.float32(BRAIN_EDGE) - np.sqrt(squared)) * np.float32(RADIUS_MM)
    distance = np.abs(folds)
    reach = np.clip(1 - depth / np.float32(30), 0, 1)
    ribbon = _step(np.float32(4.0) - depth, width_mm=2.0)
    gray = np.maximum(ribbon, np.clip(4 * (np.float32(0.95) * reach - distance), 0, 1))
    hu = np.float32(WHITE_HU) + gray * np.float32(GRAY_HU - WHITE_HU) + np.float32(0.5) * folds
    shallow = np.clip(np.float32(1.3) - depth / np.float32(16), 0, 1)
    fluid = np.clip(7 * (np.float32(0.26) * shallow - distance), 0, 1)
    # The fissure between the halves, around the callosal bodies and above the base.
    outside = _step((np.hypot(y / 47, (z - 6) / 31) - 1) * 30, width_mm=6.0) * _step(z + 12, width_mm=8.0)
    fissure = np.clip(np.float32(2.3) - np.abs(x + np.float32(1.1) * folds), 0, 1) * outside
    hu += np.maximum(fluid, fissure * np.float32(0.8)) * (np.float32(CSF_HU) - hu)
    edge = _step(np.float32(20) - depth, width_mm=4.0) * outside
    falx = np.clip(np.float32(1.3) - np.abs(x), 0, 1) * edge
    hu += falx * np.float32(0.8) * (np.float32(FALX_HU) - hu)
    brain: Points = hu
    return brain


def _structures(anatomy: Anatomy) -> list[tuple[Ellipsoid, float]]:
    """What is painted over the brain, in this order, with its HU."""
    found = [(solid, value) for side in (1, -1) for solid, value in _paired(side)]
    found += [(solid, CSF_HU) for solid in anatomy.ventricles]
    middle: list[tuple[FloatXYZ, FloatXYZ, float]] = [
        ((0.0, 8.0, 0.0), (2.2, 13.0, 9.0), CSF_HU),  # third ventricle
        ((0.0, 33.0, 2.0), (13.0, 3.5, 6.0), CSF_HU),  # quadrigeminal cistern
        ((0.0, -8.0, -30.0), (14.0, 9.0, 9.0), CSF_HU),  # suprasellar cistern
        ((0.0, 12.0, -38.0), (14.0, 11.0, 14.0), WHITE_HU + 4),  # midbrain and pons
        ((0.0, 29.0, -42.0), (7.0, 4.0, 9.0), CSF_HU),  # fourth ventricle
        ((0.0, -22.0, -58.0), (14.0, 12.0, 12.0), BASE_HU),  # sphenoid body
        ((0.0, 2.0, -66.0), (9.0, 6.0, 18.0), BASE_HU),  # clivus
    ]
    return found + [(Ellipsoid(center_mm=c, semiaxes_mm=s), value) for c, s, value in middle]


def _paired(side: int) -> list[tuple[Ellipsoid, float]]:
    """Structures of one side; +1 is left."""
    rows: list[tuple[FloatXYZ, FloatXYZ, float, float]] = [
        ((25.0, -3.0, 2.0), (7.5, 19.0, 12.0), 12.0, GRAY_HU),  # lentiform nucleus
        ((11.0, 14.0, 4.0), (8.0, 13.0, 9.0), 25.0, GRAY_HU - 1),  # thalamus
        ((16.0, -22.0, 8.0), (5.5, 10.0, 10.0), 10.0, GRAY_HU - 1),  # head of the caudate nucleus
        ((10.0, -27.0, 8.0), (4.0, 9.0, 8.0), 18.0, CSF_HU),  # frontal horn
        ((39.0, -6.0, 1.0), (2.6, 17.0, 12.0), 8.0, CSF_HU + 6),  # insular cistern
        ((50.0, -12.0, -5.0), (13.0, 2.2, 8.0), -15.0, CSF_HU + 4),  # lateral fissure
        ((27.0, 20.0, -57.0), (20.0, 6.5, 10.0), 38.0, BASE_HU),  # petrous bone
        ((26.0, -36.0, -56.0), (18.0, 3.5, 9.0), -25.0, BASE_HU),  # sphenoid wing
    ]
    return [
        (Ellipsoid(center_mm=(side * c[0], c[1], c[2]), semiaxes_mm=s, yaw=side * radians(turn)), value)
        for c, s, turn, value in rows
    ]


def _layer_table() -> Float32[np.ndarray, " n"]:
    """HU by squared level, in equal steps from 0 to `_TABLE_END`."""
    squared = (np.arange(_TABLE_SIZE) + 0.5) * (_TABLE_END / _TABLE_SIZE)
    levels, values = zip(*LAYERS, strict=True)
    table: Float32[np.ndarray, " n"] = np.interp(np.sqrt(squared), levels, values).astype(np.float32)
    return table


def _step(distance_mm: Points, *, width_mm: float) -> Points:
    """0 below, 1 above, rising over a width around 0."""
    step: Points = np.clip(distance_mm * np.float32(1 / width_mm) + np.float32(0.5), 0, 1)
    return step


def _rotation(pitch: float, roll: float, yaw: float) -> Rotation:
    """Turns about x, then y, then z, in radians."""
    about_x = np.array([[1, 0, 0], [0, cos(pitch), -sin(pitch)], [0, sin(pitch), cos(pitch)]])
    about_y = np.array([[cos(roll), 0, sin(roll)], [0, 1, 0], [-sin(roll), 0, cos(roll)]])
    about_z = np.array([[cos(yaw), -sin(yaw), 0], [sin(yaw), cos(yaw), 0], [0, 0, 1]])
    turn: Rotation = about_z @ about_y @ about_x
    return turn


def _xyz(values: Float64[np.ndarray, "3"]) -> FloatXYZ:
    return (float(values[0]), float(values[1]), float(values[2]))
