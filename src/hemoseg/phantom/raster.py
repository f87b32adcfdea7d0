"""From solids in the head's frame to fractions of voxels."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, floor

import numpy as np

from hemoseg.arrays import Float32, Float64
from hemoseg.geometry import Grid
from hemoseg.phantom.shapes import Points, Solid
from hemoseg.types import FloatXYZ, FloatZYX

Rotation = Float64[np.ndarray, "3 3"]
Fractions = Float32[np.ndarray, "z y x"]
Box = tuple[slice, slice, slice]

FINE = 160
"""Samples per voxel where the volume counts: as many as 10 along z and 4 along y and x."""
COARSE = 20
"""Samples per voxel where only the look counts."""
PLASTIC = 1.32471795724474602596
"""The real root of p³ = p + 1: multiples of 1/p and 1/p² fill a square evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Where the head lies in the scanner: world = rotation · head + center."""

    rotation: Rotation
    """Takes directions of the head's frame (x, y, z) to the world's (LPS)."""
    center_mm: FloatXYZ
    """World position of the head's origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A head on a grid whose array axes run along the world's axes z, y, x."""

    grid: Grid
    """The voxels."""
    pose: Pose
    """The head."""

    def points(
        self, z: Float64[np.ndarray, " z"], y: Float64[np.ndarray, " y"], x: Float64[np.ndarray, " x"]
    ) -> tuple[Points, Points, Points]:
        """Head coordinates x, y, z in mm of the points at array positions z, y, x, which may be fractions."""
        origin, step = self.grid.origin_lps_mm, self.grid.spacing_mm
        center = self.pose.center_mm
        wx = x[None, None, :] * step[2] + (origin[0] - center[0])
        wy = y[None, :, None] * step[1] + (origin[1] - center[1])
        wz = z[:, None, None] * step[0] + (origin[2] - center[2])
        turn = self.pose.rotation
        head = [(turn[0, i] * wx + turn[2, i] * wz).astype(np.float32) for i in range(3)]
        across = [(turn[1, i] * wy).astype(np.float32) for i in range(3)]
        return head[0] + across[0], head[1] + across[1], head[2] + across[2]

    def index_bounds(self, solid: Solid) -> list[tuple[float, float]]:
        """Lowest and highest array position (z, y, x), in voxels, of the box around a solid."""
        low, high = solid.box_mm
        corners = np.array(list(product(*zip(low, high, strict=True))))
        world = corners @ self.pose.rotation.T + np.array(self.pose.center_mm)
        index = (world - np.array(self.grid.origin_lps_mm))[:, ::-1] / np.array(self.grid.spacing_mm)
        return [(float(column.min()), float(column.max())) for column in index.T]

    def holds(self, solid: Solid) -> bool:
        """Whether the box around a solid lies on the grid."""
        bounds = self.index_bounds(solid)
        return all(low >= -0.5 and high <= n - 0.5 for (low, high), n in zip(bounds, self.grid.shape, strict=True))

    def box(self, solid: Solid) -> Box:
        """The voxels that a solid may touch, cut to the grid; empty slices if there are none."""
        z, y, x = (
            slice(min(n, max(0, floor(low + 0.5))), max(0, min(n, ceil(high + 0.5))))
            for (low, high), n in zip(self.index_bounds(solid), self.grid.shape, strict=True)
        )
        return z, y, x


def fill_fractions(solid: Solid, frame: Frame, *, samples: int) -> tuple[Box, Fractions]:
    """The part of each voxel that lies in a solid, by sampling the voxel.

    Args:
        solid: the shape.
        frame: the head and the grid.
        samples: points per voxel.

    Returns:
        The box of voxels that the solid may touch, and fractions in [0, 1] in it, axes (z, y, x).
    """
    box = frame.box(solid)
    shape = tuple(max(0, part.stop - part.start) for part in box)
    count = np.zeros(shape, dtype=np.float32)
    if count.size == 0:
        return box, count
    starts = [np.arange(part.start, part.stop, dtype=np.float64) for part in box]
    for dz, dy, dx in _offsets(samples):
        count += solid.contains(*frame.points(starts[0] + dz, starts[1] + dy, starts[2] + dx))
    return box, count / np.float32(samples)


def _offsets(samples: int) -> Iterator[FloatZYX]:
    """Positions (z, y, x) spread evenly inside a voxel whose center is 0 and whose size is 1.

    A Hammersley set and no lattice: no two points share a coordinate, so that a surface which runs along an
    axis, like the level of a fluid, is not met by many points at once.

    Source:
        Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018), extremelearning.com.au.
    """
    for i in range(samples):
        z, y, x = (i + 0.5) / samples, (0.5 + i / PLASTIC) % 1, (0.5 + i / PLASTIC**2) % 1
        yield z - 0.5, y - 0.5, x - 0.5
