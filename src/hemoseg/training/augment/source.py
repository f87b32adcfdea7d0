"""Batches of nnU-Net v2's recipe: its patches, augmented its way."""

from collections.abc import Sequence

import numpy as np
import torch

from hemoseg.data import WHOLE, Batch, NnunetSampler, RawPatch, StoredCase
from hemoseg.plan import Configuration, Plan
from hemoseg.training.augment.chance import alone
from hemoseg.training.augment.geometry import geometry_of
from hemoseg.training.augment.table import make_transforms
from hemoseg.types import Channels, LabelMap


class AugmentedSource:
    """Gives the batches of a fold; patch j of batch i depends on (seed, fold, i, j) alone.

    Raises:
        InputError: every voxel of every case is ignored.
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        plan: Plan,
        configuration: Configuration,
        *,
        fold: int,
        held_out: Sequence[StoredCase] = (),
    ) -> None:
        self.geometry = geometry_of(configuration)
        self.sampler = NnunetSampler(
            cases, plan, configuration, fold=fold, load_size=self.geometry.load_size, held_out=held_out
        )
        self.transforms = make_transforms(
            self.geometry,
            configuration.patch_size,
            masked=tuple(i for i, channel in enumerate(plan.preparation.channels) if channel.masked),
            previous_labels=plan.table.largest if configuration.previous_stage else 0,
        )

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
        patches = []
        for number in range(self.batch_size)[part]:
            raw, generator = self.sampler.patch(iteration, number)
            with alone(generator):
                patches.append((raw.case, *self._augment(raw)))
        return Batch(
            inputs=np.stack([inputs for _, inputs, _ in patches]),
            labels=np.stack([labels for _, _, labels in patches]),
            cases=tuple(case for case, _, _ in patches),
        )

    def validation_batch(self, number: int, part: slice = WHOLE) -> Batch:
        """A batch of held-out cases, as they are, or a part of it; the same whenever it is asked for.

        Raises:
            InputError: no case is held out.
        """
        return self.sampler.validation_batch(number, part)

    def _augment(self, raw: RawPatch) -> tuple[Channels, LabelMap]:
        """What the network sees of a patch, and its labels; chance comes from the global generators."""
        maps = np.stack([raw.labels] if raw.previous is None else [raw.labels, raw.previous])
        image, labels = torch.from_numpy(raw.image), torch.from_numpy(maps)
        if self.geometry.flat:
            image, labels = image[:, 0], labels[:, 0]
        found = self.transforms(image=image, segmentation=labels)
        image, labels = found["image"], found["segmentation"][0]
        if self.geometry.flat:
            image, labels = image[:, None], labels[None]
        return image.numpy(), labels.numpy().astype(np.uint8)
