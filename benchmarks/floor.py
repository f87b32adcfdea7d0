"""The least that a network can cost: its multiplications, counted from the plan."""

from math import prod

from hemoseg.inference.sliding import mirror_sets
from hemoseg.inference.tiles import tile_corners
from hemoseg.models import Bundle
from hemoseg.plan import Configuration
from hemoseg.types import IntZYX


def network_gflop(configuration: Configuration, *, channels: int, classes: int) -> float:
    """10^9 floating-point operations of one forward pass of one patch: 2 per multiply-add of each convolution.

    The plain U-Net of `hemoseg.nets`: two convolutions per stage on either way, transposed convolutions between
    stages going up, and one 1x1x1 convolution to the classes at the end. Norms and activations are not counted.

    Args:
        configuration: patch size, features, strides and kernels.
        channels: input channels.
        classes: output channels.
    """
    features, voxels = configuration.features, _stage_voxels(configuration)
    kernels = [prod(kernel) for kernel in configuration.kernels]
    total = voxels[0] * features[0] * classes
    for stage, width in enumerate(features):
        entering = features[stage - 1] if stage else channels
        total += voxels[stage] * kernels[stage] * width * (entering + width)
    for stage, width in enumerate(features[:-1]):
        total += voxels[stage] * width * features[stage + 1]
        total += voxels[stage] * kernels[stage] * width * (2 * width + width)
    return 2 * total / 1e9


def step_gflop(configuration: Configuration, *, channels: int, classes: int) -> float:
    """10^9 floating-point operations of one optimizer step: all patches forward, and twice that backward.

    Backward, each convolution has a product for its weights and one for its input, but for the first, whose input
    needs none. Every stage of the decoder has an output forward; the coarsest one has no loss, so nothing backward.

    Args:
        configuration: patch and batch size, features, strides and kernels.
        channels: input channels.
        classes: output channels.
    """
    features, voxels = configuration.features, _stage_voxels(configuration)
    outputs = [2 * v * width * classes / 1e9 for v, width in zip(voxels[1:-1], features[1:-1], strict=True)]
    coarser = 3 * sum(outputs) - (2 * outputs[-1] if outputs else 0.0)
    first = 2 * voxels[0] * prod(configuration.kernels[0]) * channels * features[0] / 1e9
    patch = 3 * network_gflop(configuration, channels=channels, classes=classes) + coarser - first
    return configuration.batch_size * patch


def _stage_voxels(configuration: Configuration) -> list[int]:
    """Voxels of a patch at each stage."""
    voxels, left = [], prod(configuration.patch_size)
    for stride in configuration.strides:
        left //= prod(stride)
        voxels.append(left)
    return voxels


def scan_passes(bundle: Bundle, shape: IntZYX) -> int:
    """Forward passes of one patch for a scan whose prepared shape (z, y, x) is given: tiles, mirrorings, folds."""
    configuration = bundle.plan.configuration(bundle.selection.configurations[0])
    z, y, x = (max(size, tile) for size, tile in zip(shape, configuration.patch_size, strict=True))
    mirrorings = len(mirror_sets(configuration.mirror_axes if bundle.selection.mirror else ()))
    folds = len(bundle.selection.folds[configuration.name])
    return len(tile_corners((z, y, x), configuration.patch_size)) * mirrorings * folds
