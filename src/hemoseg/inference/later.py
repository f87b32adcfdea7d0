"""What is worth running after what covers everything once: that which counts where something was found.

Tiles overlap, and a voxel's logits are the mean over them by weight. Where the first tiles find nothing, the others
would find nothing either; where they do, each tile with a noticeable share in the mean is run, so that the mask is the
one that all tiles would give. Mirrored copies of a tile, too, are run only where it has found something that counts:
near its border a network errs, and there other tiles have the say.
"""

from collections.abc import Iterable
from math import log

import numpy as np

from hemoseg.arrays import Bool, Float32
from hemoseg.inference.field import Field
from hemoseg.inference.tiles import tile_weights
from hemoseg.types import IntZYX

FOUND = 0.03
"""Probability above which something may be there: borders move by the tiles that come later, and where the first ones
have a small share they see little. With a tenth, masks of a network with patches of 80 pixels had Dice 0.996."""
SHARE = 0.03
"""Least share that a tile must have in the mean of a voxel where something may be."""


def may_be_there(logits: Float32[np.ndarray, "k ..."], *, outputs: int, is_regions: bool) -> Bool[np.ndarray, "..."]:
    """Where a class other than background has more than `FOUND` of the probability that it shares with the background.

    Args:
        logits: of a slice or a tile; the first of them background's where there are no regions.
        outputs: how many are the classes'.
        is_regions: whether each has its own sigmoid.
    """
    least = log(FOUND / (1 - FOUND))
    if is_regions:
        return np.asarray((logits[:outputs] > least).any(axis=0))
    return np.asarray(logits[1:outputs].max(axis=0) - logits[0] > least)


def worth_running(field: Field, corners: Iterable[IntZYX], there: Bool[np.ndarray, "y x"]) -> list[IntZYX]:
    """Those of a layer's later tiles that have a noticeable share where something may be.

    Args:
        field: all tiles, of which those of one layer form a grid.
        corners: later tiles of one layer.
        there: where in the field's box something may be, in any slice of the layer.
    """
    if not there.any():
        return []
    shares = [_shares(field, axis) for axis in (1, 2)]
    found = []
    for corner in corners:
        rows, columns = (shares[axis][corner[axis + 1]] for axis in (0, 1))
        share = rows[:, None] * columns[None, :]
        if share[there].max() >= SHARE:
            found.append(corner)
    return found


def telling(field: Field, corner: IntZYX) -> Bool[np.ndarray, "z y x"]:
    """Where in a tile, axes (z, y, x), it has a noticeable share in the mean over all of the field's tiles."""
    z, y, x = (
        _within(_shares(field, axis)[start], start, field.box[axis], field.tile[axis])
        for axis, start in enumerate(corner)
    )
    return np.asarray(z[:, None, None] * y[:, None] * x >= SHARE)


def _shares(field: Field, axis: int) -> dict[int, Float32[np.ndarray, " n"]]:
    """{start: share of a tile in the mean of each voxel of the box along an axis}; weights are products over axes."""
    weights = tile_weights(field.tile)
    middle: list[int | slice] = [length // 2 for length in field.tile]
    middle[axis] = slice(None)
    profile: Float32[np.ndarray, " n"] = weights[tuple(middle)]
    box = field.box[axis]
    spread = {start: _placed(profile, start, box) for start in sorted({corner[axis] for corner in field.corners})}
    total = np.sum(list(spread.values()), axis=0)
    return {start: np.divide(one, total, out=np.zeros_like(one), where=total > 0) for start, one in spread.items()}


def _placed(profile: Float32[np.ndarray, " m"], start: int, box: slice) -> Float32[np.ndarray, " n"]:
    """A tile's weights along an axis of the box."""
    line = np.zeros(box.stop - box.start, dtype=np.float32)
    low, high = max(start, box.start), min(start + len(profile), box.stop)
    line[low - box.start : high - box.start] = profile[low - start : high - start]
    return line


def _within(line: Float32[np.ndarray, " n"], start: int, box: slice, length: int) -> Float32[np.ndarray, " m"]:
    """A tile's part of a line along an axis of the box; 0 where it reaches beyond the box."""
    part = np.zeros(length, dtype=np.float32)
    low, high = max(start, box.start), min(start + length, box.stop)
    part[low - start : high - start] = line[low - box.start : high - box.start]
    return part
