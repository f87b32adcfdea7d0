"""Which patches training sees. Drawing is apart from applying, and batch i depends on (seed, fold, i) alone.

So a resumed training needs no stored generator: it draws batch i as the unbroken one would.
"""

from collections.abc import Sequence
from math import radians

import numpy as np

from hemoseg.arrays import Int64
from hemoseg.data.batch import WHOLE, Batch
from hemoseg.data.patches import Draw, apply_draw
from hemoseg.data.pool import Pool, make_pools, no_held_out
from hemoseg.data.store import StoredCase
from hemoseg.plan import Configuration, Plan, Recipe
from hemoseg.types import IntZYX

JITTER = 0.5
"""A forced patch is centered on its foreground voxel only to within ± this / 2 of the patch size, so that
lesions are seen at all places of a patch, not only in its middle (nnU-Net centers them)."""
NOISE_SHARE = 0.3
"""Share of patches that get noise."""
VALIDATION = 1
"""Seeds of validation batches end with it: they are drawn apart from those of training."""
PLAIN = Recipe()
"""Validation knows no shares, so that trainings with different ones are measured alike."""


class Sampler:
    """Draws the patches of a fold, as the recipe `headct` wants them.

    The first `ceil(batch_size · forced_foreground)` patches of a batch contain foreground: a class (or region) of
    the case, drawn evenly, then one of its voxels. The others lie anywhere; in a case with ignored voxels, around
    any voxel that is not, as in nnU-Net, for a patch without a label teaches nothing. Patches stay inside the
    case wherever it is large enough; nnU-Net lets forced ones hang over the far border. Where the recipe turns and
    enlarges patches, a forced voxel beside the case's border may be turned out of its patch.

    Shares of the recipe change that: of forced patches that hold a lesion, drawn evenly among those of the class
    whatever their size; of the others that come from cases without foreground, and that hold bright background.

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
        self.preparation = plan.preparation
        self.recipe = plan.recipe
        self.patch_size = configuration.patch_size
        self.batch_size = configuration.batch_size
        self.mirror_axes = configuration.mirror_axes
        self.numbers = plan.table.largest + 1
        self.seed = plan.seed
        self.fold = fold
        self.cases, self.held_out, self.ignore = make_pools(
            cases, held_out, plan.table, fold=fold, ignores=plan.ignores
        )
        if self.recipe.even_lesions:
            self.cases.find_lesions()
        if self.recipe.hard_negatives:
            self.cases.find_bright(ignore=self.numbers)

    def batch(self, iteration: int, part: slice = WHOLE) -> Batch:
        """The batch of one iteration, or a part of it; the same whenever it is asked for."""
        return self._cut(self.cases, self._draws(self.cases, iteration)[part])

    def names_of(self, iteration: int) -> tuple[str, ...]:
        """Names of the cases that a batch has patches of; no case is read."""
        return tuple(self.cases.cases[draw.case].name for draw in self._draws(self.cases.unread(), iteration))

    def validation_batch(self, number: int, part: slice = WHOLE) -> Batch:
        """A batch of held-out cases, or a part of it, drawn alike but neither mirrored nor changed.

        Raises:
            InputError: no case is held out.
        """
        if self.held_out is None:
            raise no_held_out(self.fold)
        generator = np.random.default_rng([self.seed, self.fold, number, VALIDATION])
        draws = []
        for forced in self._forced():
            case, corner = self._place(generator, self.held_out, forced=forced)
            draws.append(Draw(case=case, corner=corner))
        return self._cut(self.held_out, draws[part])

    def _draws(self, pool: Pool, iteration: int) -> list[Draw]:
        """The patches of a batch."""
        generator = np.random.default_rng([self.seed, self.fold, iteration])
        return [self.draw(generator, pool, forced=forced) for forced in self._forced()]

    def draw(self, generator: np.random.Generator, pool: Pool, *, forced: bool) -> Draw:
        """Draw one patch; `forced` ones contain foreground if any case has some."""
        case, corner = self._place(generator, pool, forced=forced)
        flips = generator.random(3) < 0.5
        shift, noise = _draw_intensity(generator, self.recipe)
        noise_seed = int(generator.integers(2**63))
        turn, zoom = _draw_view(generator, self.recipe)
        return Draw(
            case=case,
            corner=corner,
            flips=(
                bool(flips[0]) and 0 in self.mirror_axes,
                bool(flips[1]) and 1 in self.mirror_axes,
                bool(flips[2]) and 2 in self.mirror_axes,
            ),
            shift_hu=shift,
            noise_hu=noise,
            noise_seed=noise_seed,
            turn_rad=turn,
            zoom=zoom,
        )

    def _forced(self) -> list[bool]:
        """Whether each patch of a batch must contain foreground."""
        forced = self.recipe.forced_patches(self.batch_size)
        return [number < forced for number in range(self.batch_size)]

    def _place(self, generator: np.random.Generator, pool: Pool, *, forced: bool) -> tuple[int, IntZYX]:
        """A case, and the corner of a patch in it."""
        forced = forced and bool(pool.with_foreground)
        shares = self.recipe if pool is not self.held_out else PLAIN
        among = pool.with_foreground if forced else pool.labeled
        if not forced and pool.empty and _happens(generator, shares.empty_cases):
            among = pool.empty
        case = among[int(generator.integers(len(among)))]
        shape = pool.cases[case].shape
        jitter = generator.uniform(-JITTER / 2, JITTER / 2, size=3)
        where = generator.random(3)
        voxel = _forced_voxel(generator, pool, case, shares) if forced else _other_voxel(generator, pool, case, shares)
        if voxel is not None:
            wanted = voxel - np.array(self.patch_size) // 2 + np.round(jitter * self.patch_size).astype(int)
        else:
            room = np.maximum(np.array(shape) - self.patch_size, 0)
            wanted = np.floor(where * (room + 1)).astype(int)
        z, y, x = (
            _clamp(int(start), size=size, patch=patch)
            for start, size, patch in zip(wanted, shape, self.patch_size, strict=True)
        )
        return case, (z, y, x)

    def _cut(self, pool: Pool, draws: Sequence[Draw]) -> Batch:
        pairs = [
            apply_draw(pool.cases[draw.case], draw, self.patch_size, self.preparation, classes=self.numbers)
            for draw in draws
        ]
        return Batch(
            inputs=np.stack([inputs for inputs, _ in pairs]),
            labels=np.stack([labels for _, labels in pairs]),
            cases=tuple(pool.cases[draw.case].name for draw in draws),
        )


def _forced_voxel(
    generator: np.random.Generator, pool: Pool, case: int, shares: Recipe
) -> Int64[np.ndarray, " 3"] | None:
    """A voxel of foreground: of a lesion, or any of a class."""
    if _happens(generator, shares.even_lesions):
        return pool.voxel_of_a_lesion(generator, case)
    return pool.voxel_of_a_class(generator, case)


def _other_voxel(
    generator: np.random.Generator, pool: Pool, case: int, shares: Recipe
) -> Int64[np.ndarray, " 3"] | None:
    """A voxel of bright background, or any with a label; None where all are as good."""
    bright = pool.bright_voxel(generator, case) if _happens(generator, shares.hard_negatives) else None
    if bright is not None:
        return bright
    return pool.labeled_voxel(generator, case) if case in pool.ignoring else None


def _happens(generator: np.random.Generator, share: float) -> bool:
    """Whether something of this share happens; a share of 0 takes no number from the generator."""
    return bool(share) and bool(generator.random() < share)


def _draw_intensity(generator: np.random.Generator, recipe: Recipe) -> tuple[float, float]:
    """Shift and noise deviation in HU."""
    shift = float(generator.uniform(-1, 1)) * recipe.shift_hu
    noisy = bool(generator.random() < NOISE_SHARE)
    deviation = float(generator.random()) * recipe.noise_hu
    return shift, deviation if noisy else 0.0


def _draw_view(generator: np.random.Generator, recipe: Recipe) -> tuple[float, float]:
    """Angle in radians and zoom; what the recipe leaves out takes no number from the generator."""
    turn = float(generator.uniform(-1, 1)) * radians(recipe.turn_degrees) if recipe.turn_degrees else 0.0
    zoom = recipe.zoom ** float(generator.uniform(-1, 1)) if recipe.zoom > 1 else 1.0
    return turn, zoom


def _clamp(start: int, *, size: int, patch: int) -> int:
    """The start nearest to the one wanted that keeps the patch inside; centered if the case is smaller."""
    if size <= patch:
        return -((patch - size) // 2)
    return min(max(start, 0), size - patch)
