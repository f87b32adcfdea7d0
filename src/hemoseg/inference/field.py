"""Which tiles of a prepared scan are run, and which of its voxels they cover."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hemoseg.brain import BrainRegion
from hemoseg.inference.tiles import STEP, axis_starts, part_starts
from hemoseg.preprocess import Prepared
from hemoseg.types import IntZYX, Mask

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Tiles over a volume."""

    tile: IntZYX
    """Voxels of a tile along (z, y, x)."""
    corners: tuple[IntZYX, ...]
    """Corners (z, y, x) of the tiles in order; below 0 where the volume is smaller than a tile, and lies amid it."""
    box: Box
    """The smallest box of the volume that holds all that the tiles cover; empty if there is no tile."""


def make_field(shape: IntZYX, part: Mask | None, tile: IntZYX, step: float = STEP) -> Field:
    """The tiles over a part of a volume, or nnU-Net's over all of it where there is none."""
    return whole_field(shape, tile, step) if part is None else part_field(part, tile, step)


def whole_field(shape: IntZYX, tile: IntZYX, step: float = STEP) -> Field:
    """nnU-Net's tiles over a whole volume."""
    before = [max(length - size, 0) // 2 for size, length in zip(shape, tile, strict=True)]
    starts = [
        [start - first for start in axis_starts(max(size, length), length, step)]
        for size, length, first in zip(shape, tile, before, strict=True)
    ]
    return _field(shape, tile, [(z, y, x) for z, y, x in product(*starts)])


def part_field(part: Mask, tile: IntZYX, step: float = STEP) -> Field:
    """The fewest tiles over the box around marked voxels, without those that hold none of them.

    Every marked voxel is covered. Nothing is, where nothing is marked.
    """
    starts = []
    for axis in range(3):
        marks = np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(marks):
            return _field(part.shape, tile, [])
        starts.append(part_starts(slice(int(marks[0]), int(marks[-1]) + 1), part.shape[axis], tile[axis], step))
    corners = [(z, y, x) for z, y, x in product(*starts)]
    return _field(part.shape, tile, [corner for corner in corners if part[place_of(corner, tile)].any()])


def place_of(corner: IntZYX, tile: IntZYX) -> Box:
    """The voxels of a volume, as far as there are any, that a tile covers."""
    z, y, x = (slice(max(start, 0), start + length) for start, length in zip(corner, tile, strict=True))
    return z, y, x


def region_on(prepared: Prepared, region: BrainRegion) -> Mask:
    """The region on a prepared grid, axes (z, y, x): that of the scan's voxel at the center of each of its voxels."""
    properties = prepared.properties
    frame, turn = properties.frame, properties.turn
    places: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * 3
    for axis, low, step, size in zip(frame.axes, frame.low, frame.scale, frame.shape, strict=True):
        index = np.floor(low + (np.arange(size) + 0.5) * step).astype(np.int64)
        index = np.clip(index, 0, frame.source_shape[axis] - 1)
        places[turn.axes[axis]] = frame.source_shape[axis] - 1 - index if turn.flips[axis] else index
    return region.at(places).transpose([turn.axes[axis] for axis in frame.axes])


def _field(shape: Sequence[int], tile: IntZYX, corners: list[IntZYX]) -> Field:
    if not corners:
        return Field(tile=tile, corners=(), box=(slice(0, 0), slice(0, 0), slice(0, 0)))
    z, y, x = (
        slice(max(0, min(starts)), min(size, max(starts) + length))
        for starts, size, length in zip(zip(*corners, strict=True), shape, tile, strict=True)
    )
    return Field(tile=tile, corners=tuple(corners), box=(z, y, x))
