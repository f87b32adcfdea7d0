"""Batches of the recipe for head CT whose previous stage's labels are not to be trusted blindly."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from hemoseg.arrays import Float32
from hemoseg.data import WHOLE, Batch, Sampler
from hemoseg.training.augment.cascade import doubting
from hemoseg.training.augment.chance import alone

DOUBT = 2
"""Seeds of what alters a previous stage's labels end with it; those of validation batches end with 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtedSource:
    """A sampler's batches, with the previous stage's labels altered as nnU-Net v2 alters them.

    What is done to patch j of batch i depends on (seed, fold, i, j) alone; what the sampler draws does not change.
    """

    sampler: Sampler
    """Draws the patches; its last channels are the previous stage's labels."""

    @property
    def ignore(self) -> int | None:
        """Number that stands for ignored voxels in the labels; None where no case has any."""
        return self.sampler.ignore

    @property
    def batch_size(self) -> int:
        """Patches of a whole batch."""
        return self.sampler.batch_size

    def names_of(self, iteration: int) -> tuple[str, ...]:
        """Names of the cases that a batch has patches of; no case is read."""
        return self.sampler.names_of(iteration)

    def batch(self, iteration: int, part: slice = WHOLE) -> Batch:
        """The batch of one iteration, or a part of it; the same whenever it is asked for."""
        drawn, numbers = self.sampler.batch(iteration, part), range(self.batch_size)[part]
        pairs = zip(drawn.inputs, numbers, strict=True)
        inputs = np.stack([self._altered(patch, iteration, number) for patch, number in pairs])
        return replace(drawn, inputs=inputs)

    def validation_batch(self, number: int, part: slice = WHOLE) -> Batch:
        """A batch of held-out cases, as they are, or a part of it; the same whenever it is asked for.

        Raises:
            InputError: no case is held out.
        """
        return self.sampler.validation_batch(number, part)

    def _altered(
        self, patch: Float32[np.ndarray, "c z y x"], iteration: int, number: int
    ) -> Float32[np.ndarray, "c z y x"]:
        """A patch of a batch with other labels of the previous stage."""
        sampler = self.sampler
        transforms = doubting(sampler.numbers - 1)
        image = torch.from_numpy(patch.copy())
        flat = image.shape[1] == 1
        with alone(np.random.default_rng([sampler.seed, sampler.fold, iteration, number, DOUBT])):
            found = {"image": image[:, 0] if flat else image}
            for transform in transforms:
                found = transform(**found)
        altered: Float32[np.ndarray, "c z y x"] = found["image"].numpy()
        return altered[:, None] if flat else altered
