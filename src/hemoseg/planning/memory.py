"""How much memory one optimizer step takes: counted from what autograd keeps, calibrated by measurement."""

from dataclasses import dataclass
from itertools import accumulate
from math import prod

from hemoseg.plan import Configuration, Plan
from hemoseg.types import IntZYX

MB = 1e6
"""Bytes."""
FLOAT32, INT64 = 4, 8
"""Bytes of a number."""
PROCESS_MB = 330.0
"""A Python process with torch and this package, before any network; measured."""
LIBRARY_MB = 140.0
"""What the first step adds apart from tensors, such as compiled kernels. This and the three values below were fitted
to the measured peaks of 19 plans from 0.5 to 8.3 GB, torch 2.13 on two AVX-512 cores; `benchmarks/memory.py` checks
them on others."""
KEPT_PER_WEIGHT = 3.1
"""float32 numbers per weight: itself, its gradient, its momentum, and a share for copies in bf16 and in the kernels'
own layout; fitted."""
FRAGMENTED = 1.45
"""Memory held for each byte that is alive: freed memory is kept, and not every gap can be filled; fitted."""
WORK_TENSORS = 1.9
"""Copies of input and output of the largest convolution that are in flight in its backward pass; fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """Memory of a training process at the peak of an optimizer step, in 10^6 bytes."""

    process_mb: float
    """Interpreter and libraries."""
    weights_mb: float
    """Weights, gradients, momentum, copies for saving and in bf16."""
    saved_mb: float
    """What the forward pass keeps for the backward pass, inputs and labels included."""
    working_mb: float
    """What lives for the time of one operation."""

    @property
    def total_mb(self) -> float:
        """All together."""
        return self.process_mb + self.weights_mb + self.saved_mb + self.working_mb


def plan_memory(plan: Plan, configuration: Configuration) -> StepMemory:
    """Memory of one optimizer step of a configuration of a plan."""
    channels = plan.input_channels(configuration)
    return estimate_memory(configuration, channels=channels, classes=plan.outputs)


def estimate_memory(configuration: Configuration, *, channels: int, classes: int) -> StepMemory:
    """Memory of one optimizer step on a CPU, as `training.train` takes it."""
    weights = count_weights(configuration, channels=channels, classes=classes) * FLOAT32 / MB
    saved = saved_bytes(configuration, channels=channels, classes=classes) / MB
    working = _widest(configuration, channels) * _number_bytes(configuration) / MB
    return StepMemory(
        process_mb=PROCESS_MB + LIBRARY_MB,
        weights_mb=KEPT_PER_WEIGHT * weights,
        saved_mb=FRAGMENTED * saved,
        working_mb=WORK_TENSORS * working,
    )


def count_weights(configuration: Configuration, *, channels: int, classes: int) -> int:
    """Trainable numbers of the network.

    Args:
        configuration: the network.
        channels: input channels.
        classes: output channels, background included.
    """
    features, kernels = configuration.features, configuration.kernels
    residual = configuration.encoder == "residual"
    total = _conv(channels, features[0], kernels[0]) + 2 * features[0] if residual else 0
    entering = features[0] if residual else channels
    for width, kernel, blocks in zip(features, kernels, configuration.blocks, strict=True):
        convs = 2 * blocks if residual else blocks
        total += _conv(entering, width, kernel) + (convs - 1) * _conv(width, width, kernel) + convs * 2 * width
        if residual and entering != width:
            total += entering * width + 2 * width  # the shortcut: no bias, its own norm
        entering = width
    for below, width, kernel, stride, blocks in _decoder(configuration):
        total += _conv(below, width, stride) + _conv(2 * width, width, kernel)
        total += (blocks - 1) * _conv(width, width, kernel) + blocks * 2 * width + _conv(width, classes, (1, 1, 1))
    return total


def saved_bytes(configuration: Configuration, *, channels: int, classes: int) -> int:
    """Bytes of the tensors that live when the backward pass begins, weights apart.

    A convolution keeps its input and a norm its own, the convolution's output; the activation overwrites the norm's
    output, which the next convolution keeps. So each convolution costs two tensors, and a block that ends in a
    sum the same. In bf16 all of these have two bytes a number, but average pooling and losses are float32.
    """
    size = _number_bytes(configuration)
    voxels = stage_voxels(configuration)
    residual = configuration.encoder == "residual"
    batch = voxels[0] * (channels * FLOAT32 + INT64)
    total = batch + (voxels[0] * channels * size if size != FLOAT32 else 0)
    entering, before = channels, voxels[0]
    if residual:
        total += 2 * configuration.features[0] * voxels[0] * size
        entering = configuration.features[0]
    for width, count, stride, blocks in zip(
        configuration.features, voxels, configuration.strides, configuration.blocks, strict=True
    ):
        total += 2 * width * count * size * (2 * blocks if residual else blocks)
        if residual:
            total += _shortcut_bytes(entering, width, before, count, stride, size)
        entering, before = width, count
    for width, count, blocks in zip(
        reversed(configuration.features[:-1]), reversed(voxels[:-1]), configuration.decoder_blocks, strict=True
    ):
        total += (2 + 2 * blocks) * width * count * size + classes * count * size
    return total + _loss_bytes(voxels[:-1], classes)


def stage_voxels(configuration: Configuration) -> tuple[int, ...]:
    """Voxels of a batch at each stage, the finest first."""
    patch = prod(configuration.patch_size) * configuration.batch_size
    factors = accumulate((prod(stride) for stride in configuration.strides), lambda a, b: a * b)
    return tuple(patch // factor for factor in factors)


def _shortcut_bytes(entering: int, width: int, before: int, count: int, stride: IntZYX, size: int) -> int:
    """What the shortcut around a stage's first residual block keeps: pooled first, then projected."""
    kept = 0
    if prod(stride) > 1 and size != FLOAT32:
        kept += entering * before * FLOAT32  # average pooling has no bf16: it keeps a copy of its input
    if entering != width:
        kept += entering * count * size * (prod(stride) > 1) + width * count * size
    return kept


def _loss_bytes(voxels: tuple[int, ...], classes: int) -> int:
    """Softmax, its logarithm and one indicator per foreground class at each supervised level, in float32; labels of
    coarser levels as whole numbers. The coarsest output has no weight in the loss, unless it is the only one."""
    supervised = voxels[:-1] or voxels
    return sum(count * FLOAT32 * (3 * classes - 1) for count in supervised) + INT64 * sum(supervised[1:])


def _widest(configuration: Configuration, channels: int) -> int:
    """Numbers going in and out of the largest convolution of a batch."""
    voxels, features = stage_voxels(configuration), configuration.features
    first = (channels + features[0]) * voxels[0]
    return max([first, *(3 * width * count for width, count in zip(features[:-1], voxels[:-1], strict=True))])


def _decoder(configuration: Configuration) -> list[tuple[int, int, IntZYX, IntZYX, int]]:
    """(channels below, channels, kernel, stride, convolutions) of each decoder stage, the coarsest first."""
    rows = []
    for index, blocks in enumerate(configuration.decoder_blocks):
        stage = len(configuration.features) - 1 - index
        below, width = configuration.features[stage], configuration.features[stage - 1]
        rows.append((below, width, configuration.kernels[stage - 1], configuration.strides[stage], blocks))
    return rows


def _conv(entering: int, leaving: int, kernel: IntZYX) -> int:
    """Weights and biases of a convolution."""
    return entering * leaving * prod(kernel) + leaving


def _number_bytes(configuration: Configuration) -> int:
    return 2 if configuration.precision == "bf16" else FLOAT32
