"""What training is fed with: batches by number, from whatever draws them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hemoseg.arrays import Float32, UInt8

WHOLE = slice(None)
"""All patches of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The patches of one optimizer step."""

    inputs: Float32[np.ndarray, "b c z y x"]
    """What the network sees."""
    labels: UInt8[np.ndarray, "b z y x"]
    """Label numbers; the one after the last where nobody labeled."""
    cases: tuple[str, ...]
    """Name of the case that each patch is of."""


@runtime_checkable
class BatchSource(Protocol):
    """Gives any batch of a fold; what it gives depends on seed, fold and number alone."""

    @property
    def ignore(self) -> int | None:
        """Number that stands for ignored voxels in the labels; None where no case has any."""

    def names_of(self, iteration: int) -> tuple[str, ...]:
        """Names of the cases that the batch of an iteration has patches of, in their order; no case is read."""

    def batch(self, iteration: int) -> Batch:
        """The batch of one iteration, augmented; the same whenever it is asked for."""

    def validation_batch(self, number: int) -> Batch:
        """A batch of held-out cases, as they are; the same whenever it is asked for."""


class PartedSource(BatchSource, Protocol):
    """A source of which a part of a batch can be had: its patches are those of the whole, and no other is made."""

    @property
    def batch_size(self) -> int:
        """Patches of a whole batch."""

    def batch(self, iteration: int, part: slice = WHOLE) -> Batch:
        """The batch of one iteration, or these patches of it."""

    def validation_batch(self, number: int, part: slice = WHOLE) -> Batch:
        """A batch of held-out cases, or these patches of it."""
