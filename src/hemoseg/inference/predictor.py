"""A model bundle at work: one scan in, its segmentation out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from hemoseg.brain import find_brain
from hemoseg.geometry import Volume
from hemoseg.inference.course import Course
from hemoseg.inference.effort import BACK_S_PER_VOXEL, Effort, effort_within, late_words
from hemoseg.inference.field import Field, make_field, region_on
from hemoseg.inference.findings import (
    NO_EXTRAS,
    Extras,
    Findings,
    Prediction,
    Witness,
    disagreement_of_mean,
    sum_votes,
)
from hemoseg.inference.foresight import Asked, foreseen_bytes, needs_of
from hemoseg.inference.inputs import network_input, what_is_outside
from hemoseg.inference.later import may_be_there
from hemoseg.inference.limits import (
    NO_LIMITS,
    Limits,
    Room,
    Watched,
    check_reading,
    check_room,
    choose_room,
    forget_peak,
    has_room,
    resident_bytes,
)
from hemoseg.inference.panel import MORE, Panel
from hemoseg.inference.sliding import Network, Outside, cut_tile, stream_logits
from hemoseg.models import Calibration
from hemoseg.plan import Configuration, Plan
from hemoseg.postprocess import (
    FEWEST_VOTERS,
    Probabilities,
    Rule,
    Tally,
    apply_rules,
    low_vote,
    mean_probabilities,
    needs_probabilities,
    nothing_found,
    second_look,
)
from hemoseg.preprocess import WayBack, blank_logits
from hemoseg.segmentation import Doubt, DoubtMaps, ModelIdentity, Segmentation
from hemoseg.types import LabelMap, Mask, NewStack

THICK_MM = 7.5
"""Slice interval beyond which a warning is due: no training data of usual head CT are thicker."""
NO_HEAD = "no head was found: everything is background, and no network looked at the scan"
"""The warning of a scan of air."""


def _unwatched(_done: int, _total: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The networks of one configuration."""

    configuration: Configuration
    """What they see; its precision is the one that they run in."""
    networks: tuple[Network, ...]
    """One per fold."""


class Model:
    """Networks of one plan, averaged; a cascade runs its previous stage first.

    Folds of a configuration are averaged as logits, configurations as probabilities, both as nnU-Net does.
    """

    def __init__(
        self,
        plan: Plan,
        stages: tuple[Stage, ...],
        identity: ModelIdentity,
        *,
        mirror: bool,
        averaged: tuple[str, ...] | None = None,
        postprocessing: tuple[Rule, ...] = (),
        warnings: tuple[str, ...] = (),
        exact: bool = False,
        calibration: Calibration | None = None,
        extras: Extras = NO_EXTRAS,
        limits: Limits = NO_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put networks together.

        Args:
            plan: what they were trained to.
            stages: the configurations to run, a previous stage before the one that needs it.
            identity: which model this is.
            mirror: whether to average over mirrored inputs.
            averaged: names of the configurations that make the result; None takes the last stage.
            postprocessing: rules for the label map.
            warnings: what every result warns of.
            exact: whether everything is as nnU-Net does it.
            calibration: intervals around its volumes; None where nothing is known of its errors.
            extras: what is asked for beyond the mask.
            limits: what each scan may take.
            clock: seconds that only grow; what a time budget is measured with.
        """
        self.plan, self.is_nnunets = plan, plan.nnunet is not None
        self.stages = stages
        self.identity = identity
        self.mirror = mirror
        self.warnings = warnings
        self.exact = exact
        self.averaged = averaged or (stages[-1].configuration.name,)
        self.postprocessing = postprocessing
        self.calibration = calibration
        self.extras = extras
        self.limits = limits
        self.clock = clock
        self.held = 0 if limits.max_memory_gb is None else resident_bytes()

    def segment(
        self,
        volume: Volume,
        *,
        previous: LabelMap | None = None,
        watch: Callable[[int, int], None] = _unwatched,
    ) -> Segmentation:
        """Segment one scan.

        Args:
            volume: the scan, HU on its own grid.
            previous: the previous stage's label map on the scan's grid, if it is known already.
            watch: told (tiles done, tiles in all) of each stage.

        Returns:
            The label map on the scan's grid, with seconds spent in `prepare`, `network`, `restore`.
        """
        try:
            return self._segment(volume, previous, watch)
        finally:
            forget_peak(self.limits)

    def _segment(self, volume: Volume, previous: LabelMap | None, watch: Callable[[int, int], None]) -> Segmentation:
        course, extras = self._course(volume, watch), self.extras
        sure = needs_probabilities(self.postprocessing)
        sure = sure or extras.second_look or extras.low_vote or extras.probabilities
        found = self._predict(volume, previous, course, with_probabilities=sure)
        table = self.plan.table
        began = time.monotonic()
        labels = apply_rules(self.postprocessing, found.labels, found.probabilities, volume=volume, table=table)
        segmentation = Segmentation(
            labels=labels,
            table=self.plan.table,
            volume=volume,
            model=self.identity,
            warnings=(*self.warnings, *_doubts(volume, self.plan), *course.warnings),
            doubt=found.doubt,
            maps=found.maps,
            probabilities=found.probabilities.dense() if extras.probabilities and found.probabilities else None,
            seconds=course.seconds,
        )
        segmentation = self._with_intervals(segmentation, course)
        segmentation = self._never_silent(self._after_votes(segmentation, found), found)
        course.seconds["restore"] += time.monotonic() - began
        late = late_words(self.limits.time_budget_s, self.clock() - course.began)
        return segmentation if late is None else replace(segmentation, warnings=(*segmentation.warnings, late))

    def _after_votes(self, result: Segmentation, found: Prediction) -> Segmentation:
        """The result, by the low-vote rule where it was asked for and members do not agree."""
        vote = found.vote
        if not self.extras.low_vote or vote is None:
            return result
        if vote.members < FEWEST_VOTERS:
            words = f"no low vote: the time budget left {vote.members} of its members, and {FEWEST_VOTERS} are needed"
            return replace(result, warnings=(*result.warnings, words))
        if not vote.is_doubtful:
            return result
        assert found.probabilities is not None
        words = (
            f"low vote: of the voxels with a vote for blood only {100 * (vote.agreed or 0):.0f} % have those of half "
            f"of the {vote.members} members; the mask has blood where more than one votes for it"
        )
        return replace(
            result,
            labels=low_vote(result.labels, found.probabilities, vote, self.plan.table),
            warnings=(*result.warnings, words),
            intervals=None,
            no_intervals="volumes were calibrated without the low-vote rule",
        )

    def _never_silent(self, result: Segmentation, found: Prediction) -> Segmentation:
        """The result, where its mask has no blood with words on how sure that is, or with a second look."""
        table, doubt = self.plan.table, found.doubt
        if not table.bleeding or result.hemorrhage_ml > 0:
            return result
        removed_ml = replace(result, labels=found.labels).hemorrhage_ml
        words = nothing_found(doubt, removed_ml=removed_ml)
        if not self.extras.second_look or doubt.lower_ml == 0:
            return replace(result, warnings=(*result.warnings, words))
        assert found.probabilities is not None
        return replace(
            result,
            labels=second_look(result.labels, found.probabilities, table),
            warnings=(*result.warnings, f"second look: no hemorrhage was segmented; {words}, and the mask shows it"),
            intervals=None,
            no_intervals="volumes were calibrated without a second look",
        )

    def _with_intervals(self, found: Segmentation, course: Course) -> Segmentation:
        """The result with intervals around its volumes, or with the reason why there are none."""
        if self.calibration is None:
            return found
        if self.exact:
            return replace(found, no_intervals="volumes were calibrated without --exact")
        if self.extras.average != "logits" and course.members > 1:
            return replace(found, no_intervals="volumes were calibrated with logits averaged")
        if not course.is_full:
            return replace(found, no_intervals="volumes were calibrated with all that the time budget left out")
        if course.has_few_slices:
            return replace(found, no_intervals="volumes were calibrated on scans of more slices")
        if self.calibration.too_few is not None:
            return replace(found, no_intervals=self.calibration.too_few)
        return replace(found, intervals=self.calibration.intervals(found.volume_ml, found.hemorrhage_ml))

    def check_reading(self, more: int, *, scan: str) -> None:
        """Make sure that reading a scan, which takes so many bytes, is allowed beside the networks.

        Raises:
            ResourceError: it is not.
        """
        check_reading(self.limits, more, held=self.held, scan=scan)

    def has_room_beside(self, volume: Volume, more: int) -> bool:
        """Whether a scan in memory can be segmented within the limit while so many bytes more are taken."""
        asked = self._asked(max(len(stage.networks) for stage in self.stages), with_shares=True)
        needs = [foreseen_bytes(self.plan, stage.configuration, volume, asked) for stage in self.stages]
        return has_room(self.limits, max(needs) + more)

    def predict(self, volume: Volume, *, previous: LabelMap | None = None) -> Prediction:
        """Labels and probabilities of one scan before any rule; arguments as those of `segment`."""
        return self._predict(volume, previous, self._course(volume, _unwatched), with_probabilities=True)

    def _course(self, volume: Volume, watch: Callable[[int, int], None]) -> Course:
        """The beginning of the work on a scan."""
        started, began = self.clock(), time.monotonic()
        check_room(self.limits, len(self.plan.preparation.channels) * volume.hu.nbytes, scan=volume.name)
        region = None if self.exact else find_brain(volume)
        course = Course(region=region, watch=watch, began=started, stages_left=len(self.stages))
        if region is not None and region.is_empty:
            course.warnings.append(NO_HEAD)
        course.seconds["prepare"] += time.monotonic() - began
        return course

    def _predict(
        self, volume: Volume, previous: LabelMap | None, course: Course, *, with_probabilities: bool
    ) -> Prediction:
        """The stages in their order, and the mean over those that make the result."""
        is_mean = len(self.averaged) > 1
        every: dict[str, Findings] = {}
        members: dict[str, Probabilities] = {}
        for stage in self.stages:
            name, before = stage.configuration.name, previous
            if stage.configuration.previous_stage in every:
                before = every[stage.configuration.previous_stage].returned.labels
            is_member = name in self.averaged and (is_mean or with_probabilities)
            every[name] = self._run(stage, volume, before, course, with_shares=is_member)
            shares = every[name].returned.shares
            if shares is not None:
                began = time.monotonic()
                members[name] = Probabilities.of(shares)
                every[name] = replace(every[name], returned=replace(every[name].returned, shares=None))
                course.seconds["restore"] += time.monotonic() - began
        chosen = [every[name] for name in self.averaged]
        mean = mean_probabilities([members[name] for name in self.averaged]) if members else None
        vote = sum_votes([one.vote for one in chosen if one.vote is not None])
        if not is_mean or mean is None:
            only = chosen[0]
            return Prediction(
                labels=only.returned.labels, probabilities=mean, doubt=only.doubt, maps=only.maps, vote=vote
            )
        began = time.monotonic()
        labels = mean.labels(paint=self.plan.table.paint)
        doubt, maps = self._of_mean(mean, chosen, volume)
        course.seconds["restore"] += time.monotonic() - began
        return Prediction(labels=labels, probabilities=mean, doubt=doubt, maps=maps, vote=vote)

    def _of_mean(
        self, mean: Probabilities, chosen: Sequence[Findings], volume: Volume
    ) -> tuple[Doubt, DoubtMaps | None]:
        """How sure an average of configurations is."""
        tally = Tally(table=self.plan.table, shape=volume.grid.shape, with_maps=self.extras.doubt)
        tally.take_probabilities(mean)
        maps = [one.maps for one in chosen if one.maps is not None]
        if tally.entropy is not None and maps:
            tally.take_disagreement(disagreement_of_mean(tally.entropy, maps))
        members = sum(one.doubt.members for one in chosen)
        return tally.finish(volume.grid, to_index=None, members=members), tally.maps(members)

    def _run(
        self, stage: Stage, volume: Volume, previous: LabelMap | None, course: Course, *, with_shares: bool
    ) -> Findings:
        """One configuration: slices go back to the scan's grid as soon as no tile will change them."""
        configuration, plan = stage.configuration, self.plan
        began = time.monotonic()
        prepared, channels = network_input(plan, configuration, volume, previous)
        outside, ready = what_is_outside(plan, configuration), time.monotonic()
        tell = Watched(self.limits, course.watch, scan=volume.name)
        course.doubt_few_slices(prepared, configuration)
        part = None if course.region is None else region_on(prepared, course.region)
        effort = self._effort(stage, channels, outside, part, course, voxels=volume.hu.size)
        networks, mirror_axes, more = self._members(stage, effort)
        tiles = make_field(prepared.shape, part, configuration.patch_size, effort.step, as_nnunet=self.is_nnunets)
        del part  # a byte per voxel
        slices = stream_logits(
            channels,
            networks,
            field=tiles,
            blank=blank_logits(plan.outputs, (), is_regions=bool(plan.regions), more=more),
            mirror_axes=mirror_axes,
            outside=outside,
            half=self.exact,
            watch=tell,
            is_there=None if self.exact else partial(may_be_there, outputs=plan.outputs, is_regions=bool(plan.regions)),
            room=self._room(configuration, tiles, volume, folds=effort.folds, with_shares=with_shares),
        )
        back = WayBack(
            prepared,
            outputs=plan.outputs,
            regions=plan.regions,
            box=tiles.box,
            half=self.exact,
            with_shares=with_shares,
            more=more,
        )
        witness = Witness(plan, back, members=effort.passes, extras=self.extras, has_members=more > 0)
        back.look = witness.look
        restoring = 0.0
        for logits in slices:
            given = time.monotonic()
            back.take(logits)
            tell.again()
            restoring += time.monotonic() - given
        predicted = time.monotonic()
        findings = witness.findings(back.finish(), volume)
        back.look = None  # the two hold each other, and the prepared scan with them, until garbage is collected
        course.stages_left -= 1
        course.members += effort.passes
        course.seconds["prepare"] += ready - began
        course.seconds["network"] += predicted - ready - restoring
        course.seconds["restore"] += restoring + time.monotonic() - predicted
        return findings

    def _members(self, stage: Stage, effort: Effort) -> tuple[tuple[Network, ...], tuple[int, ...], int]:
        """Networks, mirror axes and channels beyond the classes' of what is done."""
        networks, axes = stage.networks[: effort.folds], tuple(effort.mirror_axes)
        if self.exact or not self.extras.asks_members:
            return networks, axes, 0
        panel = Panel(networks, axes, table=self.plan.table, average=self.extras.average)
        return (panel,), (), MORE

    def _effort(
        self, stage: Stage, channels: NewStack, outside: Outside, part: Mask | None, course: Course, *, voxels: int
    ) -> Effort:
        """All that the model does, or what fits into the time budget by the time that one tile takes now."""
        configuration, budget_s = stage.configuration, self.limits.time_budget_s
        full = Effort(folds=len(stage.networks), mirror_axes=configuration.mirror_axes if self.mirror else ())
        z, y, x = channels.shape[1:]

        def tiles(step: float) -> Field:
            return make_field((z, y, x), part, configuration.patch_size, step, as_nnunet=self.is_nnunets)

        corners = tiles(full.step).corners
        if budget_s is None or not corners:
            return full
        patch = cut_tile(channels, corners[len(corners) // 2], configuration.patch_size, outside)[None]
        effort, warnings = effort_within(
            full,
            budget_s=budget_s,
            left_s=(course.began + budget_s - self.clock()) / course.stages_left,
            back_s=voxels * BACK_S_PER_VOXEL,
            one_pass=lambda: stage.networks[0](patch),
            clock=self.clock,
            count_tiles=lambda step: len(tiles(step).corners),
            name=configuration.name,
        )
        course.warnings.extend(warnings)
        course.is_full = course.is_full and effort == full
        return effort

    def _room(
        self, configuration: Configuration, tiles: Field, volume: Volume, *, folds: int, with_shares: bool
    ) -> Room:
        """Where the sums of tiles are held: in memory if as much is allowed."""
        asked = self._asked(folds, with_shares=with_shares)
        needs = needs_of(self.plan, configuration, tiles, volume.grid.shape, asked)
        return choose_room(self.limits, scan=volume.name, sums=needs.sums, at_once=needs.at_once, others=needs.others)

    def _asked(self, folds: int, *, with_shares: bool) -> Asked:
        """What memory depends on."""
        more = MORE if self.extras.asks_members and not self.exact else 0
        return Asked(folds=folds, more=more, half=self.exact, with_shares=with_shares)


def _doubts(volume: Volume, plan: Plan) -> tuple[str, ...]:
    found = list(plan.table.warnings())
    if volume.grid.slice_interval_mm > THICK_MM:
        found.append(f"slices are {volume.grid.slice_interval_mm:.1f} mm apart; small bleeds fall between them")
    return tuple(found)
