"""Dice plus cross-entropy with deep supervision, as nnU-Net has it.

Every loss is made of sums and counts, and then one formula: ranks of a distributed training add the former, so that
loss and gradient are those of the whole batch.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hemoseg.arrays import Bool, Float, Float32, Int64

SMOOTH = 1e-5
"""nnU-Net's smoothing of the soft Dice."""
NOT_A_LABEL = -1
"""What the library is told to leave out where nothing is."""


def supervision_weights(outputs: int) -> tuple[float, ...]:
    """Weights of the decoder's outputs, the finest first: 1, 1/2, 1/4, …, the coarsest 0, of sum 1.

    A single output has weight 1 (nnU-Net v2 divides 0 by 0 there).

    Example:
        >>> [round(w, 3) for w in supervision_weights(5)]
        [0.533, 0.267, 0.133, 0.067, 0.0]
    """
    raw = [0.5**i for i in range(outputs)]
    if outputs > 1:
        raw[-1] = 0.0
    return tuple(value / sum(raw) for value in raw)


def alone(sums: Tensor) -> Tensor:
    """The sums of all ranks of a training that has one."""
    return sums


def soft_dice(
    both: Float32[Tensor, "*b k"], found: Float32[Tensor, "*b k"], wanted: Float32[Tensor, "*b k"]
) -> Float32[Tensor, "*b k"]:
    """Soft Dice (2 Σpg + ε) / (Σp + Σg + ε) of the sums Σpg, Σp and Σg."""
    return (2 * both + SMOOTH) / (found + wanted + SMOOTH)


def dice_ce(
    logits: Float[Tensor, "b c z y x"],
    labels: Int64[Tensor, "b z y x"],
    *,
    pooled: bool,
    ignore: int | None = None,
    regions: Sequence[Sequence[int]] = (),
    reduce: Callable[[Tensor], Tensor] = alone,
) -> tuple[Float32[Tensor, ""], Float32[Tensor, " k"]]:
    """Cross-entropy minus mean soft Dice, and the soft Dice per foreground class or region; sums in float32.

    Pooled, the sums of Dice go over the whole batch (nnU-Net's `batch_dice`): with small batches most patches lack
    most classes, and a Dice per patch would only teach silence there. Else Dice is the mean of one per patch.

    Without regions, cross-entropy is that of a softmax and a mean over voxels. With regions, it is the binary one of
    each region's sigmoid and a mean over voxels and regions; over voxels alone if some are ignored, as nnU-Net has it.

    With `ignore`, all sums leave out voxels of that number, so that their logits change neither loss nor gradient. If
    all are ignored, there is no cross-entropy.

    Args:
        logits: one channel per class, background first; or one per region.
        labels: label numbers; `ignore` where nobody labeled.
        pooled: whether Dice pools the batch.
        ignore: number of voxels without a say; None where there are none.
        regions: label numbers that each region is made of; empty if every class has a number of its own.
        reduce: adds a vector of sums and counts over all ranks, with gradient; loss and Dice are those of the whole.
    """
    logits = logits.float()
    counted = None if ignore is None else labels != ignore
    members = regions or [(number,) for number in range(1, logits.shape[1])]
    probabilities = logits.sigmoid() if regions else logits.softmax(dim=1)[:, 1:]
    targets = [_is_any(labels, numbers).to(logits.dtype) for numbers in members]
    both, found, wanted = _dice_sums(probabilities, targets, counted)
    if regions:
        entropy = _binary_entropy(logits, torch.stack(targets, dim=1), counted)
    else:
        entropy = _entropy(logits, labels, counted, ignore)
    classes = len(members)
    if pooled:
        sums = reduce(torch.cat([entropy, both.sum(0), found.sum(0), wanted.sum(0)]))
        dice = soft_dice(*sums[2:].reshape(3, classes))
    else:
        patches = entropy.new_full((1,), len(labels))
        sums = reduce(torch.cat([entropy, patches, soft_dice(both, found, wanted).sum(0)]))
        dice = sums[3:] / sums[2]
    return sums[0] / sums[1].clamp(min=1) - dice.mean(), dice


def _is_any(labels: Int64[Tensor, "b z y x"], numbers: Sequence[int]) -> Bool[Tensor, "b z y x"]:
    """Where a label is one of the numbers."""
    mask = labels == numbers[0]
    for number in numbers[1:]:
        mask |= labels == number
    return mask


def _dice_sums(
    probabilities: Float32[Tensor, "b k z y x"],
    targets: Sequence[Float32[Tensor, "b z y x"]],
    counted: Bool[Tensor, "b z y x"] | None,
) -> Float32[Tensor, "3 b k"]:
    """Σpg, Σp and Σg of each patch and class, over counted voxels."""
    rows = []
    for number, target in enumerate(targets):
        p = probabilities[:, number] if counted is None else probabilities[:, number] * counted
        rows.append(torch.stack([(p * target).sum((1, 2, 3)), p.sum((1, 2, 3)), target.sum((1, 2, 3))]))
    return torch.stack(rows, dim=2)


def _entropy(
    logits: Float32[Tensor, "b c z y x"],
    labels: Int64[Tensor, "b z y x"],
    counted: Bool[Tensor, "b z y x"] | None,
    ignore: int | None,
) -> Float32[Tensor, " 2"]:
    """Sum of the cross-entropy over counted voxels, and how many they are."""
    left_out = NOT_A_LABEL if ignore is None else ignore
    total = functional.cross_entropy(logits, labels, reduction="sum", ignore_index=left_out)
    count = torch.full_like(total, labels.numel()) if counted is None else counted.sum().to(total.dtype)
    return torch.stack([total, count])


def _binary_entropy(
    logits: Float32[Tensor, "b k z y x"],
    targets: Float32[Tensor, "b k z y x"],
    counted: Bool[Tensor, "b z y x"] | None,
) -> Float32[Tensor, " 2"]:
    """Sum of the binary cross-entropy over counted voxels and regions, and what nnU-Net divides it by."""
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if counted is None:
        return torch.stack([each.sum(), each.new_tensor(float(each.numel()))])
    return torch.stack([(each * counted[:, None]).sum(), counted.sum().to(each.dtype)])


def deep_loss(
    outputs: Sequence[Float[Tensor, "b c _ _ _"]],
    labels: Int64[Tensor, "b z y x"],
    *,
    pooled: bool,
    ignore: int | None = None,
    regions: Sequence[Sequence[int]] = (),
    reduce: Callable[[Tensor], Tensor] = alone,
) -> tuple[Float32[Tensor, ""], Float32[Tensor, " k"]]:
    """The weighted loss over all decoder outputs, and the finest output's soft Dice per class.

    Args:
        outputs: logits of each output, the finest first.
        labels: label numbers at full resolution; `ignore` where nobody labeled.
        pooled: see `dice_ce`, as for all that follow.
        ignore: number of voxels without a say; None where there are none.
        regions: label numbers that each region is made of.
        reduce: adds sums over all ranks.
    """
    total = torch.zeros((), device=labels.device)
    finest = torch.zeros(0)
    for level, (weight, logits) in enumerate(zip(supervision_weights(len(outputs)), outputs, strict=True)):
        if weight:
            shrunk = shrink_labels(labels, logits.shape[2:])
            loss, dice = dice_ce(logits, shrunk, pooled=pooled, ignore=ignore, regions=regions, reduce=reduce)
            total = total + weight * loss
            finest = dice.detach() if level == 0 else finest
    return total, finest


def shrink_labels(labels: Int64[Tensor, "b z y x"], shape: Sequence[int]) -> Int64[Tensor, "b z2 y2 x2"]:
    """Every s-th label, taken at the middle of its block (nearest-exact), where s divides the sizes."""
    steps = [old // new for old, new in zip(labels.shape[1:], shape, strict=True)]
    return labels[:, steps[0] // 2 :: steps[0], steps[1] // 2 :: steps[1], steps[2] // 2 :: steps[2]]
