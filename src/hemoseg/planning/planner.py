"""Which planner makes the plan."""

import hashlib

from hemoseg.errors import SettingsError
from hemoseg.plan import Configuration, Plan, Precision, Preparation, Reason
from hemoseg.planning import headct
from hemoseg.planning.device import DeviceTiming
from hemoseg.planning.doubts import budget_doubts, data_doubts, foreground_doubts, size_doubts, window_doubts
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.ladder import ENOUGH_ITERATIONS
from hemoseg.planning.memory import plan_memory
from hemoseg.planning.nnunet import DatasetFacts, facts_from_fingerprint, make_nnunet_plan
from hemoseg.planning.presets import preset_plan
from hemoseg.planning.presteps import (
    SteppedFacts,
    needs_pass,
    planner_of,
    stepped_dataset,
    stepped_preparation,
    steps_of,
    with_steps,
)
from hemoseg.planning.reasons import because, given_steps, recorded
from hemoseg.settings import DEFAULT_ITERATIONS, Settings


def make_plan(
    fingerprint: Fingerprint, settings: Settings, device: DeviceTiming, stepped: SteppedFacts | None = None
) -> Plan:
    """The plan of a run. Pure: the same inputs give the same plan.

    Args:
        fingerprint: the data set in numbers.
        settings: what the user decided.
        device: what was measured of the machine; its timings matter only with a budget.
        stepped: the data set after the steps that come before nnU-Net; needed where `needs_pass` says so.

    Raises:
        InputError: the data set lacks what a decision needs.
        SettingsError: settings that no plan can follow, such as a memory that nothing fits.
        ArtifactError: `stepped` is needed and missing, or of other steps.
    """
    if planner_of(settings) == "headct":
        return headct.make_headct_plan(fingerprint, settings, device)
    plan = _nnunet_plan(fingerprint, settings, precision="bf16" if device.bf16 else "fp32", stepped=stepped)
    if settings.budget_s is not None:
        plan = _within_budget(plan, settings, device)
    doubts = (*plan.doubts, *data_doubts(fingerprint), *_plan_doubts(plan, fingerprint, settings, device))
    return plan.model_copy(update={"reasons": (*plan.reasons, *recorded(fingerprint)), "doubts": doubts})


def candidates(
    fingerprint: Fingerprint, settings: Settings, *, precision: Precision, stepped: SteppedFacts | None = None
) -> list[tuple[Configuration, ...]]:
    """The networks that a budget has to be timed for, the smallest first; nnU-Net's planners have one size.

    Timing may stop at the first entry of fewer than `ENOUGH_ITERATIONS` steps: a larger one has fewer still.
    """
    if planner_of(settings) == "headct":
        return headct.candidates(fingerprint, settings, precision=precision)
    return [_nnunet_plan(fingerprint, settings, precision=precision, stepped=stepped).trained_configurations]


def preparation_digest(preparation: Preparation) -> str:
    """SHA-256 of a preparation: which steps a pass over the data has applied."""
    return hashlib.sha256(preparation.model_dump_json().encode()).hexdigest()


def _nnunet_plan(
    fingerprint: Fingerprint, settings: Settings, *, precision: Precision, stepped: SteppedFacts | None
) -> Plan:
    """The plan of nnU-Net's planner, with the steps before it if there are some."""
    if not needs_pass(settings):
        facts = facts_from_fingerprint(fingerprint, v1=settings.planner == "nnunet-v1")
        return _plain(fingerprint, settings, facts, precision)
    preparation = stepped_preparation(fingerprint, settings)
    facts = stepped_dataset(fingerprint, stepped, settings, preparation_sha256=preparation_digest(preparation))
    plan = with_steps(_plain(fingerprint, settings, facts, precision), preparation)
    if settings.preset is not None:
        return preset_plan(plan, settings.preset)
    kept = tuple(reason for reason in plan.reasons if reason.name != "orientation")
    return plan.model_copy(update={"reasons": (*_step_reasons(plan, settings), *kept)})


def _plain(fingerprint: Fingerprint, settings: Settings, facts: DatasetFacts, precision: Precision) -> Plan:
    plan = make_nnunet_plan(
        facts,
        planner=planner_of(settings),
        memory_gb=settings.memory_gb,
        labels=fingerprint.labels,
        regions=fingerprint.regions,
        settings=settings,
        precision=precision,
    )
    if settings.memory_gb is None:
        return plan
    given = because("memory_gb", f"{settings.memory_gb:g}", "given", source="--memory-gb", basis="given")
    reasons = tuple(given if reason.name == "memory_gb" else reason for reason in plan.reasons)
    return plan.model_copy(update={"reasons": reasons})


def _within_budget(plan: Plan, settings: Settings, device: DeviceTiming) -> Plan:
    """The plan with as many optimizer steps as the budget pays for."""
    assert settings.budget_s is not None
    steps = headct.affordable_steps(plan.trained_configurations, settings, device)
    if steps is None:
        raise SettingsError(
            "its networks were not timed, so a budget in seconds says nothing",
            where=plan.dataset_name,
            expected="timings in device.json that were made with the same settings",
            remedy="use a new --run folder, or give --iterations instead of --budget",
        )
    configurations = tuple(item.model_copy(update={"iterations": steps}) for item in plan.configurations)
    how = device.how_timed(plan.trained_configurations)
    why = f"what {settings.budget_s:.0f} s pay for on {device.threads} {device.device} threads, {how}"
    reasons = [reason for reason in plan.reasons if reason.name != "iterations"]
    reasons.append(because("iterations", str(steps), why, source="--budget", basis="measured"))
    return plan.model_copy(update={"configurations": configurations, "reasons": tuple(reasons)})


def _plan_doubts(plan: Plan, fingerprint: Fingerprint, settings: Settings, device: DeviceTiming) -> tuple[str, ...]:
    windows = plan.preparation.windows
    needed = max(plan_memory(plan, item).total_mb for item in plan.trained_configurations)
    iterations = min(item.iterations for item in plan.trained_configurations)
    scaled = any(channel.normalization == "ct" for channel in plan.preparation.channels)
    return (
        *(foreground_doubts(fingerprint) if scaled else ()),
        *window_doubts(windows, fingerprint.held_hu),
        *size_doubts(needed, plan.memory_gb, device=settings.device, is_long_enough=iterations >= ENOUGH_ITERATIONS),
        *budget_doubts(
            iterations,
            budget_s=settings.budget_s,
            cost_s=headct.step_cost_s(plan.trained_configurations, settings, device),
            wanted=DEFAULT_ITERATIONS,
            wanted_by="that nnU-Net prescribes",
        ),
    )


def _step_reasons(plan: Plan, settings: Settings) -> tuple[Reason, ...]:
    why = "the steps before nnU-Net act on slices, so axes must be known"
    reasons = [because("orientation", plan.preparation.orientation, why)]
    return (*reasons, *given_steps(steps_of(settings)))
