"""Which patches nnU-Net v2 trains on, rule by rule (nnunetv2 2.8.1, training/dataloading/data_loader.py)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Int16
from hemoseg.data.batch import WHOLE, Batch
from hemoseg.data.patches import box_inside, cut
from hemoseg.data.pool import Pool, make_pools, no_held_out
from hemoseg.data.sampler import VALIDATION
from hemoseg.data.store import StoredCase
from hemoseg.plan import Configuration, Plan, Preparation
from hemoseg.types import Channels, IntZYX
from hemoseg.windows import apply_windows, one_hot


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPatch:
    """One patch before augmentation; all its arrays lie on the same voxels."""

    case: str
    """Name of its case."""
    image: Channels
    """Channels; 0 outside the case."""
    labels: Int16[np.ndarray, "z y x"]
    """Label numbers; -1 outside the case, and where the non-zero mask ends."""
    previous: Int16[np.ndarray, "z y x"] | None
    """The previous stage's label numbers; -1 outside the case. None where there is no such stage."""


class NnunetSampler:
    """Draws the patches of a fold as nnU-Net v2 does.

    Cases are drawn evenly with replacement. Patch j of a batch of B holds foreground if j ≥ round(B · (1 - share)):
    of a batch of one none does. Then a class (or region) that the case has is drawn evenly, one of its voxels, and
    the patch is centered on it; it may hang over the far border, but not over the near one further than half of
    the padding. Without foreground, and in the other patches, all places are as likely, those over the borders too.
    Where the data set has a label for ignored voxels, these patches are centered on a voxel that is not ignored.

    nnU-Net keeps a sample of each class's voxels, the larger of 10,000 and 1%, and draws from that; here all of them
    are drawn from. Of ignored voxels the plan knows from dataset.json, as nnU-Net does.

    Args:
        cases: prepared cases.
        plan: the plan.
        configuration: the network; its patches are what validation sees.
        fold: number of the fold.
        load_size: voxels (z, y, x) cut for training; more than a patch where augmentation turns it.
        held_out: prepared cases for validation.

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
        load_size: IntZYX,
        held_out: Sequence[StoredCase] = (),
    ) -> None:
        self.preparation = plan.preparation
        self.recipe = plan.recipe
        self.patch_size: IntZYX = configuration.patch_size
        self.load_size = load_size
        self.batch_size = configuration.batch_size
        self.numbers = plan.table.largest + 1
        self.seed = plan.seed
        self.fold = fold
        self.cases, self.held_out, self.ignore = make_pools(
            cases, held_out, plan.table, fold=fold, ignores=plan.ignores
        )

    def patch(self, iteration: int, number: int) -> tuple[RawPatch, np.random.Generator]:
        """One patch of a batch in the size that augmentation needs, and the generator that drew it, to go on with."""
        generator = np.random.default_rng([self.seed, self.fold, iteration, number])
        case, corner = self.draw(generator, self.cases, self.load_size, forced=self.is_forced(number))
        return self._cut(self.cases.cases[case], corner, self.load_size), generator

    def names_of(self, iteration: int) -> tuple[str, ...]:
        """Names of the cases that a batch has patches of; no case is read."""
        pool, names = self.cases.unread(), []
        for number in range(self.batch_size):
            generator = np.random.default_rng([self.seed, self.fold, iteration, number])
            case, _ = self.draw(generator, pool, self.load_size, forced=self.is_forced(number))
            names.append(pool.cases[case].name)
        return tuple(names)

    def validation_batch(self, number: int, part: slice = WHOLE) -> Batch:
        """A batch of held-out cases, or a part of it, drawn alike, in the size of a patch and as they are.

        Raises:
            InputError: no case is held out.
        """
        if self.held_out is None:
            raise no_held_out(self.fold)
        patches = []
        for j in range(self.batch_size)[part]:
            generator = np.random.default_rng([self.seed, self.fold, number, j, VALIDATION])
            case, corner = self.draw(generator, self.held_out, self.patch_size, forced=self.is_forced(j))
            patches.append(self._cut(self.held_out.cases[case], corner, self.patch_size))
        return Batch(
            inputs=np.stack([self._inputs(patch) for patch in patches]),
            labels=np.stack([np.maximum(patch.labels, 0).astype(np.uint8) for patch in patches]),
            cases=tuple(patch.case for patch in patches),
        )

    def is_forced(self, number: int) -> bool:
        """Whether the patch of this number in a batch must hold foreground."""
        return number >= self.batch_size - self.recipe.forced_patches(self.batch_size)

    def draw(self, generator: np.random.Generator, pool: Pool, size: IntZYX, *, forced: bool) -> tuple[int, IntZYX]:
        """A case, and the corner of a patch of a size in it."""
        case = int(generator.integers(len(pool.cases)))
        ranges = [
            corner_range(n, loaded=loaded, patch=patch)
            for n, loaded, patch in zip(pool.cases[case].shape, size, self.patch_size, strict=True)
        ]
        voxel = pool.voxel_of_a_class(generator, case) if forced else None
        if voxel is None and self.ignore is not None:
            voxel = pool.labeled_voxel(generator, case)
        if voxel is None:
            z, y, x = (int(generator.integers(low, high + 1)) for low, high in ranges)
        else:
            z, y, x = (
                max(low, int(at) - length // 2) for (low, _), at, length in zip(ranges, voxel, size, strict=True)
            )
        return case, (z, y, x)

    def _cut(self, case: StoredCase, corner: IntZYX, size: IntZYX) -> RawPatch:
        return RawPatch(
            case=case.name,
            image=_channels(case, corner, size, self.preparation),
            labels=cut(case.labels, corner, size, fill=-1.0, dtype=np.int16),
            previous=None if case.previous is None else cut(case.previous, corner, size, fill=-1.0, dtype=np.int16),
        )

    def _inputs(self, patch: RawPatch) -> Channels:
        """What the network sees of a patch that is not augmented."""
        if patch.previous is None:
            return patch.image
        return np.concatenate([patch.image, one_hot(patch.previous, self.numbers)])


def corner_range(voxels: int, *, loaded: int, patch: int) -> tuple[int, int]:
    """First and last place of a random patch's corner along one axis.

    What is loaded beyond the patch may lie outside the case, so that patches reach every border; so may what the case
    is too small for. An odd voxel goes to the near side of the first place and to the far side of the last one.

    Args:
        voxels: voxels of the case.
        loaded: voxels that are cut.
        patch: voxels that the network sees.

    Example:
        >>> corner_range(32, loaded=20, patch=20), corner_range(15, loaded=20, patch=20)
        ((0, 12), (-3, -2))
        >>> corner_range(512, loaded=376, patch=320)
        (-28, 164)
    """
    pad = max(loaded - patch, loaded - voxels)
    return -pad // 2, voxels + pad // 2 + pad % 2 - loaded


def _channels(case: StoredCase, corner: IntZYX, size: IntZYX, preparation: Preparation) -> Channels:
    """Channels of a box; 0 outside the case, also where HU are stored and windows come last."""
    if preparation.windowed != "last":
        return cut(case.image, corner, size, fill=0.0, dtype=np.float32)
    inside, target = box_inside(case.shape, corner, size)
    channels = np.zeros((len(preparation.channels), *size), dtype=np.float32)
    channels[(slice(None), *target)] = apply_windows(case.image[(0, *inside)], preparation.channels)
    return channels
