"""Which patches training sees. Drawing is apart from applying, and batch i depends on (seed, fold, i) alone.

So a resumed training needs no stored generator: it draws batch i as the unbroken one would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Float32, Int64, UInt8
from hemoseg.data.store import Sliced, StoredCase
from hemoseg.errors import InputError
from hemoseg.plan import Configuration, Plan, Preparation, Recipe
from hemoseg.types import Channels, IntZYX, LabelMap
from hemoseg.windows import apply_windows, hu_range, one_hot

JITTER = 0.5
"""A forced patch is centered on its foreground voxel only to within ± this / 2 of the patch size, so that
lesions are seen at all places of a patch, not only in its middle (nnU-Net centers them)."""
NOISE_SHARE = 0.3
"""Share of patches that get noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """All that chance decides about one patch."""

    case: int
    """Index of the case."""
    corner: IntZYX
    """Index (z, y, x) of the patch's first voxel in the case; negative where the patch begins outside."""
    flips: tuple[bool, bool, bool]
    """Whether the patch is mirrored along z, y, x."""
    shift_hu: float
    """Constant added to the HU."""
    noise_hu: float
    """Standard deviation of the noise; 0 for none."""
    noise_seed: int
    """Seed of the noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The patches of one optimizer step."""

    inputs: Float32[np.ndarray, "b c z y x"]
    """What the network sees."""
    labels: UInt8[np.ndarray, "b z y x"]
    """Class numbers; the one after the last where nobody labeled."""


class Sampler:
    """Draws the patches of a fold.

    The first `ceil(batch_size · forced_foreground)` patches of a batch contain foreground: a class of
    the case, drawn evenly, then one of its voxels. The others lie anywhere; in a case with ignored voxels, around
    any voxel that is not, as in nnU-Net, for a patch without a label teaches nothing. Patches stay inside the
    case wherever it is large enough; nnU-Net lets forced ones hang over the far border.

    Raises:
        InputError: every voxel of every case is ignored.
    """

    def __init__(self, cases: Sequence[StoredCase], plan: Plan, configuration: Configuration, *, fold: int) -> None:
        self.cases = cases
        self.preparation = plan.preparation
        self.recipe = plan.recipe
        self.patch_size = configuration.patch_size
        self.batch_size = configuration.batch_size
        self.mirror_axes = configuration.mirror_axes
        self.classes = len(plan.labels)
        self.seed = plan.seed
        self.fold = fold
        seen = [_Seen.of(_whole_numbers(case.labels[:]), ignore=self.classes) for case in cases]
        self._seen = seen
        self._labeled = [i for i, case in enumerate(seen) if case.rows is None or case.rows[-1]]
        self._with_foreground = [i for i, case in enumerate(seen) if case.places]
        if not self._labeled:
            raise InputError(
                "every voxel of every case is ignored",
                where=f"fold {fold}",
                expected="labels to learn from",
                remedy="label some slices, or leave out cases without labels",
            )

    @property
    def ignore(self) -> int | None:
        """Number that stands for ignored voxels in the labels of a batch; None where no case has any."""
        return self.classes if any(case.rows is not None for case in self._seen) else None

    def batch(self, iteration: int) -> Batch:
        """The batch of one iteration; the same whenever it is asked for."""
        generator = np.random.default_rng([self.seed, self.fold, iteration])
        forced = int(np.ceil(self.batch_size * self.recipe.forced_foreground))
        draws = [self.draw(generator, forced=i < forced) for i in range(self.batch_size)]
        pairs = [
            apply_draw(self.cases[draw.case], draw, self.patch_size, self.preparation, classes=self.classes)
            for draw in draws
        ]
        return Batch(inputs=np.stack([p[0] for p in pairs]), labels=np.stack([p[1] for p in pairs]))

    def draw(self, generator: np.random.Generator, *, forced: bool) -> Draw:
        """Draw one patch; `forced` ones contain foreground if any case has some."""
        forced = forced and bool(self._with_foreground)
        pool = self._with_foreground if forced else self._labeled
        case = pool[int(generator.integers(len(pool)))]
        shape = self.cases[case].shape
        jitter = generator.uniform(-JITTER / 2, JITTER / 2, size=3)
        where = generator.random(3)
        voxel = self._voxel(generator, case, forced=forced)
        if voxel is not None:
            wanted = voxel - np.array(self.patch_size) // 2 + np.round(jitter * self.patch_size).astype(int)
        else:
            room = np.maximum(np.array(shape) - self.patch_size, 0)
            wanted = np.floor(where * (room + 1)).astype(int)
        corner = tuple(
            _clamp(int(start), size=size, patch=patch)
            for start, size, patch in zip(wanted, shape, self.patch_size, strict=True)
        )
        flips = generator.random(3) < 0.5
        shift, noise = _draw_intensity(generator, self.recipe)
        return Draw(
            case=case,
            corner=(corner[0], corner[1], corner[2]),
            flips=(
                bool(flips[0]) and 0 in self.mirror_axes,
                bool(flips[1]) and 1 in self.mirror_axes,
                bool(flips[2]) and 2 in self.mirror_axes,
            ),
            shift_hu=shift,
            noise_hu=noise,
            noise_seed=int(generator.integers(2**63)),
        )

    def _voxel(self, generator: np.random.Generator, case: int, *, forced: bool) -> Int64[np.ndarray, " 3"] | None:
        """The voxel that a patch is to hold: of a class, or any with a label; None where all are as good."""
        seen = self._seen[case]
        if forced:
            voxels = seen.places[int(generator.integers(len(seen.places)))]
            chosen: Int64[np.ndarray, " 3"] = voxels[int(generator.integers(len(voxels)))]
            return chosen
        if seen.rows is None:
            return None
        number = int(generator.integers(seen.rows[-1]))
        row = int(np.searchsorted(seen.rows, number, side="right")) - 1
        z, y = divmod(row, self.cases[case].shape[1])
        in_row = np.flatnonzero(self.cases[case].labels[z, y] != self.classes)
        return np.array([z, y, in_row[number - int(seen.rows[row])]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a sampler keeps of a case's labels."""

    places: list[Int64[np.ndarray, "_ 3"]]
    """Voxel indices (z, y, x) of each foreground class that is present, in the order of the numbers."""
    rows: Int64[np.ndarray, " m"] | None
    """Voxels that are not ignored before each row (z, y), and in all; None where no voxel is ignored."""

    @classmethod
    def of(cls, labels: LabelMap, *, ignore: int) -> "_Seen":
        """What is kept of a label map."""
        ignored = labels == ignore
        if not ignored.any():
            return cls(places=_foreground_places(labels), rows=None)
        rows = np.insert(np.cumsum((~ignored).sum(axis=2)), 0, 0)
        return cls(places=_foreground_places(np.where(ignored, np.uint8(0), labels)), rows=rows)


def apply_draw(
    case: StoredCase, draw: Draw, patch_size: IntZYX, preparation: Preparation, *, classes: int
) -> tuple[Channels, LabelMap]:
    """Cut the patch that was drawn: (channels (c, z, y, x), class numbers (z, y, x)). No chance is left.

    Outside the case HU are the lowest that any window shows, or channels 0, and the label is background. Shift
    and noise are in HU, so they act only where HU are stored.
    """
    last = preparation.windowed == "last"
    fill = hu_range(preparation.windows)[0] if last else 0.0
    image = _cut(case.image, draw.corner, patch_size, fill=fill)
    labels = _whole_numbers(_cut(case.labels, draw.corner, patch_size, fill=0.0))
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in draw.flips)
    image = image[(slice(None), *flips)]
    channels = _windowed(image[0], draw, preparation) if last else np.ascontiguousarray(image)
    if case.previous is not None:
        previous = _cut(case.previous, draw.corner, patch_size, fill=0.0)[flips]
        channels = np.concatenate([channels, one_hot(previous, classes)])
    return channels, np.ascontiguousarray(labels[flips])


def _windowed(hu: np.ndarray, draw: Draw, preparation: Preparation) -> Channels:
    """Channels of HU that were shifted and made noisy."""
    hu = hu + np.float32(draw.shift_hu)
    if draw.noise_hu:
        noise = np.random.default_rng(draw.noise_seed).standard_normal(hu.shape, dtype=np.float32)
        hu += noise * np.float32(draw.noise_hu)
    return apply_windows(hu, preparation.channels)


def _draw_intensity(generator: np.random.Generator, recipe: Recipe) -> tuple[float, float]:
    """Shift and noise deviation in HU."""
    shift = float(generator.uniform(-1, 1)) * recipe.shift_hu
    noisy = bool(generator.random() < NOISE_SHARE)
    deviation = float(generator.random()) * recipe.noise_hu
    return shift, deviation if noisy else 0.0


def _foreground_places(labels: LabelMap) -> list[Int64[np.ndarray, "_ 3"]]:
    """Voxel indices (z, y, x) of each foreground class that is present, in the order of the numbers."""
    found = np.argwhere(labels)
    numbers = labels[tuple(found.T)]
    return [found[numbers == number] for number in np.unique(numbers)]


def _whole_numbers(labels: np.ndarray) -> LabelMap:
    """Class numbers as training sees them: -1, outside the non-zero mask, is background."""
    numbers: LabelMap = np.maximum(labels, 0).astype(np.uint8)
    return numbers


def _clamp(start: int, *, size: int, patch: int) -> int:
    """The start nearest to the one wanted that keeps the patch inside; centered if the case is smaller."""
    if size <= patch:
        return -((patch - size) // 2)
    return min(max(start, 0), size - patch)


def _cut(array: Sliced, corner: IntZYX, size: IntZYX, *, fill: float) -> np.ndarray:
    """A copy of a box of the last three axes that may reach beyond the array, filled there."""
    leading = tuple(array.shape[:-3])
    inside = tuple(
        slice(max(start, 0), min(start + length, n))
        for start, length, n in zip(corner, size, array.shape[-3:], strict=True)
    )
    everything = (slice(None),) * len(leading)
    part = array[everything + inside]
    if part.shape == (*leading, *size):
        return np.array(part)
    result = np.full((*leading, *size), fill, dtype=array.dtype)
    target = tuple(slice(s.start - start, s.stop - start) for s, start in zip(inside, corner, strict=True))
    result[everything + target] = part
    return result
