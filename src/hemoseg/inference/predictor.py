"""A model bundle at work: one scan in, its segmentation out."""

import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial

from hemoseg.brain import find_brain
from hemoseg.geometry import Volume
from hemoseg.inference.course import Course
from hemoseg.inference.effort import BACK_S_PER_VOXEL, Effort, effort_within, late_words
from hemoseg.inference.field import Field, make_field, region_on
from hemoseg.inference.findings import NO_EXTRAS, Extras, Findings, Prediction, Witness, together
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
from hemoseg.inference.result import after_votes, never_silent, scan_doubts, with_intervals
from hemoseg.inference.sliding import Network, Outside, cut_tile, finite, stream_logits
from hemoseg.models import Calibration
from hemoseg.plan import Configuration, Plan
from hemoseg.postprocess import Probabilities, Rule, apply_rules, mean_probabilities, needs_probabilities
from hemoseg.preprocess import WayBack, blank_logits
from hemoseg.segmentation import ModelIdentity, Segmentation
from hemoseg.types import IntZYX, LabelMap, Mask, NewStack

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


@dataclass(eq=False, repr=False)
class Model:
    """Networks of one plan, averaged; a cascade runs its previous stage first.

    Folds of a configuration are averaged as logits, configurations as probabilities, both as nnU-Net does.
    """

    plan: Plan
    """What they were trained to."""
    stages: tuple[Stage, ...]
    """The configurations to run, a previous stage before the one that needs it."""
    identity: ModelIdentity
    """Which model this is."""
    _: KW_ONLY
    mirror: bool
    """Whether to average over mirrored inputs."""
    averaged: tuple[str, ...] = ()
    """Names of the configurations that make the result; none for the last stage."""
    postprocessing: tuple[Rule, ...] = ()
    """Rules for the label map."""
    warnings: tuple[str, ...] = ()
    """What every result warns of."""
    exact: bool = False
    """Whether everything is as nnU-Net does it."""
    calibration: Calibration | None = None
    """Intervals around its volumes; None where nothing is known of its errors."""
    extras: Extras = NO_EXTRAS
    """What is asked for beyond the mask."""
    limits: Limits = NO_LIMITS
    """What each scan may take."""
    clock: Callable[[], float] = time.monotonic
    """Seconds that only grow; what a time budget is measured with."""
    held: int = field(init=False)
    """Bytes that the process holds once the networks are loaded; 0 where memory is not limited."""

    def __post_init__(self) -> None:
        self.averaged = self.averaged or (self.stages[-1].configuration.name,)
        self.held = 0 if self.limits.max_memory_gb is None else resident_bytes()

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
        course, extras, table = self._course(volume, watch), self.extras, self.plan.table
        sure = needs_probabilities(self.postprocessing) or extras.asks_probabilities
        found = self._predict(volume, previous, course, with_probabilities=sure)
        result = Segmentation(
            labels=apply_rules(self.postprocessing, found.labels, found.probabilities, volume=volume, table=table),
            table=table,
            volume=volume,
            model=self.identity,
            warnings=(*self.warnings, *scan_doubts(volume, table), *course.warnings),
            doubt=found.doubt,
            maps=found.maps,
            probabilities=found.probabilities.dense() if extras.probabilities and found.probabilities else None,
            seconds=course.seconds,
        )
        result = with_intervals(result, self.calibration, course, average=extras.average, is_exact=self.exact)
        result = never_silent(after_votes(result, found), found, looks_again=extras.second_look)
        course.spent("restore")
        late = late_words(self.limits.time_budget_s, self.clock() - course.began)
        return result if late is None else replace(result, warnings=(*result.warnings, late))

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
        course = Course(watch=watch, began=self.clock(), stages_left=len(self.stages))
        check_room(self.limits, len(self.plan.preparation.channels) * volume.hu.nbytes, scan=volume.name)
        course.region = None if self.exact else find_brain(volume)
        if course.region is not None and course.region.is_empty:
            course.warnings.append(NO_HEAD)
        course.spent("prepare")
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
                members[name] = Probabilities.of(shares)
                every[name] = replace(every[name], returned=replace(every[name].returned, shares=None))
                course.spent("restore")
        chosen = [every[name] for name in self.averaged]
        mean = mean_probabilities([members[name] for name in self.averaged]) if members else None
        found = together(chosen, mean, table=self.plan.table, grid=volume.grid)
        course.spent("restore")
        return found

    def _run(
        self, stage: Stage, volume: Volume, previous: LabelMap | None, course: Course, *, with_shares: bool
    ) -> Findings:
        """One configuration: slices go back to the scan's grid as soon as no tile will change them."""
        configuration, plan = stage.configuration, self.plan
        prepared, channels = network_input(plan, configuration, volume, previous)
        outside = what_is_outside(plan, configuration)
        course.spent("prepare")
        tell = Watched(self.limits, course.watch, scan=volume.name)
        course.doubt_few_slices(prepared, configuration)
        part = None if course.region is None else region_on(prepared, course.region)
        effort = self._effort(stage, channels, outside, part, course, voxels=volume.hu.size)
        networks, mirror_axes, more = self._members(stage, effort)
        tiles = self._tiles(configuration, prepared.shape, part, effort.step)
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
        for logits in finite(slices, scan=volume.name, half=self.exact):
            course.spent("network")
            back.take(logits)
            tell.again()
            course.spent("restore")
        course.spent("network")
        findings = witness.findings(back.finish(), volume)
        back.look = None  # the two hold each other, and the prepared scan with them, until garbage is collected
        course.stages_left -= 1
        course.members += effort.passes
        course.spent("restore")
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
        corners = self._tiles(configuration, (z, y, x), part, full.step).corners
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
            count_tiles=lambda step: len(self._tiles(configuration, (z, y, x), part, step).corners),
            name=configuration.name,
        )
        course.warnings.extend(warnings)
        course.is_full = course.is_full and effort == full
        return effort

    def _tiles(self, configuration: Configuration, shape: IntZYX, part: Mask | None, step: float) -> Field:
        """The tiles over a part of a prepared scan."""
        return make_field(shape, part, configuration.patch_size, step, as_nnunet=self.plan.nnunet is not None)

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
