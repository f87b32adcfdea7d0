"""Pseudo Dice: hard decisions on held-out patches, counted over the batches of one epoch.

It tells how training goes and which weights were the best so far. It is no result: patches are not scans.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, isnan, nan

import torch
from torch import Tensor

from hemoseg.arrays import Float, Int64

EMA_KEPT = 0.9
"""Share of the moving average that an epoch leaves of it, nnU-Net's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts over the validation batches of an epoch so far."""

    batches: int = 0
    """Batches counted."""
    loss: float = 0.0
    """Sum of their losses."""
    true: tuple[int, ...] = ()
    """Per class, voxels that are found and wanted."""
    false: tuple[int, ...] = ()
    """Per class, voxels that are found and not wanted."""
    missed: tuple[int, ...] = ()
    """Per class, voxels that are wanted and not found."""

    def plus(self, loss: float, counts: Sequence[Sequence[int]]) -> "Tally":
        """The tally with one more batch; `counts` has true, false and missed voxels per class."""
        true, false, missed = (
            tuple(a + b for a, b in zip(before or [0] * len(new), new, strict=True))
            for before, new in zip((self.true, self.false, self.missed), counts, strict=True)
        )
        return Tally(batches=self.batches + 1, loss=self.loss + loss, true=true, false=false, missed=missed)

    @property
    def dice(self) -> tuple[float, ...]:
        """Pseudo Dice per class, 2 TP / (2 TP + FP + FN); nan for a class that was neither wanted nor found.

        Example:
            >>> Tally(batches=1, true=(3, 0), false=(1, 0), missed=(1, 0)).dice
            (0.75, nan)
        """
        counts = zip(self.true, self.false, self.missed, strict=True)
        return tuple(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else nan for tp, fp, fn in counts)


def hard_counts(
    logits: Float[Tensor, "b c z y x"],
    labels: Int64[Tensor, "b z y x"],
    *,
    ignore: int | None,
    regions: Sequence[Sequence[int]] = (),
) -> Int64[Tensor, "3 k"]:
    """True, false and missed voxels of each foreground class or region, without ignored ones.

    A voxel belongs to the class of the largest logit, or to each region whose sigmoid exceeds one half.
    """
    counted = torch.ones_like(labels, dtype=torch.bool) if ignore is None else labels != ignore
    members = regions or [(number,) for number in range(1, logits.shape[1])]
    winners = None if regions else logits.argmax(dim=1)
    rows = []
    for index, numbers in enumerate(members):
        found = logits[:, index] > 0 if winners is None else winners == numbers[0]
        found = found & counted
        wanted = torch.isin(labels, labels.new_tensor(list(numbers))) & counted
        rows.append(torch.stack([(found & wanted).sum(), (found & ~wanted).sum(), (wanted & ~found).sum()]))
    return torch.stack(rows, dim=1)


def mean_dice(dice: Sequence[float]) -> float | None:
    """Mean over the classes that have one; None if none has.

    Example:
        >>> mean_dice([0.5, nan, 1.0]), mean_dice([nan])
        (0.75, None)
    """
    present = [value for value in dice if not isnan(value)]
    return fsum(present) / len(present) if present else None


def moved(average: float | None, value: float | None, kept: float) -> float | None:
    """A moving average after one more value; without a value it stays, the first value is its start.

    Example:
        >>> moved(None, 0.5, 0.9), moved(0.5, 1.0, 0.9), moved(0.5, None, 0.9)
        (0.5, 0.55, 0.5)
    """
    if average is None or value is None:
        return value if average is None else average
    return kept * average + (1 - kept) * value
