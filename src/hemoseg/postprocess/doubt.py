"""How sure networks are: what their probabilities add up to, and what to do where that is too little for a mask."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import log2

import numpy as np

from hemoseg.arrays import Bool, Float, Float16, Float32, Int64, Integer
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable
from hemoseg.postprocess.probabilities import FLOOR, Probabilities
from hemoseg.segmentation import ClassDoubt, Doubt, DoubtMaps, Peak
from hemoseg.types import FloatXYZ, IntZYX, LabelMap

LOWER = 0.2
"""Probability of blood that a second look goes down to: between the 2 of 15 votes that were enough for the winner of
INSTANCE 2022 where networks did not agree, and 0.3, the lowest threshold that is sought otherwise."""
FAINT = 0.005
"""Largest probability of blood below which its place means nothing: with two decimals it reads 0.00."""
FEWEST_VOTERS = 4
"""With fewer, two votes are half of them or more, and the low-vote rule says nothing new."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """Sums over the voxels of a scan, taken plane by plane; places where background is sure add nothing."""

    table: LabelTable
    """The classes."""
    shape: IntZYX
    """Voxels of the planes' grid: (planes, rows, columns)."""
    with_maps: bool
    """Whether maps of entropy and disagreement are kept, in half precision."""
    largest: Float32[np.ndarray, " k"] = field(init=False)
    """Largest probability of each foreground class, or region."""
    sums: Float[np.ndarray, " k"] = field(init=False)
    """Sum of its probabilities."""
    bits: Float[np.ndarray, " k"] = field(init=False)
    """Sum of the entropies of its presence, in bits."""
    peak: tuple[float, IntZYX] | None = None
    """Largest probability of blood, and where it is."""
    lower: int = 0
    """Voxels whose probability of blood exceeds `LOWER`."""
    apart: float = 0.0
    """Sum of the disagreement."""
    entropy: Float16[np.ndarray, "z y x"] | None = field(init=False)
    """Entropy of the classes, from 0 to 1."""
    disagreement: Float16[np.ndarray, "z y x"] | None = field(init=False)
    """Part of the entropy that comes from members that do not agree."""

    def __post_init__(self) -> None:
        classes = len(self.table.members)
        self.largest = np.zeros(classes, dtype=np.float32)
        self.sums, self.bits = np.zeros(classes), np.zeros(classes)
        self.entropy = np.zeros(self.shape, dtype=np.float16) if self.with_maps else None
        self.disagreement = np.zeros(self.shape, dtype=np.float16) if self.with_maps else None

    def take_logits(
        self,
        number: int,
        place: tuple[slice, slice],
        logits: Float32[np.ndarray, "c y x"],
        apart: Float32[np.ndarray, "y x"] | None = None,
    ) -> None:
        """A part of a plane.

        Args:
            number: of the plane.
            place: rows and columns.
            logits: one channel per class, background first, or per region.
            apart: how far members disagree, in bits; None where that is not known.
        """
        if self.table.regions:
            rows, columns = np.nonzero(logits.max(axis=0) >= LEAST_LOGIT)
            shares = 1 / (1 + np.exp(-logits[:, rows, columns]))
        else:
            ahead = logits[1:].max(axis=0) - logits[0]
            rows, columns = np.nonzero(ahead >= LEAST_LOGIT)
            found = logits[:, rows, columns]
            powers = np.exp(found - found.max(axis=0))
            shares = powers[1:] / powers.sum(axis=0)
        places = (number, rows + place[0].start, columns + place[1].start)
        self._add(places, shares, None if apart is None else apart[rows, columns])

    def take_probabilities(self, found: Probabilities) -> None:
        """The whole scan, in the scan's own order of axes."""
        first, *corner = found.corner
        for offset, plane in enumerate(np.moveaxis(found.values, 1, 0)):
            shares = plane.astype(np.float32)
            rows, columns = np.nonzero(shares.max(axis=0) >= FLOOR)
            places = (first + offset, rows + corner[0], columns + corner[1])
            self._add(places, shares[:, rows, columns], None)

    def _add(
        self,
        places: tuple[int, Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]],
        shares: Float32[np.ndarray, "k n"],
        apart: Float32[np.ndarray, " n"] | None,
    ) -> None:
        """Voxels of one plane: their places, and the probabilities of the foreground classes."""
        if not shares.shape[1]:
            return
        self.largest = np.maximum(self.largest, shares.max(axis=1))
        self.sums += shares.sum(axis=1, dtype=np.float64)
        presence = binary_entropy(shares)
        self.bits += presence.sum(axis=1, dtype=np.float64)
        self._look_for_blood(places, shares)
        if apart is not None:
            self.apart += float(apart.sum(dtype=np.float64))
        if self.entropy is not None:
            self.entropy[places] = entropy_of(shares, presence, is_regions=bool(self.table.regions))
        if self.disagreement is not None and apart is not None:
            self.disagreement[places] = apart

    def _look_for_blood(
        self, places: tuple[int, Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]], shares: Float32[np.ndarray, "k n"]
    ) -> None:
        if not self.table.blood_channels:
            return
        blood = blood_share(shares, self.table)
        self.lower += int(np.count_nonzero(blood > LOWER))
        best = int(blood.argmax())
        if blood[best] >= FLOOR and (self.peak is None or blood[best] > self.peak[0]):
            number, rows, columns = places
            self.peak = (float(blood[best]), (number, int(rows[best]), int(columns[best])))

    def take_disagreement(self, apart: Float16[np.ndarray, "z y x"]) -> None:
        """Disagreement of the whole scan, in place of that of parts."""
        self.disagreement, self.apart = apart, float(apart.sum(dtype=np.float64))

    def maps(self, members: int) -> DoubtMaps | None:
        """The maps on the planes' grid, if they were kept."""
        if self.entropy is None:
            return None
        return DoubtMaps(entropy=self.entropy, disagreement=self.disagreement if members > 1 else None)

    def finish(self, grid: Grid, *, to_index: Callable[[IntZYX], IntZYX] | None, members: int) -> Doubt:
        """What the scan adds up to.

        Args:
            grid: of the scan.
            to_index: takes a place on the planes' grid to the index (z, y, x) of the scan; None where it is that.
            members: networks, times mirrored copies of what they see.
        """
        peak = None
        if self.peak is not None:
            index = self.peak[1] if to_index is None else to_index(self.peak[1])
            peak = Peak(probability=self.peak[0], center_mm=_world(grid, index), slice=index[0])
        classes = {
            name: ClassDoubt(
                largest_probability=float(largest),
                expected_ml=float(total) * grid.voxel_ml,
                doubtful_ml=float(bits) * grid.voxel_ml,
            )
            for name, largest, total, bits in zip(self.table.members, self.largest, self.sums, self.bits, strict=True)
        }
        return Doubt(
            classes=classes,
            peak=peak,
            lower=LOWER,
            lower_ml=self.lower * grid.voxel_ml,
            disagreement_ml=self.apart * grid.voxel_ml if self.with_maps and members > 1 else None,
            members=members,
        )


LEAST_LOGIT = float(np.log(FLOOR / (1 - FLOOR)))
"""Logit, less that of the background, of a class whose probability is `FLOOR`."""


def binary_entropy(shares: Float[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Entropy in bits of what is there with these probabilities.

    Example:
        >>> binary_entropy(np.array([0.0, 0.5, 1.0]))
        array([0., 1., 0.], dtype=float32)
    """
    inside = np.clip(shares.astype(np.float32), 1e-7, 1 - 1e-7)
    bits = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    sure = (shares <= 0) | (shares >= 1)
    found: np.ndarray = np.where(sure, np.float32(0), bits).astype(np.float32)
    return found


def entropy_of(
    shares: Float32[np.ndarray, "k n"], presence: Float32[np.ndarray, "k n"], *, is_regions: bool
) -> Float32[np.ndarray, " n"]:
    """Entropy of each voxel's classes as a part of the largest possible, from 0 to 1; of regions the mean of each."""
    if is_regions:
        mean: np.ndarray = presence.mean(axis=0)
        return mean
    every = np.concatenate([np.maximum(1 - shares.sum(axis=0, keepdims=True), 0), shares])
    bits = -(every * np.log2(np.maximum(every, 1e-7))).sum(axis=0)
    share: np.ndarray = np.clip(bits / log2(len(every)), 0, 1)
    return share


def blood_share(shares: Float[np.ndarray, "k ..."], table: LabelTable) -> Float[np.ndarray, "..."]:
    """Probability of blood of any kind: the sum over its classes, or the largest over its regions."""
    chosen = shares[table.blood_channels]
    found: np.ndarray = chosen.max(axis=0) if table.regions else chosen.sum(axis=0)
    return found


def nothing_found(doubt: Doubt, *, removed_ml: float) -> str:
    """What to say of a mask without blood: never nothing.

    Args:
        doubt: how sure the networks are.
        removed_ml: blood that rules after the networks took away.
    """
    removed = f"; rules after the networks removed {removed_ml:.2f} ml" if removed_ml else ""
    if doubt.peak is None:
        return f"the networks see no blood: its probability is below 0.001 everywhere{removed}"
    if doubt.peak.probability < FAINT:
        return f"the networks see no blood: its probability is below {FAINT:g} everywhere{removed}"
    x, y, z = (f"{value:.1f}" for value in doubt.peak.center_mm)
    where = f"slice {doubt.peak.slice}, x, y, z = {x}, {y}, {z} mm"
    text = f"the largest probability of blood is {doubt.peak.probability:.2f}, in {where}"
    if doubt.lower_ml == 0:
        return f"{text}; it exceeds {doubt.lower:g} nowhere{removed}"
    return f"{text}; it exceeds {doubt.lower:g} in {doubt.lower_ml:.2f} ml: look there{removed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What votes on blood say."""

    counts: Integer[np.ndarray, "z y x"]
    """Members whose likeliest class is blood, by voxel of the scan."""
    members: int
    """All members."""

    @property
    def agreed(self) -> float | None:
        """Of the voxels with a vote, the share that has those of half of the members, rounded down; None without any.

        Source:
            The winner of INSTANCE 2022 (team vegetable), short paper. It prints the ratio with "equal to half", which
            hardly any scan would reach; "at least" is meant here.
        """
        voted = int(np.count_nonzero(self.counts))
        return int(np.count_nonzero(self.counts >= max(1, self.members // 2))) / voted if voted else None

    @property
    def is_doubtful(self) -> bool:
        """Whether members agree in less than half of the voxels that any of them votes for."""
        return self.agreed is not None and self.agreed < 0.5


def low_vote(labels: LabelMap, probabilities: Probabilities, vote: Vote, table: LabelTable) -> LabelMap:
    """The label map, in a doubtful scan with blood where more than one member votes for it, of the likeliest kind.

    Args:
        labels: class numbers, axes (z, y, x).
        probabilities: on the same grid.
        vote: on the same grid.
        table: names of the classes.

    Source:
        The winner of INSTANCE 2022: more than 1 vote of 15 in doubtful scans. In others it takes the majority; the
        average stays here.
    """
    if not vote.is_doubtful:
        return labels
    whole = Probabilities(values=probabilities.dense(), corner=(0, 0, 0), shape=probabilities.shape)
    blood = (vote.counts > 1) & ~table.mask(labels, *table.bleeding)
    return _with_blood(labels, whole, blood, table)


def second_look(labels: LabelMap, probabilities: Probabilities, table: LabelTable) -> LabelMap:
    """The label map with blood where it has a probability above `LOWER`, of the kind that is likeliest there.

    Args:
        labels: class numbers, axes (z, y, x).
        probabilities: on the same grid.
        table: names of the classes.
    """
    if table.regions:
        shares = [LOWER if name in table.bleeding else 0.5 for name in table.members]
        return probabilities.labels([(1 - share) / share for share in shares], paint=table.paint)
    return _with_blood(
        labels, probabilities, blood_share(probabilities.values.astype(np.float32), table) > LOWER, table
    )


def _with_blood(
    labels: LabelMap, probabilities: Probabilities, where: Bool[np.ndarray, "bz by bx"], table: LabelTable
) -> LabelMap:
    """The label map with the likeliest kind of blood in some voxels of the probabilities' box."""
    channels = table.blood_channels
    numbers = [table.paint[channel] if table.regions else channel + 1 for channel in channels]
    kinds = np.array(numbers, dtype=np.uint8)[probabilities.values[channels].argmax(axis=0)]
    result = labels.copy()
    result[probabilities.box] = np.where(where, kinds, result[probabilities.box])
    return result


def _world(grid: Grid, index: IntZYX) -> FloatXYZ:
    return grid.world([float(value) for value in index])
