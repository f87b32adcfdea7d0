"""A plan by nnU-Net's own planners."""

from dataclasses import dataclass

from hemoseg.errors import SettingsError
from hemoseg.plan import (
    Configuration,
    ConfigurationName,
    NnunetNames,
    Plan,
    PlannerName,
    Precision,
    Preparation,
    Region,
    Spline,
    SplineResampling,
)
from hemoseg.planning.nnunet.channels import make_channels
from hemoseg.planning.nnunet.draft import Draft, Drafts
from hemoseg.planning.nnunet.facts import DatasetFacts, orientation_by, reader_of
from hemoseg.planning.nnunet.reasons import make_reasons
from hemoseg.planning.nnunet.spacing import median_shape, median_spacing
from hemoseg.planning.nnunet.v1 import draft_v1
from hemoseg.planning.nnunet.v2 import RULES, draft_v2
from hemoseg.planning.recipes import make_recipe
from hemoseg.settings import DEFAULT_ITERATIONS, ConfigChoice, Settings
from hemoseg.types import IntZYX

V1_NAMES = ("nnUNetPlansv2.1", "ExperimentPlanner3D_v21", "SimpleITKIO")
"""v1's names of plans, planner and, in v2's terms, reader."""
INTENSITIES = "foreground_intensity_properties_per_channel"
"""Entry of plans.json that repeats the fingerprint's to the letter."""
CHOICES: dict[ConfigChoice, tuple[ConfigurationName, ...]] = {
    "2d": ("2d",),
    "3d_fullres": ("3d_fullres",),
    "3d_lowres": ("3d_lowres",),
    "cascade": ("3d_lowres", "3d_cascade_fullres"),
}
"""Networks that a choice trains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What configurations need that nnU-Net's planners do not decide."""

    precision: Precision
    """Arithmetic."""
    iterations: int
    """Optimizer steps of one fold."""


def make_nnunet_plan(
    facts: DatasetFacts,
    *,
    planner: PlannerName,
    memory_gb: float | None,
    labels: tuple[str, ...],
    regions: tuple[Region, ...] = (),
    settings: Settings,
    precision: Precision,
) -> Plan:
    """The plan that nnU-Net's planner makes of a data set. Pure: the same inputs give the same plan.

    Args:
        facts: the data set.
        planner: `nnunet`, `nnunet-resenc-m|l|xl` or `nnunet-v1`.
        memory_gb: nnU-Net's GPU memory target; None takes the planner's own.
        labels: class names by number.
        regions: what the classes are made of; empty if each has a number of its own.
        settings: choice of network, iterations and seed.
        precision: arithmetic of training and prediction.

    Raises:
        InputError: the data set lacks what a decision needs.
        SettingsError: nnU-Net comes to no plan, or drops the network that is asked for.
    """
    v1 = planner == "nnunet-v1"
    drafts = draft_v1(facts, memory_gb) if v1 else draft_v2(facts, planner, memory_gb)
    iterations = settings.asked_iterations or DEFAULT_ITERATIONS
    configurations = _configurations(drafts, Running(precision=precision, iterations=iterations))
    trained = choose_trained(settings.config, [item.name for item in configurations], drafts.low_reason)
    transpose = drafts.frame.transpose
    plans_name, class_name, reader = V1_NAMES if v1 else _v2_names(facts, planner)
    preparation = _preparation(facts, transpose, reader, v1=v1)
    return Plan(
        planner=planner,
        dataset_name=facts.dataset_name,
        labels=labels,
        regions=regions,
        ignores=facts.label_count > len(labels),
        preparation=preparation,
        recipe=make_recipe(settings, planner, preparation),
        configurations=configurations,
        trained=trained,
        memory_gb=drafts.memory_gb,
        seed=settings.seed,
        nnunet=NnunetNames(
            plans_name=plans_name,
            experiment_planner=class_name,
            reader=reader,
            median_spacing_mm=median_spacing(facts, transpose),
            median_shape=median_shape(facts, transpose),
            said={INTENSITIES: facts.said_intensities} if facts.is_from_files else {},
        ),
        doubts=_doubts(preparation),
        reasons=make_reasons(drafts, facts, configurations, preparation, trained=trained, settings=settings),
    )


def _preparation(facts: DatasetFacts, transpose: IntZYX, reader: str, *, v1: bool) -> Preparation:
    return Preparation(
        orientation=orientation_by(reader),
        channels=make_channels(facts, v1=v1),
        windowed="first",
        head_crop=False,
        transpose=transpose,
        nonzero_crop=True,
        normalize="after" if v1 else "before",
        resampling=SplineResampling(labels=Spline(order=1, winner="half")) if v1 else SplineResampling(),
    )


def _doubts(preparation: Preparation) -> tuple[str, ...]:
    return tuple(
        f"channel {channel.source} ({channel.name}) has no foreground intensities: nnU-Net plans all the same, but CT "
        "cannot be normalized without them"
        for channel in preparation.channels
        if channel.normalization == "ct" and channel.intensity is None
    )


def choose_trained(
    choice: ConfigChoice, planned: list[ConfigurationName], low_reason: str
) -> tuple[ConfigurationName, ...]:
    """The networks to train: those asked for, all that are planned, or 3d_fullres where it is planned and else 2d.

    Raises:
        SettingsError: one that is asked for is not planned.
    """
    if choice == "all":
        return tuple(planned)
    names = CHOICES.get(choice, ("3d_fullres",) if "3d_fullres" in planned else ("2d",))
    missing = [name for name in names if name not in planned]
    if missing:
        why = low_reason if "3d_fullres" in planned else "the median case has one slice, so there are no 3-D networks"
        raise SettingsError(
            f"--config {choice}: nnU-Net plans no {missing[0]} for this data set",
            where="--config",
            expected=f"one of {', '.join(planned)}; {why}",
            remedy=f"--config {'3d_fullres' if '3d_fullres' in planned else '2d'}",
        )
    return names


def _v2_names(facts: DatasetFacts, planner: PlannerName) -> tuple[str, str, str]:
    return RULES[planner].plans_name, RULES[planner].class_name, reader_of(facts)


def _configurations(drafts: Drafts, running: Running) -> tuple[Configuration, ...]:
    """All networks in nnU-Net's order: 2d, 3d_lowres, 3d_fullres, 3d_cascade_fullres."""
    made = [_configuration(drafts, drafts.flat, running, batch_dice=True)]
    if drafts.low is not None:
        made.append(_configuration(drafts, drafts.low, running, batch_dice=False))
    if drafts.full is not None:
        full = _configuration(drafts, drafts.full, running, batch_dice=drafts.low is not None)
        made.append(full)
        if drafts.low is not None:
            changes = {"name": "3d_cascade_fullres", "inherits_from": full.name, "previous_stage": drafts.low.name}
            made.append(full.model_copy(update=changes))
    return tuple(made)


def _configuration(drafts: Drafts, draft: Draft, running: Running, *, batch_dice: bool) -> Configuration:
    stages = len(draft.topology.strides)
    rules = RULES.get(drafts.planner)
    flat = draft.name == "2d"
    z, y, x = draft.spacing_mm
    return Configuration(
        name=draft.name,
        dimensions=2 if flat else 3,
        spacing_mm=(None if flat and rules is not None else z, y, x),
        median_shape=draft.median_shape,
        patch_size=draft.topology.patch_size,
        batch_size=draft.batch_size,
        encoder="plain" if rules is None else rules.encoder,
        features=draft.features,
        strides=draft.topology.strides,
        kernels=draft.topology.kernels,
        blocks=(2,) * stages if rules is None else rules.blocks[:stages],
        decoder_blocks=(2 if rules is None else rules.decoder_blocks,) * (stages - 1),
        batch_dice=batch_dice,
        mirror_axes=(1, 2) if flat else (0, 1, 2),
        precision=running.precision,
        iterations=running.iterations,
    )
