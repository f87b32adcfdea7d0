"""When to stop before the end: the rule of nnU-Net v1's base trainer, which the paper's words describe.

nnU-Net itself trains to the end (v1's `nnUNetTrainerV2` and v2), and a poly schedule keeps the rule from acting: the
last of 1000 epochs of `nnunet` has a rate of 2.0e-5, the last of 2400 steps of `headct` 2.7e-5. The rule asks for 1e-6,
at an epoch's end: it could save a whole epoch from 55,652 epochs (`nnunet`) or 23.7 million steps (`headct`) on.
"""

from dataclasses import dataclass

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
