"""Patches: what chance decides about one, and how it is then cut; no chance is in the cutting."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from hemoseg.components import Box
from hemoseg.data.store import Sliced, StoredCase
from hemoseg.plan import Preparation
from hemoseg.types import Channels, IntZYX, LabelMap
from hemoseg.windows import apply_windows, hu_range, one_hot


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """All that chance decides about one patch."""

    case: int
    """Index of the case."""
    corner: IntZYX
    """Index (z, y, x) of the patch's first voxel in the case; negative where the patch begins outside."""
    flips: tuple[bool, bool, bool] = (False, False, False)
    """Whether the patch is mirrored along z, y, x."""
    shift_hu: float = 0.0
    """Constant added to the HU."""
    noise_hu: float = 0.0
    """Standard deviation of the noise; 0 for none."""
    noise_seed: int = 0
    """Seed of the noise."""


def apply_draw(
    case: StoredCase, draw: Draw, patch_size: IntZYX, preparation: Preparation, *, classes: int
) -> tuple[Channels, LabelMap]:
    """Cut the patch that was drawn: (channels (c, z, y, x), class numbers (z, y, x)). No chance is left.

    Outside the case HU are the lowest that any window shows, or channels 0, and the label is background. Shift
    and noise are in HU, so they act only where HU are stored.
    """
    last = preparation.windowed == "last"
    fill = hu_range(preparation.windows)[0] if last else 0.0
    image = cut(case.image, draw.corner, patch_size, fill=fill)
    labels = whole_numbers(cut(case.labels, draw.corner, patch_size, fill=0.0))
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in draw.flips)
    image = image[(slice(None), *flips)]
    channels = _windowed(image[0], draw, preparation) if last else np.ascontiguousarray(image)
    if case.previous is not None:
        previous = cut(case.previous, draw.corner, patch_size, fill=0.0)[flips]
        channels = np.concatenate([channels, one_hot(previous, classes)])
    return channels, np.ascontiguousarray(labels[flips])


def _windowed(hu: np.ndarray, draw: Draw, preparation: Preparation) -> Channels:
    """Channels of HU that were shifted and made noisy."""
    hu = hu + np.float32(draw.shift_hu)
    if draw.noise_hu:
        noise = np.random.default_rng(draw.noise_seed).standard_normal(hu.shape, dtype=np.float32)
        hu += noise * np.float32(draw.noise_hu)
    return apply_windows(hu, preparation.channels)


def whole_numbers(labels: np.ndarray) -> LabelMap:
    """Class numbers as training sees them: -1, outside the non-zero mask, is background."""
    numbers: LabelMap = np.maximum(labels, 0).astype(np.uint8)
    return numbers


def cut(array: Sliced, corner: IntZYX, size: IntZYX, *, fill: float, dtype: DTypeLike | None = None) -> np.ndarray:
    """A copy of a box of the last three axes that may reach beyond the array, filled there.

    Args:
        array: the array.
        corner: index of the box's first voxel along the last three axes.
        size: voxels of the box along them.
        fill: value beyond the array.
        dtype: type of the copy; None keeps the array's.
    """
    leading = tuple(array.shape[:-3])
    inside, target = box_inside(array.shape[-3:], corner, size)
    everything = (slice(None),) * len(leading)
    part = array[everything + inside]
    if part.shape == (*leading, *size):
        return np.array(part, dtype=dtype)
    result = np.full((*leading, *size), fill, dtype=dtype or array.dtype)
    result[everything + target] = part
    return result


def box_inside(shape: Sequence[int], corner: IntZYX, size: IntZYX) -> tuple[Box, Box]:
    """The part of a box that lies in a volume: as indices of the volume, and of the box; empty if none does."""
    inside = [
        slice(min(max(start, 0), n), max(min(start + length, n), 0))
        for start, length, n in zip(corner, size, shape, strict=True)
    ]
    z, y, x = inside
    a, b, c = (slice(s.start - start, s.stop - start) for s, start in zip(inside, corner, strict=True))
    return (z, y, x), (a, b, c)
