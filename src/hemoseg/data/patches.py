"""Patches: what chance decides about one, and how it is then cut; no chance is in the cutting."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, sin
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike
from scipy import ndimage

from hemoseg.components import Box
from hemoseg.data.store import Sliced, StoredCase
from hemoseg.plan import Preparation
from hemoseg.types import Channels, IntZYX, LabelMap
from hemoseg.windows import apply_windows, hu_range, one_hot, repeat_slices


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
    turn_rad: float = 0.0
    """Angle by which the patch is turned within its slices, about its middle."""
    zoom: float = 1.0
    """Factor by which things in it are larger within the slices."""


def apply_draw(
    case: StoredCase, draw: Draw, patch_size: IntZYX, preparation: Preparation, *, classes: int
) -> tuple[Channels, LabelMap]:
    """Cut the patch that was drawn: (channels (c, z, y, x), class numbers (z, y, x)). No chance is left.

    Beyond the case's borders within its slices HU are the lowest that any window shows, or channels 0, and the label
    is background; beyond its slices the outermost ones are repeated, with their labels. Shift and noise are in HU, so
    they act only where HU are stored. A turned or enlarged patch shows images linearly
    interpolated and the nearest voxel's label.
    """
    last = preparation.windowed == "last"
    fill = hu_range(preparation.windows)[0] if last else 0.0
    image = _seen(case.image, draw, patch_size, fill=fill, order=1)
    labels = whole_numbers(_seen(case.labels, draw, patch_size, fill=0.0, order=0))
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in draw.flips)
    image = image[(slice(None), *flips)]
    channels = _windowed(image[0], draw, preparation) if last else np.ascontiguousarray(image)
    if case.previous is not None:
        previous = _seen(case.previous, draw, patch_size, fill=0.0, order=0)[flips]
        channels = np.concatenate([channels, one_hot(previous, classes)])
    return channels, np.ascontiguousarray(labels[flips])


def _seen(array: Sliced, draw: Draw, size: IntZYX, *, fill: float, order: Literal[0, 1]) -> np.ndarray:
    """The patch as it is seen turned and enlarged, not yet mirrored: pixel p of it shows what lies at
    middle + R (p - middle) / zoom, R turning (y, x) by the angle; beyond the case's slices there are these again,
    beyond their borders there is `fill`.

    Pixels are taken as square, as they are on nearly all scanners.
    """
    if not draw.turn_rad and draw.zoom == 1:
        return cut(array, draw.corner, size, fill=fill, repeats_slices=True)
    turn = np.array([[cos(draw.turn_rad), -sin(draw.turn_rad)], [sin(draw.turn_rad), cos(draw.turn_rad)]])
    back = turn / draw.zoom
    reach = np.abs(back) @ [size[1], size[2]]
    grown = [max(ceil((length - n) / 2), 0) + 1 for length, n in zip(reach, size[1:], strict=True)]
    z, y, x = draw.corner
    wide: IntZYX = (size[0], size[1] + 2 * grown[0], size[2] + 2 * grown[1])
    around = cut(array, (z, y - grown[0], x - grown[1]), wide, fill=fill, repeats_slices=True)
    middle = (np.array(size[1:]) - 1) / 2
    offset = middle + grown - back @ middle
    result = np.empty((*around.shape[:-2], *size[1:]), dtype=around.dtype)
    for index in np.ndindex(around.shape[:-2]):
        ndimage.affine_transform(
            around[index], back, offset=offset, output=result[index], order=order, mode="constant", cval=fill
        )
    return result


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


def cut(
    array: Sliced,
    corner: IntZYX,
    size: IntZYX,
    *,
    fill: float,
    dtype: DTypeLike | None = None,
    repeats_slices: bool = False,
) -> np.ndarray:
    """A copy of a box of the last three axes that may reach beyond the array, filled there.

    Args:
        array: the array.
        corner: index of the box's first voxel along the last three axes.
        size: voxels of the box along them.
        fill: value beyond the array.
        dtype: type of the copy; None keeps the array's.
        repeats_slices: whether the outermost slices are repeated beyond the array's; the box must hold one.
    """
    leading = tuple(array.shape[:-3])
    inside, target = box_inside(array.shape[-3:], corner, size)
    everything = (slice(None),) * len(leading)
    part = array[everything + inside]
    if part.shape == (*leading, *size):
        return np.array(part, dtype=dtype)
    result = np.full((*leading, *size), fill, dtype=dtype or array.dtype)
    result[everything + target] = part
    if repeats_slices:
        repeat_slices(result, target[0])
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
