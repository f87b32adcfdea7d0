"""How deep a network goes: nnU-Net's pooling rule."""

from dataclasses import dataclass
from math import ceil, prod

from hemoseg.types import FloatZYX, IntZYX

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


def make_topology(spacing_mm: FloatZYX, patch_size: IntZYX) -> Topology:
    """nnU-Net v2's rule: pool the finest axes until all are within a factor 2, none below 4 voxels.

    An axis takes part while it has at least 8 voxels and its spacing is less than twice the finest
    one's; kernels are 1 along an axis until its spacing is within a factor 2 of the finest.

    Example:
        >>> make_topology((5.0, 0.94, 0.94), (16, 96, 96)).strides
        ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    """
    spacing, size, kernel = list(spacing_mm), list(patch_size), [1, 1, 1]
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
        for axis in range(3):
            if spacing[axis] / min(spacing) < 2:
                kernel[axis] = 3
        kernels.append((kernel[0], kernel[1], kernel[2]))
        step = [2 if axis in pooled else 1 for axis in range(3)]
        spacing = [value * factor for value, factor in zip(spacing, step, strict=True)]
        size = [ceil(value / factor) for value, factor in zip(size, step, strict=True)]
        strides.append((step[0], step[1], step[2]))
    kernels.append((3, 3, 3))
    z, y, x = (_padded(patch_size[axis], prod(s[axis] for s in strides)) for axis in range(3))
    return Topology(patch_size=(z, y, x), strides=tuple(strides), kernels=tuple(kernels))


def stage_features(base: int, stages: int) -> tuple[int, ...]:
    """Channels of each stage: doubled at each, at most 320.

    Example:
        >>> stage_features(32, 5)
        (32, 64, 128, 256, 320)
    """
    return tuple(min(base * 2**i, LARGEST_FEATURES) for i in range(stages))


def _padded(size: int, factor: int) -> int:
    return ceil(size / factor) * factor
