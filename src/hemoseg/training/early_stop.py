"""When to stop before the end: the rule of nnU-Net v1's base trainer, which the paper's words describe.

nnU-Net itself trains to the end (v1's `nnUNetTrainerV2` and v2), and a poly schedule keeps the rule from acting: the
last of 1000 epochs of `nnunet` has a rate of 2.0e-5, the last of 2400 steps of `headct` 2.7e-5. The rule asks for 1e-6,
at an epoch's end: it could save a whole epoch from 55,652 epochs (`nnunet`) or 23.7 million steps (`headct`) on.
"""

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil

from hemoseg.plan import MOST_ITERATIONS, Recipe
from hemoseg.training.schedule import learning_rate

LOSS_KEPT = 0.93
"""Share of the moving average of the training loss that an epoch leaves of it."""
LEAST_GAIN = 5e-4
"""What the moving average must fall by to count as better."""
LOW_RATE = 1e-6
"""Training stops only where the learning rate is no higher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Where the wait for a better loss stands."""

    best: float | None = None
    """Lowest moving average of the training loss that counted as better."""
    epoch: int = 0
    """Epoch that the wait counts from."""

    def after(self, epoch: int, average: float, rate: float, *, patience: int) -> tuple["Patience", bool]:
        """The wait after an epoch, and whether to stop.

        Args:
            epoch: epochs done before this one.
            average: moving average of the training loss.
            rate: learning rate of the epoch.
            patience: epochs to wait.

        Example:
            >>> wait, _ = Patience().after(0, 1.0, 0.01, patience=4)
            >>> wait.after(5, 1.0, 0.01, patience=4)
            (Patience(best=1.0, epoch=3), False)
            >>> wait.after(5, 1.0, 1e-6, patience=4)
            (Patience(best=1.0, epoch=0), True)
        """
        now = self
        if self.best is None or average + LEAST_GAIN < self.best:
            now = Patience(best=average, epoch=epoch)
        if epoch - now.epoch <= patience:
            return now, False
        if rate > LOW_RATE:
            return Patience(best=now.best, epoch=epoch - patience // 2), False
        return now, True


def earliest_stop(recipe: Recipe, iterations: int, *, patience: int) -> int | None:
    """The first epoch, counted from 1, after which a training may end early; None if no epoch is saved by it.

    The learning rate must have come down, and the wait for a better loss be over.

    Args:
        recipe: the recipe.
        iterations: optimizer steps planned.
        patience: epochs to wait.

    Example:
        >>> earliest_stop(Recipe(learning_rate=1e-6), 2500, patience=3)
        5
    """
    length = recipe.epoch_iterations
    epochs = ceil(iterations / length)

    def is_low(epoch: int) -> bool:
        return learning_rate(recipe, min(epoch * length, iterations) - 1, iterations) <= LOW_RATE

    low = 1 + bisect_left(range(1, epochs + 1), True, key=is_low)
    earliest = max(low, patience + 2)
    return earliest if earliest < epochs else None


def shortest_schedule(recipe: Recipe, *, patience: int) -> int | None:
    """Epochs of the shortest schedule in which a training may end before its last one; None if a plan allows none."""
    most = MOST_ITERATIONS // recipe.epoch_iterations

    def is_enough(epochs: int) -> bool:
        return earliest_stop(recipe, epochs * recipe.epoch_iterations, patience=patience) is not None

    shorter = bisect_left(range(1, most + 1), True, key=is_enough)
    return shorter + 1 if shorter < most else None
