"""Logits of a whole volume, rounded to float16 wherever nnU-Net rounds: what `--exact` takes in place of `sliding.py`.

nnU-Net multiplies the logits of a tile by weights in float16, adds them up in float16, divides by the sum of weights,
and averages folds, in float16 each time. That moves labels where classes are close, and at corners of the volume,
where weights are so small that few bits are left. The default adds in float32.

Source:
    nnU-Net v2 2.8.1, `nnUNetPredictor._internal_predict_sliding_window_return_logits`, `compute_gaussian`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from hemoseg.arrays import Float16
from hemoseg.inference.sliding import Network, pad_to_tile, tile_logits
from hemoseg.inference.tiles import half_weights, tile_corners
from hemoseg.types import Channels, IntZYX


def predict_half_logits(
    channels: Channels,
    networks: Sequence[Network],
    *,
    tile: IntZYX,
    classes: int,
    mirror_axes: Sequence[int],
    outside: Sequence[float],
    watch: Callable[[int, int], None],
) -> Float16[np.ndarray, "k z y x"]:
    """Logits of every voxel in float16; arguments are those of `predict_logits`."""
    padded, inside = pad_to_tile(channels, tile, outside)
    weights = half_weights(tile)
    wide = weights.astype(np.float32)
    z, y, x = padded.shape[1:]
    corners = tile_corners((z, y, x), tile)
    mean = np.zeros((classes, z, y, x), dtype=np.float16)
    for passed, network in enumerate(networks):
        sums = np.zeros((classes, z, y, x), dtype=np.float16)
        total = np.zeros((z, y, x), dtype=np.float16)
        for number, corner in enumerate(corners, start=1):
            place = tuple(slice(start, start + length) for start, length in zip(corner, tile, strict=True))
            weighted = tile_logits(padded[(slice(None), *place)], [network], mirror_axes) * wide
            sums[(slice(None), *place)] = sums[(slice(None), *place)] + weighted  # added in float32, kept in float16
            total[place] += weights
            watch(passed * len(corners) + number, len(networks) * len(corners))
        mean += sums / total
    return np.ascontiguousarray((mean / np.float16(len(networks)))[(slice(None), *inside)])
