"""How deep a network goes: nnU-Net's pooling rules.

Rules are written for three axes. An axis of infinite spacing is not part of the network: it is never pooled and
its kernels are 1, which makes the rules those of two axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite, prod

from hemoseg.types import FloatZYX, IntZYX

SizesZYX = tuple[int | float, int | float, int | float]
"""Voxels along the array axes (z, y, x); medians of them may end in .5."""
SMALLEST_EDGE = 4
"""Feature maps are not pooled below this edge, nnU-Net's."""
LARGEST_FEATURES = 320
"""Channels never exceed this, nnU-Net's in 3-D."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Stages of a network and the patch that fits them."""

    patch_size: IntZYX
    """Voxels (z, y, x), padded up to multiples of the pooling."""
    strides: tuple[IntZYX, ...]
    """Downsampling entering each stage; the first is (1, 1, 1)."""
    kernels: tuple[IntZYX, ...]
    """Kernel of each stage."""

    @property
    def divisor(self) -> IntZYX:
        """What the patch is a multiple of: the product of the strides."""
        z, y, x = (prod(stride[axis] for stride in self.strides) for axis in range(3))
        return z, y, x


def make_topology(spacing_mm: FloatZYX, patch_size: SizesZYX) -> Topology:
    """nnU-Net v2's rule: pool the finest axes until all are within a factor 2, none below 4 voxels.

    An axis takes part while it has at least 8 voxels and its spacing is less than twice the finest one's among
    those; one axis alone is pooled from 12 voxels up. Kernels are 1 along an axis until its spacing is within a
    factor 2 of the finest.

    Args:
        spacing_mm: spacing along (z, y, x); infinite along an axis that the network does not have.
        patch_size: voxels wanted along (z, y, x); may end in .5, as medians of shapes do.

    Example:
        >>> make_topology((5.0, 0.94, 0.94), (16, 96, 96)).strides
        ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    """
    spacing, kernel = list(spacing_mm), [1, 1, 1]
    size: list[int | float] = list(patch_size)
    strides: list[IntZYX] = [(1, 1, 1)]
    kernels: list[IntZYX] = []
    while True:
        large = [axis for axis in range(3) if size[axis] >= 2 * SMALLEST_EDGE]
        if not large:
            break
        finest = min(spacing[axis] for axis in large)
        pooled = [axis for axis in large if spacing[axis] / finest < 2]
        if len(pooled) == 1 and size[pooled[0]] < 3 * SMALLEST_EDGE:
            break
        finest = min(spacing)
        for axis in range(3):
            if spacing[axis] / finest < 2:
                kernel[axis] = 3
        kernels.append((kernel[0], kernel[1], kernel[2]))
        for axis in pooled:
            spacing[axis] *= 2
            size[axis] = ceil(size[axis] / 2)
        strides.append(_stride(pooled))
    kernels.append(_last_kernel(spacing_mm))
    return _fitted(patch_size, strides, kernels)


def make_topology_v1(spacing_mm: FloatZYX, patch_size: SizesZYX) -> Topology:
    """nnU-Net v1's rule: as v2's, but pooling stops when the finest of all axes is exhausted.

    An axis takes part while its spacing is less than twice the finest of all axes and it has at least 8 voxels.
    Kernels are 3 along the largest group of axes that are within a factor 2 of one of them, 1 along the others.

    Example:
        >>> make_topology_v1((1.0, 1.0, 1.0), (36, 50, 35)).patch_size
        (40, 56, 40)
    """
    spacing = list(spacing_mm)
    size: list[int | float] = list(patch_size)
    strides: list[IntZYX] = [(1, 1, 1)]
    kernels: list[IntZYX] = []
    while True:
        finest = min(spacing)
        pooled = [a for a in range(3) if spacing[a] / finest < 2 and size[a] >= 2 * SMALLEST_EDGE]
        if not pooled:
            break
        group = _largest_group(spacing)
        z, y, x = (3 if axis in group else 1 for axis in range(3))
        kernels.append((z, y, x))
        for axis in pooled:
            spacing[axis] *= 2
            size[axis] = ceil(size[axis] / 2)
        strides.append(_stride(pooled))
    kernels.append(_last_kernel(spacing_mm))
    return _fitted(patch_size, strides, kernels)


def stage_features(base: int, stages: int, *, largest: int = LARGEST_FEATURES) -> tuple[int, ...]:
    """Channels of each stage: doubled at each, at most `largest`.

    Example:
        >>> stage_features(32, 5)
        (32, 64, 128, 256, 320)
    """
    return tuple(min(base * 2**i, largest) for i in range(stages))


def _stride(pooled: Sequence[int]) -> IntZYX:
    z, y, x = (2 if axis in pooled else 1 for axis in range(3))
    return z, y, x


def _last_kernel(spacing_mm: FloatZYX) -> IntZYX:
    z, y, x = (3 if isfinite(value) else 1 for value in spacing_mm)
    return z, y, x


def _largest_group(spacing: Sequence[float]) -> list[int]:
    """The largest set of axes within a factor 2 of one axis; of equal ones the first."""
    groups = [[i for i in range(3) if spacing[i] / of < 2 and of / spacing[i] < 2] for of in spacing]
    return max(groups, key=len)


def _fitted(patch_size: SizesZYX, strides: list[IntZYX], kernels: list[IntZYX]) -> Topology:
    """The topology with the patch padded up to multiples of its strides."""
    factors = (prod(stride[axis] for stride in strides) for axis in range(3))
    z, y, x = (ceil(size / factor) * factor for size, factor in zip(patch_size, factors, strict=True))
    return Topology(patch_size=(z, y, x), strides=tuple(strides), kernels=tuple(kernels))
