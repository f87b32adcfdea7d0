"""Which tiles of a prepared scan are run, and which of its voxels they cover."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from hemoseg.arrays import Int64
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
    later: frozenset[IntZYX] = frozenset()
    """Those of the corners whose tiles are run only if they matter for what the others found, see `later.py`."""


def make_field(shape: IntZYX, part: Mask | None, tile: IntZYX, step: float = STEP, *, as_nnunet: bool) -> Field:
    """The tiles over a part of a volume, or nnU-Net's over all of it where there is none.

    Args:
        shape: voxels of the volume.
        part: where something can be; None for everywhere.
        tile: voxels of a tile.
        step: distance of neighboring tiles as a share of the tile.
        as_nnunet: whether tiles over a part must lie where nnU-Net's do. A network sees other things in other
            tiles, and its masks would be others.
    """
    if part is None:
        return whole_field(shape, tile, step)
    return nnunet_field(part, tile, step) if as_nnunet else part_field(part, tile, step)


def whole_field(shape: IntZYX, tile: IntZYX, step: float = STEP) -> Field:
    """nnU-Net's tiles over a whole volume."""
    return _field(shape, tile, [(z, y, x) for z, y, x in product(*_nnunet_starts(shape, tile, step))])


def nnunet_field(part: Mask, tile: IntZYX, step: float = STEP) -> Field:
    """nnU-Net's tiles that hold marked voxels, those later that are not needed to cover the box around all of these."""
    starts = _nnunet_starts(part.shape, tile, step)
    needed = []
    for axis in range(3):
        marks = _marks(part, axis)
        if not len(marks):
            return _field(part.shape, tile, [])
        needed.append(_fewest(starts[axis], int(marks[0]), int(marks[-1]) + 1, tile[axis]))
    return _with_later(part, tile, starts, needed)


def part_field(part: Mask, tile: IntZYX, step: float = STEP) -> Field:
    """The fewest tiles over the box around marked voxels, without those that hold none of them; some of them later.

    Every marked voxel is covered. Nothing is, where nothing is marked.
    """
    starts, needed = [], []
    for axis in range(3):
        marks = _marks(part, axis)
        if not len(marks):
            return _field(part.shape, tile, [])
        first, stop = int(marks[0]), int(marks[-1]) + 1
        starts.append(part_starts(slice(first, stop), part.shape[axis], tile[axis], step))
        needed.append(_fewest(starts[axis], first, stop, tile[axis]))
    return _with_later(part, tile, starts, needed)


def _with_later(part: Mask, tile: IntZYX, starts: Sequence[Sequence[int]], needed: Sequence[Sequence[int]]) -> Field:
    """The tiles that hold marked voxels, those later that are not needed to cover the box around all of these.

    Args:
        part: the marked voxels.
        tile: voxels of a tile.
        starts: along each axis, where tiles start.
        needed: those of them whose tiles cover the box.
    """
    corners = [(z, y, x) for z, y, x in product(*starts) if part[place_of((z, y, x), tile)].any()]
    # no layer of tiles is left for later: results are given slice by slice, and no layer can see the next one's
    later = frozenset(corner for corner in corners if corner[1] not in needed[1] or corner[2] not in needed[2])
    return replace(_field(part.shape, tile, corners), later=later)


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


def _nnunet_starts(shape: Sequence[int], tile: IntZYX, step: float) -> list[list[int]]:
    """Starts of nnU-Net's tiles along each axis; below 0 where the volume is smaller than a tile, and lies amid it."""
    before = [max(length - size, 0) // 2 for size, length in zip(shape, tile, strict=True)]
    return [
        [start - first for start in axis_starts(max(size, length), length, step)]
        for size, length, first in zip(shape, tile, before, strict=True)
    ]


def _fewest(starts: Sequence[int], first: int, stop: int, length: int) -> list[int]:
    """The fewest of the starts whose tiles cover the voxels from `first` to `stop`.

    Example:
        >>> _fewest([0, 96, 192], 70, 430, 320), _fewest([0, 128, 256], 130, 380, 256)
        ([0, 192], [128])
    """
    found = [max(start for start in starts if start <= first)]
    while found[-1] + length < stop:
        found.append(max(start for start in starts if start <= found[-1] + length))
    return found


def _marks(part: Mask, axis: int) -> Int64[np.ndarray, " _"]:
    """Where along an axis voxels are marked."""
    return np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))


def _field(shape: Sequence[int], tile: IntZYX, corners: list[IntZYX]) -> Field:
    if not corners:
        return Field(tile=tile, corners=(), box=(slice(0, 0), slice(0, 0), slice(0, 0)))
    z, y, x = (
        slice(max(0, min(starts)), min(size, max(starts) + length))
        for starts, size, length in zip(zip(*corners, strict=True), shape, tile, strict=True)
    )
    return Field(tile=tile, corners=tuple(corners), box=(z, y, x))
