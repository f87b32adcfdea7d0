"""In-plane downsampling by pooling, and its label maps.

The four kinds that Liangwei's report lists (INSTANCE 2022, team superembrace); it tells neither factor nor details.
"""

import hashlib

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.plan import Pooling
from hemoseg.preprocess.maps import AxisMap
from hemoseg.preprocess.shares import share_labels
from hemoseg.types import Labels, NewLabels, NewStack

Stack = Float32[np.ndarray, "c z y x"]
"""Channels of one volume, axes (c, z, y, x)."""


def pooled_size(size: int, factor: int) -> int:
    """Blocks along an axis; the last one may be partial."""
    return -(-size // factor)


def pool_image(stack: Stack, pooling: Pooling, *, chance: np.random.Generator | None) -> NewStack:
    """The pixels of each block as one; partial blocks at the far border use the pixels that they have.

    Args:
        stack: axes (c, z, y, x).
        pooling: kind and factor.
        chance: what draws pixels of the kind `random-area`, one for all channels; None takes their expectation.

    Source:
        random-area: Zeiler and Fergus, "Stochastic pooling", arXiv:1301.3557, sections 3.1 and 3.2.
    """
    factor = pooling.factor
    if pooling.kind == "maximum":
        return _reduced(_reduced(stack, factor, np.maximum, axis=-1), factor, np.maximum, axis=-2)
    if pooling.kind == "random-area":
        return _drawn(stack, factor, chance) if chance is not None else _expected(stack, factor)
    total = _sum(stack, factor)
    total /= _counts(stack.shape[-2], stack.shape[-1], factor)
    if pooling.kind == "summed-area":
        total *= np.float32(factor**2)
    return total


def pool_labels(labels: Labels, factor: int) -> NewLabels:
    """The label of each block, that of most pixels, every class keeping its volume; equal counts are scattered."""
    z, y, x = labels.shape
    maps = [AxisMap.same_extent(z, z), *(block_map(size, factor) for size in (y, x))]
    return share_labels(labels, maps, [np.eye(z), *(_block_matrix(way) for way in maps[1:])], keep_volume=True)


def block_map(size: int, factor: int) -> AxisMap:
    """Where the blocks lie on the axis."""
    return AxisMap(size=size, new_size=pooled_size(size, factor), low=0.0, ratio=float(factor))


def chance_for(seed: int, name: str) -> np.random.Generator:
    """The generator of one case: the same for the same seed and name, whatever was drawn before."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])])


def _block_matrix(way: AxisMap) -> np.ndarray:
    """Shares of pixels in their block, shape (blocks, pixels)."""
    blocks = np.arange(way.size) // round(way.ratio)
    matrix = (np.arange(way.new_size)[:, None] == blocks).astype(np.float64)
    shares: np.ndarray = matrix / matrix.sum(axis=1, keepdims=True)
    return shares


def _reduced(array: np.ndarray, factor: int, operation: np.ufunc, *, axis: int) -> np.ndarray:
    starts = np.arange(0, array.shape[axis], factor)
    result: np.ndarray = operation.reduceat(array, starts, axis=axis)
    return result


def _sum(stack: np.ndarray, factor: int) -> np.ndarray:
    return _reduced(_reduced(stack, factor, np.add, axis=-1), factor, np.add, axis=-2)


def _counts(y: int, x: int, factor: int) -> np.ndarray:
    """Pixels of each block, axes (1, y, x)."""
    return _sum(np.ones((1, y, x), dtype=np.float32), factor)


def _expected(stack: np.ndarray, factor: int) -> np.ndarray:
    """Sum of probability times value: the probability of a pixel is its share in the block's sum."""
    weight = stack.sum(axis=0)
    total = _sum(weight[None], factor)
    expected: np.ndarray = _sum(stack * weight, factor) / np.where(total > 0, total, np.float32(1))
    return expected


def _drawn(stack: np.ndarray, factor: int, chance: np.random.Generator) -> np.ndarray:
    """One pixel of each block: the first whose running share of the block's sum exceeds a random number."""
    c, z, y, x = stack.shape
    blocks_y, blocks_x = pooled_size(y, factor), pooled_size(x, factor)
    padding = ((0, 0), (0, 0), (0, blocks_y * factor - y), (0, blocks_x * factor - x))
    padded = np.pad(stack, padding).reshape(c, z, blocks_y, factor, blocks_x, factor)
    pixels = padded.transpose(0, 1, 2, 4, 3, 5).reshape(c, z, blocks_y, blocks_x, factor**2)
    running = pixels.sum(axis=0).cumsum(axis=-1)
    wanted = chance.random((z, blocks_y, blocks_x), dtype=np.float32)[..., None] * running[..., -1:]
    chosen = np.minimum((running <= wanted).sum(axis=-1), factor**2 - 1)
    drawn: np.ndarray = np.take_along_axis(pixels, chosen[None, ..., None], axis=-1)[..., 0]
    return np.ascontiguousarray(drawn)
