"""Dice plus cross-entropy with deep supervision, as nnU-Net has it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hemoseg.arrays import Float, Float32, Int64

SMOOTH = 1e-5
"""nnU-Net's smoothing of the soft Dice."""


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


def soft_dice(
    probabilities: Float32[Tensor, "b c z y x"],
    labels: Int64[Tensor, "b z y x"],
    *,
    pooled: bool,
    ignore: int | None = None,
) -> Float32[Tensor, " k"]:
    """Soft Dice of each foreground class: (2 Σpg + ε) / (Σp + Σg + ε); sums leave out voxels labeled `ignore`.

    Pooled, sums go over the whole batch (nnU-Net's `batch_dice`): with small batches most patches lack most
    classes, and a Dice per patch would only teach silence there. Else it is the mean of one Dice per patch.
    """
    scores = []
    for number in range(1, probabilities.shape[1]):
        p = probabilities[:, number]
        if ignore is not None:
            p = p * (labels != ignore)
        g = (labels == number).to(p.dtype)
        if pooled:
            scores.append((2 * (p * g).sum() + SMOOTH) / (p.sum() + g.sum() + SMOOTH))
        else:
            both, p_sum, g_sum = ((p * g).sum((1, 2, 3)), p.sum((1, 2, 3)), g.sum((1, 2, 3)))
            scores.append(((2 * both + SMOOTH) / (p_sum + g_sum + SMOOTH)).mean())
    return torch.stack(scores)


def dice_ce(
    logits: Float[Tensor, "b c z y x"], labels: Int64[Tensor, "b z y x"], *, pooled: bool, ignore: int | None = None
) -> tuple[Float32[Tensor, ""], Float32[Tensor, " k"]]:
    """Cross-entropy minus mean soft Dice, and the soft Dice per foreground class; sums in float32.

    With `ignore`, both are means and sums over the other voxels alone, so that logits of ignored voxels change
    neither loss nor gradient. If all are ignored, there is no cross-entropy.
    """
    logits = logits.float()
    dice = soft_dice(logits.softmax(dim=1), labels, pooled=pooled, ignore=ignore)
    if ignore is None:
        return functional.cross_entropy(logits, labels) - dice.mean(), dice
    if not (labels != ignore).any():
        return -dice.mean(), dice
    return functional.cross_entropy(logits, labels, ignore_index=ignore) - dice.mean(), dice


def deep_loss(
    outputs: Sequence[Float[Tensor, "b c _ _ _"]],
    labels: Int64[Tensor, "b z y x"],
    *,
    pooled: bool,
    ignore: int | None = None,
) -> tuple[Float32[Tensor, ""], Float32[Tensor, " k"]]:
    """The weighted loss over all decoder outputs, and the finest output's soft Dice per class.

    Args:
        outputs: logits of each output, the finest first.
        labels: class numbers; `ignore` where nobody labeled.
        pooled: see `soft_dice`.
        ignore: number of voxels without a say; None where there are none.
    """
    total = torch.zeros(())
    finest = torch.zeros(0)
    for level, (weight, logits) in enumerate(zip(supervision_weights(len(outputs)), outputs, strict=True)):
        if weight:
            shrunk = shrink_labels(labels, logits.shape[2:])
            loss, dice = dice_ce(logits, shrunk, pooled=pooled, ignore=ignore)
            total = total + weight * loss
            finest = dice.detach() if level == 0 else finest
    return total, finest


def shrink_labels(labels: Int64[Tensor, "b z y x"], shape: Sequence[int]) -> Int64[Tensor, "b z2 y2 x2"]:
    """Every s-th label, taken at the middle of its block (nearest-exact), where s divides the sizes."""
    steps = [old // new for old, new in zip(labels.shape[1:], shape, strict=True)]
    return labels[:, steps[0] // 2 :: steps[0], steps[1] // 2 :: steps[1], steps[2] // 2 :: steps[2]]
