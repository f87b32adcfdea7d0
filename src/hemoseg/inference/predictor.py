"""A model bundle at work: one scan in, its segmentation out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hemoseg.brain import BrainRegion, find_brain
from hemoseg.errors import SettingsError
from hemoseg.geometry import Volume
from hemoseg.inference.blend import sums_bytes
from hemoseg.inference.effort import Effort, effort_within
from hemoseg.inference.engines.choice import Engine, EngineChoice, candidates, load_network
from hemoseg.inference.field import Field, make_field, region_on
from hemoseg.inference.inputs import network_input, values_outside
from hemoseg.inference.limits import NO_LIMITS, Limits, Room, check_room, choose_room, network_bytes, watched
from hemoseg.inference.sliding import Network, cut_tile, stream_logits
from hemoseg.inference.trust import Trusted, trusted_networks
from hemoseg.models import Bundle, Calibration, find_bundle, open_bundle
from hemoseg.nets import keep_freed_memory
from hemoseg.plan import Configuration, Plan
from hemoseg.postprocess import (
    Probabilities,
    Rule,
    Tally,
    apply_rules,
    mean_probabilities,
    needs_probabilities,
    nothing_found,
    second_look,
)
from hemoseg.preprocess import Returned, WayBack, blank_logits
from hemoseg.segmentation import Doubt, ModelIdentity, Segmentation
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
    """What they see."""
    networks: tuple[Network, ...]
    """One per fold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What networks say of a scan, before any rule."""

    labels: LabelMap
    """The most probable class of each voxel of the scan."""
    probabilities: Probabilities | None
    """Of each foreground class; None unless asked for."""
    doubt: Doubt
    """How sure they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is asked for beyond the mask."""

    second_look: bool = False
    """Whether a mask without blood shows what has a lower probability of it."""


NO_EXTRAS = Extras()
"""The mask alone."""


@dataclass(slots=True, kw_only=True)
class Course:
    """How the work on one scan goes."""

    region: BrainRegion | None
    """Where networks look; None for the whole field."""
    watch: Callable[[int, int], None]
    """Told (tiles done, tiles in all) of each stage."""
    began: float
    """When it began, on the model's clock."""
    stages_left: int
    """Stages that were not run yet."""
    seconds: dict[str, float] = field(default_factory=lambda: {"prepare": 0.0, "network": 0.0, "restore": 0.0})
    """Time spent, by stage."""
    warnings: list[str] = field(default_factory=list)
    """What the reader of the result must know."""


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
        self.plan = plan
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
        course = self._course(volume, watch)
        sure = needs_probabilities(self.postprocessing) or self.extras.second_look
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
            seconds=course.seconds,
        )
        segmentation = self._never_silent(self._with_intervals(segmentation), found)
        course.seconds["restore"] += time.monotonic() - began
        return segmentation

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

    def _with_intervals(self, found: Segmentation) -> Segmentation:
        """The result with intervals around its volumes, or with the reason why there are none."""
        if self.calibration is None:
            return found
        if self.exact:
            return replace(found, no_intervals="volumes were calibrated without --exact")
        if self.calibration.too_few is not None:
            return replace(found, no_intervals=self.calibration.too_few)
        return replace(found, intervals=self.calibration.intervals(found.volume_ml, found.hemorrhage_ml))

    def predict(self, volume: Volume, *, previous: LabelMap | None = None) -> Prediction:
        """Labels and probabilities of one scan before any rule; arguments as those of `segment`."""
        return self._predict(volume, previous, self._course(volume, _unwatched), with_probabilities=True)

    def _course(self, volume: Volume, watch: Callable[[int, int], None]) -> Course:
        """The beginning of the work on a scan."""
        started, began = self.clock(), time.monotonic()
        check_room(self.limits, len(self.plan.preparation.channels) * volume.hu.nbytes)
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
        labels: dict[str, LabelMap] = {}
        members: dict[str, Probabilities] = {}
        doubts: dict[str, Doubt] = {}
        for stage in self.stages:
            configuration = stage.configuration
            before = previous
            if configuration.previous_stage is not None:
                before = labels.get(configuration.previous_stage, previous)
            is_member = configuration.name in self.averaged and (is_mean or with_probabilities)
            returned, doubts[configuration.name] = self._run(stage, volume, before, course, with_shares=is_member)
            labels[configuration.name] = returned.labels
            if returned.shares is not None:
                began = time.monotonic()
                members[configuration.name] = Probabilities.of(returned.shares)
                course.seconds["restore"] += time.monotonic() - began
        mean = mean_probabilities([members[name] for name in self.averaged]) if members else None
        if is_mean and mean is not None:
            began = time.monotonic()
            tally = Tally(table=self.plan.table, shape=volume.grid.shape, with_maps=False)
            tally.take_probabilities(mean)
            doubt = tally.finish(
                volume.grid, to_index=None, members=sum(doubts[name].members for name in self.averaged)
            )
            course.seconds["restore"] += time.monotonic() - began
            return Prediction(labels=mean.labels(paint=self.plan.table.paint), probabilities=mean, doubt=doubt)
        only = self.averaged[0]
        return Prediction(labels=labels[only], probabilities=mean, doubt=doubts[only])

    def _run(
        self, stage: Stage, volume: Volume, previous: LabelMap | None, course: Course, *, with_shares: bool
    ) -> tuple[Returned, Doubt]:
        """One configuration: slices go back to the scan's grid as soon as no tile will change them."""
        configuration, plan = stage.configuration, self.plan
        began = time.monotonic()
        prepared, channels = network_input(plan, configuration, volume, previous)
        outside, ready = values_outside(plan, configuration), time.monotonic()
        part = None if course.region is None else region_on(prepared, course.region)
        effort = self._effort(stage, channels, outside, part, course)
        tiles = make_field(prepared.shape, part, configuration.patch_size, effort.step)
        slices = stream_logits(
            channels,
            stage.networks[: effort.folds],
            field=tiles,
            blank=blank_logits(plan.outputs, (), is_regions=bool(plan.regions)),
            mirror_axes=effort.mirror_axes,
            outside=outside,
            half=self.exact,
            watch=watched(self.limits, course.watch),
            room=self._room(configuration, tiles, volume, folds=effort.folds, with_shares=with_shares),
        )
        back = WayBack(
            prepared,
            outputs=plan.outputs,
            regions=plan.regions,
            box=tiles.box,
            half=self.exact,
            with_shares=with_shares,
        )
        tally = Tally(table=plan.table, shape=back.shape, with_maps=False)
        back.look = tally.take_logits
        restoring = 0.0
        for logits in slices:
            given = time.monotonic()
            back.take(logits)
            restoring += time.monotonic() - given
        predicted = time.monotonic()
        returned = back.finish()
        doubt = tally.finish(volume.grid, to_index=back.index, members=effort.passes)
        course.stages_left -= 1
        course.seconds["prepare"] += ready - began
        course.seconds["network"] += predicted - ready - restoring
        course.seconds["restore"] += restoring + time.monotonic() - predicted
        return returned, doubt

    def _effort(
        self, stage: Stage, channels: NewStack, outside: list[float], part: Mask | None, course: Course
    ) -> Effort:
        """All that the model does, or what fits into the time budget by the time that one tile takes now."""
        configuration, budget_s = stage.configuration, self.limits.time_budget_s
        full = Effort(folds=len(stage.networks), mirror_axes=configuration.mirror_axes if self.mirror else ())
        z, y, x = channels.shape[1:]

        def tiles(step: float) -> Field:
            return make_field((z, y, x), part, configuration.patch_size, step)

        corners = tiles(full.step).corners
        if budget_s is None or not corners:
            return full
        patch = cut_tile(channels, corners[len(corners) // 2], configuration.patch_size, outside)[None]
        effort, warnings = effort_within(
            full,
            budget_s=budget_s,
            left_s=(course.began + budget_s - self.clock()) / course.stages_left,
            one_pass=lambda: stage.networks[0](patch),
            clock=self.clock,
            count_tiles=lambda step: len(tiles(step).corners),
            name=configuration.name,
        )
        course.warnings.extend(warnings)
        return effort

    def _room(
        self, configuration: Configuration, tiles: Field, volume: Volume, *, folds: int, with_shares: bool
    ) -> Room:
        """Where the sums of tiles are held: in memory if as much is allowed."""
        outputs, voxels = self.plan.outputs, volume.hu.size
        sums, at_once = sums_bytes(tiles, outputs=outputs, groups=folds if self.exact else 1, half=self.exact)
        network = network_bytes(configuration, channels=self.plan.input_channels(configuration), outputs=outputs)
        result = 2 * voxels + (2 * 4 * outputs * voxels if with_shares else 0)
        return choose_room(self.limits, sums=sums, at_once=at_once, others=network + result)


def load_model(
    model: str | Path | None = None,
    *,
    device: str = "cpu",
    models: Path | None = None,
    exact: bool = False,
    engine: EngineChoice = "auto",
    extras: Extras = NO_EXTRAS,
    limits: Limits = NO_LIMITS,
) -> Model:
    """Load a model bundle, by default the one that comes with hemoseg.

    Args:
        model: name of an embedded model, or a bundle's folder; None for the default.
        device: `cpu` or `cuda`.
        models: a folder of bundles in which names are looked up first.
        exact: whether everything is as nnU-Net does it: networks in float32, the whole field, every tile and
            mirroring, sums in float16, no rules after the networks.
        engine: what runs the networks: `openvino`, `torch`, or `auto` for OpenVINO on a CPU and torch on CUDA.
            Exact results come from torch.
        extras: what is asked for beyond the mask.
        limits: what each scan may take.

    Raises:
        InputError: there is no such model.
        SettingsError: `exact` with a model whose preparation is not nnU-Net's, or with a time budget;
            OpenVINO with `exact` or CUDA; or torch is needed and not installed.
        ArtifactError: a file of the bundle is damaged.
        ResourceError: the device is not there, or no engine gives the right logits of the bundle's test patch.
    """
    if limits.max_memory_gb is None:
        keep_freed_memory()
    bundle = open_bundle(find_bundle(model, models=models))
    if exact:
        _check_has_time(limits)
        _check_is_nnunets(bundle)
    runs = [_trusted(bundle, configuration, engine, device=device, exact=exact) for configuration in bundle.stages]
    identity = ModelIdentity(
        name=bundle.manifest.name,
        version=bundle.manifest.model_version,
        sha256=bundle.sha256,
        notice=bundle.manifest.notice,
        engine=", ".join(dict.fromkeys(run.engine.name for run in runs)),
    )
    stages = tuple(
        Stage(configuration=configuration, networks=run.networks)
        for configuration, run in zip(bundle.stages, runs, strict=True)
    )
    return Model(
        bundle.plan,
        stages,
        identity,
        mirror=bundle.selection.mirror,
        averaged=bundle.selection.configurations,
        postprocessing=() if exact else bundle.selection.postprocessing,
        warnings=(*bundle.manifest.warnings, *dict.fromkeys(text for run in runs for text in run.warnings)),
        exact=exact,
        calibration=bundle.calibration,
        extras=extras,
        limits=limits,
    )


def _trusted(
    bundle: Bundle, configuration: Configuration, choice: EngineChoice, *, device: str, exact: bool
) -> Trusted:
    """The networks of a configuration on the engine to be preferred that works on this machine."""
    agreement = bundle.agreement
    engines = candidates(
        configuration,
        choice,
        device=device,
        exact=exact,
        measured=lambda name: None if agreement is None else agreement.deviation(configuration.name, name),
    )
    return trusted_networks(bundle, configuration, engines)


def load_stage(plan: Plan, configuration: Configuration, weights: list[Path], *, engine: Engine) -> Stage:
    """The networks of one configuration, one per weight file."""
    networks = tuple(load_network(plan, configuration, path, engine=engine) for path in weights)
    return Stage(configuration=configuration, networks=networks)


def _check_is_nnunets(bundle: Bundle) -> None:
    if bundle.plan.nnunet is None or bundle.plan.preparation.orientation != "as-stored":
        raise SettingsError(
            f"--exact with {bundle.manifest.name}, which nnU-Net cannot prepare scans for",
            where="--exact",
            expected="a model that was planned by nnU-Net's rules, or imported from nnU-Net",
            remedy="leave out --exact",
        )


def _check_has_time(limits: Limits) -> None:
    if limits.time_budget_s is not None:
        raise SettingsError(
            "--exact together with --time-budget",
            where="--time-budget",
            expected="one of them: exact results come from all tiles, mirrorings and folds",
            remedy="leave out either",
        )


def _doubts(volume: Volume, plan: Plan) -> tuple[str, ...]:
    found = list(plan.table.warnings())
    if volume.grid.slice_interval_mm > THICK_MM:
        found.append(f"slices are {volume.grid.slice_interval_mm:.1f} mm apart; small bleeds fall between them")
    return tuple(found)
