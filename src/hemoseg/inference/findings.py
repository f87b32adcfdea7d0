"""What networks say of a scan beyond its labels, and what of that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Float16, Float32, UInt16
from hemoseg.geometry import Grid, Volume
from hemoseg.inference.panel import Average
from hemoseg.labels import LabelTable
from hemoseg.plan import Plan
from hemoseg.postprocess import Probabilities, Tally, Vote
from hemoseg.preprocess import Returned, WayBack
from hemoseg.segmentation import Doubt, DoubtMaps
from hemoseg.types import LabelMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is asked for beyond the mask."""

    second_look: bool = False
    """Whether a mask without blood shows what has a lower probability of it."""
    low_vote: bool = False
    """Whether two votes are enough for blood in scans where members do not agree."""
    doubt: bool = False
    """Whether doubt is wanted by voxel."""
    probabilities: bool = False
    """Whether probabilities are wanted."""
    average: Average = "logits"
    """What is averaged over folds and mirrored copies."""

    @property
    def asks_members(self) -> bool:
        """Whether every member has a say of its own."""
        return self.low_vote or self.doubt or self.average != "logits"

    @property
    def asks_probabilities(self) -> bool:
        """Whether probabilities are needed after all networks ran."""
        return self.second_look or self.low_vote or self.probabilities


NO_EXTRAS = Extras()
"""The mask alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What networks say of a scan, before any rule."""

    labels: LabelMap
    """The most probable class of each voxel of the scan."""
    probabilities: Probabilities | None
    """Of each foreground class; None unless asked for."""
    doubt: Doubt
    """How sure they are."""
    maps: DoubtMaps | None
    """The same by voxel; None unless asked for."""
    vote: Vote | None
    """What they vote for; None unless asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one configuration says of a scan."""

    returned: Returned
    """Labels and probabilities."""
    doubt: Doubt
    """How sure it is."""
    maps: DoubtMaps | None
    """The same by voxel."""
    vote: Vote | None
    """What its members vote for."""


class Witness:
    """Looks at the planes of one configuration on their way back."""

    def __init__(self, plan: Plan, back: WayBack, *, members: int, extras: Extras, has_members: bool) -> None:
        """Get ready.

        Args:
            plan: the plan.
            back: the way that the planes go.
            members: networks, times mirrored copies.
            extras: what is asked for.
            has_members: whether the channels of a `Panel` come after those of the classes.
        """
        self.outputs, self.back, self.members, self.has_members = plan.outputs, back, members, has_members
        self.tally = Tally(table=plan.table, shape=back.shape, with_maps=extras.doubt)
        self.counts: UInt16[np.ndarray, "z y x"] | None = None
        if extras.low_vote and has_members:
            self.counts = np.zeros(back.shape, dtype=np.uint16)

    def look(self, number: int, place: tuple[slice, slice], planes: Float32[np.ndarray, "k y x"]) -> None:
        """A part of a plane of the scan, see `WayBack`."""
        apart = planes[self.outputs] if self.has_members else None
        self.tally.take_logits(number, place, planes[: self.outputs], apart)
        if self.counts is not None:
            self.counts[(number, *place)] = np.rint(planes[self.outputs + 1] * self.members)

    def findings(self, returned: Returned, volume: Volume) -> Findings:
        """All that was seen, on the scan's own grid."""
        maps = self.tally.maps(self.members)
        if maps is not None:
            apart = None if maps.disagreement is None else self.back.as_stored(maps.disagreement)
            maps = DoubtMaps(entropy=self.back.as_stored(maps.entropy), disagreement=apart)
        vote = None
        if self.counts is not None:
            vote = Vote(counts=self.back.as_stored(self.counts), members=self.members)
        doubt = self.tally.finish(volume.grid, to_index=self.back.index, members=self.members)
        return Findings(returned=returned, doubt=doubt, maps=maps, vote=vote)


def together(chosen: Sequence[Findings], mean: Probabilities | None, *, table: LabelTable, grid: Grid) -> Prediction:
    """What configurations say together.

    Args:
        chosen: what each of them says.
        mean: their mean probabilities; of one configuration its own, or None where they are not asked for.
        table: the classes.
        grid: of the scan.
    """
    vote = sum_votes([one.vote for one in chosen if one.vote is not None])
    if len(chosen) == 1:
        (only,) = chosen
        return Prediction(labels=only.returned.labels, probabilities=mean, doubt=only.doubt, maps=only.maps, vote=vote)
    assert mean is not None
    maps = [one.maps for one in chosen if one.maps is not None]
    members = sum(one.doubt.members for one in chosen)
    tally = Tally(table=table, shape=grid.shape, with_maps=bool(maps))
    tally.take_probabilities(mean)
    if tally.entropy is not None:
        tally.take_disagreement(disagreement_of_mean(tally.entropy, maps))
    return Prediction(
        labels=mean.labels(paint=table.paint),
        probabilities=mean,
        doubt=tally.finish(grid, to_index=None, members=members),
        maps=tally.maps(members),
        vote=vote,
    )


def sum_votes(votes: Sequence[Vote]) -> Vote | None:
    """The votes of all configurations together; None without any."""
    if not votes:
        return None
    counts = votes[0].counts.copy()
    for vote in votes[1:]:
        counts += vote.counts
    return Vote(counts=counts, members=sum(vote.members for vote in votes))


def disagreement_of_mean(
    entropy: Float16[np.ndarray, "z y x"], members: Sequence[DoubtMaps]
) -> Float16[np.ndarray, "z y x"]:
    """Disagreement within and between configurations: the entropy of the mean less the mean entropy, and what
    disagreement there is within them.

    Args:
        entropy: of the mean probabilities.
        members: entropy and disagreement of each configuration, on the same grid.
    """
    found = entropy.astype(np.float32)
    for one in members:
        found -= one.entropy.astype(np.float32) / len(members)
    np.maximum(found, 0, out=found)
    for one in members:
        if one.disagreement is not None:
            found += one.disagreement.astype(np.float32) / len(members)
    return np.minimum(found, 1).astype(np.float16)
