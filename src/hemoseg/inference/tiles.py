"""Where tiles lie and how much each of their voxels counts: nnU-Net's sliding window."""

from functools import lru_cache
from itertools import product
from math import ceil
from typing import Any

import numpy as np
from scipy import ndimage

from hemoseg.arrays import Float16, Float32
from hemoseg.types import IntZYX

STEP = 0.5
"""Distance of neighboring tiles as a share of the tile: nnU-Net's."""


def axis_starts(size: int, tile: int, step: float = STEP) -> tuple[int, ...]:
    """Starts of the tiles along one axis, the first at 0 and the last at size - tile, evenly between.

    Tiles of one voxel (2d configurations) lie side by side.

    Example:
        >>> axis_starts(30, 16), axis_starts(16, 16), axis_starts(3, 1)
        ((0, 7, 14), (0,), (0, 1, 2))
    """
    if tile == 1:
        return tuple(range(size))
    count = _count(size, tile, step)
    if count == 1:
        return (0,)
    apart = (size - tile) / (count - 1)  # rounded before it is multiplied, as nnU-Net has it
    return tuple(round(apart * i) for i in range(count))


def part_starts(part: slice, size: int, tile: int, step: float = STEP) -> tuple[int, ...]:
    """Starts of the fewest tiles that cover a part of an axis, no farther apart than nnU-Net's.

    They reach beyond the part on both sides alike, as far as tiles and volume allow: what lies near the border of a
    tile is seen worst. A volume smaller than the tile lies in its middle, and the start is below 0.

    Args:
        part: what is to be covered.
        size: voxels of the axis.
        tile: voxels of a tile.
        step: largest distance of neighboring tiles as a share of the tile.

    Example:
        >>> part_starts(slice(2, 22), 30, 16), part_starts(slice(5, 15), 30, 16), part_starts(slice(1, 2), 3, 8)
        ((0, 8), (2,), (-2,))
    """
    if tile == 1:
        return tuple(range(part.start, part.stop))
    if size <= tile:
        return (-((tile - size) // 2),)
    length = part.stop - part.start
    count = _count(length, tile, step)
    reach = min(size, max(length, tile + int((count - 1) * tile * step)))
    first = min(max(0, (part.start + part.stop - reach) // 2), size - reach)
    return tuple(first + round(i * (reach - tile) / max(1, count - 1)) for i in range(count))


def tile_corners(shape: IntZYX, tile: IntZYX, step: float = STEP) -> list[IntZYX]:
    """Corners (z, y, x) of all tiles that cover a volume at least as large as the tile."""
    z, y, x = (axis_starts(size, length, step) for size, length in zip(shape, tile, strict=True))
    return list(product(z, y, x))


def _count(size: int, tile: int, step: float) -> int:
    return max(1, ceil((size - tile) / (tile * step)) + 1)


@lru_cache(maxsize=8)
def tile_weights(tile: IntZYX) -> Float32[np.ndarray, "z y x"]:
    """Weight of each voxel of a tile, axes (z, y, x): a Gaussian of sigma = size / 8, largest 1.

    No voxel weighs nothing: zeros take the smallest weight above zero, so a sum of weights never vanishes.
    """
    return _bell(tile, largest=1.0, kind=np.float32)


@lru_cache(maxsize=8)
def half_weights(tile: IntZYX) -> Float16[np.ndarray, "z y x"]:
    """The same as nnU-Net has it: float16, and largest 10 to use more of its range."""
    return _bell(tile, largest=10.0, kind=np.float16)


def _bell(tile: IntZYX, *, largest: float, kind: type[np.floating[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    bell = np.zeros(tile)
    bell[tuple(length // 2 for length in tile)] = 1
    bell = ndimage.gaussian_filter(bell, [length / 8 for length in tile], mode="constant")
    bell /= bell.max() / largest
    weights: np.ndarray[Any, np.dtype[Any]] = bell.astype(kind)
    weights[weights == 0] = weights[weights > 0].min()
    return weights
