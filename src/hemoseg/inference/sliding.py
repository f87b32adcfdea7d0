"""One network over a whole volume: pad, tile, mirror, blend."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.inference.tiles import tile_corners, tile_weights
from hemoseg.types import Channels, IntZYX, NewStack

Network = Callable[[Float32[np.ndarray, "b c z y x"]], Float32[np.ndarray, "b k z y x"]]
"""Takes patches to logits."""
Logits = Float32[np.ndarray, "k z y x"]
"""One value per class and voxel, axes (class, z, y, x)."""


def mirror_sets(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """All subsets of the mirror axes, the empty one first.

    Example:
        >>> mirror_sets((1, 2))
        [(), (1,), (2,), (1, 2)]
    """
    return [chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count)]


def predict_logits(
    channels: Channels,
    networks: Sequence[Network],
    *,
    tile: IntZYX,
    classes: int,
    mirror_axes: Sequence[int],
    outside: Sequence[float],
    watch: Callable[[int, int], None],
) -> Logits:
    """Logits of every voxel: the mean over networks, mirrorings and, by weight, overlapping tiles.

    Tiles of a batch are mirrored copies of one place. Sums are float32: float16 sums flip labels.

    Args:
        channels: what the networks see, axes (c, z, y, x).
        networks: one per fold.
        tile: voxels of a tile along (z, y, x).
        classes: number of classes, background included.
        mirror_axes: array axes (0 z, 1 y, 2 x) to mirror along.
        outside: value of each channel beyond the volume, where it is smaller than a tile; as in training.
        watch: told (tiles done, tiles in all).

    Returns:
        Logits, axes (class, z, y, x).
    """
    padded, inside = pad_to_tile(channels, tile, outside)
    sums = np.zeros((classes, *padded.shape[1:]), dtype=np.float32)
    total = np.zeros(padded.shape[1:], dtype=np.float32)
    weights = tile_weights(tile)
    corners = tile_corners((padded.shape[1], padded.shape[2], padded.shape[3]), tile)
    for number, corner in enumerate(corners, start=1):
        place = tuple(slice(start, start + length) for start, length in zip(corner, tile, strict=True))
        logits = tile_logits(padded[(slice(None), *place)], networks, mirror_axes)
        sums[(slice(None), *place)] += logits * weights
        total[place] += weights
        watch(number, len(corners))
    sums /= total
    return np.ascontiguousarray(sums[(slice(None), *inside)])


def tile_logits(patch: Channels, networks: Sequence[Network], mirror_axes: Sequence[int]) -> Logits:
    """Mean logits of one tile over networks and mirrorings."""
    sets = mirror_sets(mirror_axes)
    batch = np.stack([np.flip(patch, tuple(axis + 1 for axis in chosen)) for chosen in sets])
    mean = np.zeros((), dtype=np.float32)
    for network in networks:
        logits = network(batch)
        for one, chosen in zip(logits, sets, strict=True):
            mean = mean + np.flip(one, tuple(axis + 1 for axis in chosen))
    return np.asarray(mean / np.float32(len(sets) * len(networks)), dtype=np.float32)


def pad_to_tile(
    channels: Channels, tile: IntZYX, outside: Sequence[float]
) -> tuple[NewStack, tuple[slice, slice, slice]]:
    """The volume padded to at least one tile, and where it lies in there."""
    missing = [max(length - size, 0) for size, length in zip(channels.shape[1:], tile, strict=True)]
    before = [count // 2 for count in missing]
    widths = [(first, count - first) for first, count in zip(before, missing, strict=True)]
    z, y, x = (slice(first, first + size) for first, size in zip(before, channels.shape[1:], strict=True))
    padded = [np.pad(one, widths, constant_values=value) for one, value in zip(channels, outside, strict=True)]
    return np.stack(padded), (z, y, x)
