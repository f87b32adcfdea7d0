"""The head-CT planner: nnU-Net's topology on a grid and in a size that memory and a compute budget allow."""

from collections.abc import Sequence
from dataclasses import dataclass

from hemoseg.errors import SettingsError
from hemoseg.plan import (
    MOST_ITERATIONS,
    AverageResampling,
    Configuration,
    Plan,
    Precision,
    Preparation,
    Reason,
)
from hemoseg.planning.channels import make_channels, windows_come_first
from hemoseg.planning.device import DeviceTiming
from hemoseg.planning.doubts import budget_doubts, data_doubts, size_doubts, window_doubts
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.headct_reasons import (
    budget_reasons,
    configuration_reason,
    iterations_reason,
    memory_reason,
    network_reasons,
    preparation_reasons,
    recipe_reasons,
    size_reason_without_budget,
    spacing_reason,
)
from hemoseg.planning.ladder import ENOUGH_ITERATIONS, SMALLEST_USUAL, USUAL, make_rungs
from hemoseg.planning.memory import estimate_memory
from hemoseg.planning.presteps import planner_of
from hemoseg.planning.reasons import recorded
from hemoseg.planning.recipes import make_recipe, step_share
from hemoseg.settings import DEFAULT_ITERATIONS, FOLDS, Settings

DEFAULT_MEMORY_GB = 8.0
"""Memory of a training process where the user names none: half of what a usual machine of 16 GB has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Which rung of the ladder, how long, and why."""

    configurations: tuple[Configuration, ...]
    """The networks of the rung."""
    iterations: int
    """Optimizer steps of each."""
    memory_gb: float
    """Memory that they had to fit."""
    needed_mb: float
    """Largest estimate among them."""
    reasons: tuple[Reason, ...]
    """Why."""
    is_long_enough: bool
    """Whether there is time for the steps that a network needs."""


def make_headct_plan(fingerprint: Fingerprint, settings: Settings, device: DeviceTiming) -> Plan:
    """The plan of a run. Pure: the same inputs give the same plan.

    Args:
        fingerprint: the data set in numbers.
        settings: what the user decided.
        device: what was measured of the machine; its timings matter only with a budget.

    Raises:
        SettingsError: nothing fits the memory.
    """
    channels, window_reason = make_channels(fingerprint, settings.steps)
    preparation = Preparation(
        orientation="canonical",
        channels=channels,
        windowed="first" if windows_come_first(settings.steps.pooling) else "last",
        head_crop=True,
        pooling=settings.steps.pooling,
        slice_spacing_mm=settings.steps.slice_spacing_mm,
        slab=settings.steps.slab,
        nonzero_crop=False,
        resampling=AverageResampling(),
    )
    recipe = make_recipe(settings, "headct", preparation)
    size = choose_size(fingerprint, settings, device, channels=len(channels))
    configurations = tuple(item.model_copy(update={"iterations": size.iterations}) for item in size.configurations)
    names = tuple(item.name for item in configurations)
    return Plan(
        dataset_name=fingerprint.dataset_name,
        labels=fingerprint.labels,
        regions=fingerprint.regions,
        ignores=fingerprint.ignore is not None,
        preparation=preparation,
        recipe=recipe,
        configurations=configurations,
        trained=names,
        memory_gb=size.memory_gb,
        seed=settings.seed,
        reasons=(
            configuration_reason(names, settings),
            *preparation_reasons(preparation, settings.steps, window_reason),
            spacing_reason(fingerprint, settings.steps),
            *size.reasons,
            *network_reasons(configurations[-1], device),
            *recipe_reasons(recipe, preparation, settings),
            *recorded(fingerprint),
        ),
        doubts=(
            *data_doubts(fingerprint),
            *window_doubts(preparation.windows, fingerprint.held_hu),
            *size_doubts(size.needed_mb, size.memory_gb, device=settings.device, is_long_enough=size.is_long_enough),
            *budget_doubts(
                configurations[0].iterations,
                budget_s=settings.budget_s,
                cost_s=step_cost_s(size.configurations, settings, device),
                wanted=ENOUGH_ITERATIONS,
                wanted_by="that a network needs to be relied on",
            ),
        ),
    )


def candidates(
    fingerprint: Fingerprint, settings: Settings, *, precision: Precision
) -> list[tuple[Configuration, ...]]:
    """The rungs that may be chosen, all configurations of each with one iteration: to be timed in this order.

    Timing may stop at the first rung of fewer than `ENOUGH_ITERATIONS` steps: a larger one has fewer still.

    Raises:
        SettingsError: nothing fits the memory.
    """
    channels, _ = make_channels(fingerprint, settings.steps)
    fitting = _fitting(fingerprint, settings, precision=precision, channels=len(channels))
    usual = [rung for index, (rung, _) in fitting.items() if index >= SMALLEST_USUAL]
    return usual or [rung for rung, _ in list(fitting.values())[-1:]]


def affordable_steps(rung: Sequence[Configuration], settings: Settings, device: DeviceTiming) -> int | None:
    """Optimizer steps of each network and fold that the budget pays for, within a plan's bounds; None if not timed."""
    assert settings.budget_s is not None
    cost_s = step_cost_s(rung, settings, device)
    return None if cost_s is None else max(1, int(min(settings.budget_s / cost_s, MOST_ITERATIONS)))


def step_cost_s(rung: Sequence[Configuration], settings: Settings, device: DeviceTiming) -> float | None:
    """Seconds of one optimizer step of each network and fold together, with its share of the validation batches.

    None if a network was not timed.
    """
    names = [item.name for item in rung]
    cost_s = 0.0
    for item in rung:
        seconds = device.seconds(item)
        if seconds is None:
            return None
        cost_s += seconds * len(folds_of(item, names, settings))
    return cost_s * step_share(make_recipe(settings, planner_of(settings)))


def folds_of(configuration: Configuration, names: Sequence[str], settings: Settings) -> tuple[int, ...]:
    """Folds to train: a cascade's previous stage needs all, for its predictions must be out-of-fold."""
    if configuration.name == "3d_lowres" and "3d_cascade_fullres" in names:
        return tuple(range(FOLDS))
    return settings.folds


def choose_size(fingerprint: Fingerprint, settings: Settings, device: DeviceTiming, *, channels: int) -> Size:
    """The largest rung that memory allows and that gets enough steps from the budget; the usual one without a budget.

    Raises:
        SettingsError: nothing fits the memory.
    """
    fitting = _fitting(fingerprint, settings, precision=_precision(device), channels=channels)
    limit_gb = settings.memory_gb or DEFAULT_MEMORY_GB
    if settings.budget_s is None:
        index = max((i for i in fitting if i <= USUAL), default=min(fitting))
        iterations = settings.asked_iterations or DEFAULT_ITERATIONS
        reasons: tuple[Reason, ...] = (
            size_reason_without_budget(index, fitting[index][0]),
            iterations_reason(iterations, settings),
        )
        is_long_enough = iterations >= ENOUGH_ITERATIONS
    else:
        allowed = {i: rung for i, (rung, _) in fitting.items() if i >= SMALLEST_USUAL} or {
            i: fitting[i][0] for i in list(fitting)[-1:]
        }
        steps = {i: affordable_steps(rung, settings, device) for i, rung in allowed.items()}
        timed = {i: count for i, count in steps.items() if count is not None}
        if not timed:
            raise _not_timed(fingerprint)
        enough = [i for i, count in timed.items() if count >= ENOUGH_ITERATIONS]
        index = max(enough, default=min(timed))
        iterations = timed[index]
        reasons = budget_reasons(fitting[index][0], iterations, settings, device, is_enough=bool(enough))
        is_long_enough = bool(enough)
    rung, needed_mb = fitting[index]
    return Size(
        configurations=rung,
        iterations=iterations,
        memory_gb=limit_gb,
        needed_mb=needed_mb,
        reasons=(*reasons, memory_reason(settings, limit_gb, needed_mb)),
        is_long_enough=is_long_enough,
    )


def _fitting(
    fingerprint: Fingerprint, settings: Settings, *, precision: Precision, channels: int
) -> dict[int, tuple[tuple[Configuration, ...], float]]:
    """Rungs that fit the memory, by index, each with its largest estimate in MB."""
    limit_mb = 1000 * (settings.memory_gb or DEFAULT_MEMORY_GB)
    previous, classes = fingerprint.table.largest, fingerprint.outputs
    needs = {}
    for index, rung in make_rungs(fingerprint, settings, precision=precision).items():
        need = max(
            estimate_memory(
                item, channels=channels + (previous if item.previous_stage else 0), classes=classes
            ).total_mb
            for item in rung
        )
        needs[index] = (rung, need)
    fitting = {index: entry for index, entry in needs.items() if entry[1] <= limit_mb}
    if not fitting:
        least = min(need for _, need in needs.values())
        raise SettingsError(
            f"the smallest network needs an estimated {least / 1000:.2f} GB",
            where="--memory-gb",
            expected=f"at least that; the limit is {limit_mb / 1000:g} GB",
            remedy=f"give --memory-gb {least / 1000 + 0.005:.2f} or more",
        )
    return fitting


def _not_timed(fingerprint: Fingerprint) -> SettingsError:
    return SettingsError(
        "no candidate network was timed, so a budget in seconds says nothing",
        where=fingerprint.dataset_name,
        expected="timings in device.json that were made with the same settings",
        remedy="use a new --run folder, or give --iterations instead of --budget",
    )


def _precision(device: DeviceTiming) -> Precision:
    return "bf16" if device.bf16 else "fp32"
