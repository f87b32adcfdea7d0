"""How large a network is, in nnU-Net's measure: values of all feature maps for a batch of one.

nnU-Net builds each network to count; here the sums are written out, in whole numbers.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from hemoseg.planning.topology import Topology

V1_BLOCKS = 5
"""Feature maps per stage that v1 counts: two convolutions down, two up, one upsampling."""
V1_BLOCKS_LAST = 2
"""Those of the coarsest stage."""


def stage_voxels(topology: Topology) -> tuple[int, ...]:
    """Voxels of the feature maps of each stage, the finest first.

    Example:
        >>> stage_voxels(Topology((4, 8, 8), ((1, 1, 1), (1, 2, 2)), ((1, 3, 3), (3, 3, 3))))
        (256, 64)
    """
    size = list(topology.patch_size)
    voxels = []
    for stride in topology.strides:
        size = [edge // step for edge, step in zip(size, stride, strict=True)]
        voxels.append(prod(size))
    return tuple(voxels)


def plain_cost(topology: Topology, features: Sequence[int], label_count: int, *, convolutions: int = 2) -> int:
    """Values of a plain U-Net's maps: each convolution, each upsampling, and the last segmentation.

        sum_s n F_s V_s  +  sum_(s < S-1) (n + 1) F_s V_s  +  C V_0

    Args:
        topology: patch and strides; V_s voxels of stage s.
        features: channels F_s of each stage.
        label_count: channels C of the segmentation.
        convolutions: n per stage of encoder and decoder.

    Source:
        `compute_conv_feature_map_size` of dynamic-network-architectures 0.4.4, PlainConvUNet.
    """
    maps = [f * v for f, v in zip(features, stage_voxels(topology), strict=True)]
    return convolutions * sum(maps) + _decoder_cost(topology, maps, label_count, convolutions=convolutions)


def residual_cost(
    topology: Topology, features: Sequence[int], label_count: int, *, blocks: Sequence[int], convolutions: int = 1
) -> int:
    """Values of a residual-encoder U-Net's maps.

    A block has two convolutions, and a third on its way around where stride or width change; one convolution is
    the stem.

    Args:
        topology: patch and strides.
        features: channels of each stage.
        label_count: channels of the segmentation.
        blocks: residual blocks of each stage.
        convolutions: per stage of the decoder.

    Source:
        `compute_conv_feature_map_size` of dynamic-network-architectures 0.4.4, ResidualEncoderUNet.
    """
    voxels = stage_voxels(topology)
    maps = [f * v for f, v in zip(features, voxels, strict=True)]
    total = maps[0] + sum(2 * count * values for count, values in zip(blocks, maps, strict=True))
    stages = zip(pairwise(features), pairwise(voxels), maps[1:], strict=True)
    total += sum(here for (f, g), (v, w), here in stages if f != g or v != w)
    return total + _decoder_cost(topology, maps, label_count, convolutions=convolutions)


def v1_cost(topology: Topology, *, base: int, largest: int, channels: int, label_count: int) -> int:
    """v1's estimate: like the plain one, but with input and all labels at full resolution.

    Source:
        nnU-Net v1's `Generic_UNet.compute_approx_vram_consumption`.
    """
    voxels = stage_voxels(topology)
    total = (V1_BLOCKS * base + channels + label_count) * voxels[0]
    features = base
    for stage, here in enumerate(voxels[1:], start=1):
        features = min(features * 2, largest)
        total += (V1_BLOCKS if stage < len(voxels) - 1 else V1_BLOCKS_LAST) * here * features
    return total


def _decoder_cost(topology: Topology, maps: Sequence[int], label_count: int, *, convolutions: int) -> int:
    """Values of the decoder: an upsampling and its convolutions at each stage but the coarsest, one segmentation."""
    if len(maps) == 1:
        return 0
    return (convolutions + 1) * sum(maps[:-1]) + label_count * prod(topology.patch_size)
