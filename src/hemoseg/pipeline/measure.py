"""Stages that decide: settings, device, plan."""

from pathlib import Path

from hemoseg.artifacts import write_model, write_text
from hemoseg.datasets import index_dataset, make_splits
from hemoseg.errors import SettingsError
from hemoseg.pipeline.folder import RunFolder, Splits
from hemoseg.pipeline.preprocess import check_unchanged
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Configuration, Plan
from hemoseg.planning import (
    DeviceTiming,
    Fingerprint,
    StepTiming,
    candidates,
    make_plan,
    methods_text,
)
from hemoseg.settings import FOLDS, Settings

TIMED_STEPS = 3
"""Steps timed per candidate; their median counts."""
HOPELESS = 20
"""A candidate so slow that it would get fewer than this many steps ends the timing."""


def settings_stage(folder: RunFolder, settings: Settings) -> None:
    """Write `settings.json`, or compare with the one that is there.

    Raises:
        SettingsError: the folder's settings are others; names each difference.
    """
    if not folder.settings_file.is_file():
        write_model(folder.settings_file, settings)
        return
    difference = folder.settings().difference(settings)
    if difference:
        raise SettingsError(
            f"the run was begun with other settings: {'; '.join(difference)}",
            where=folder.settings_file,
            expected="the same settings, to resume",
            remedy="give the earlier settings to go on, or use a new --run folder",
        )


def check_device(settings: Settings) -> None:
    """Make sure that the device is there, before anything is written for it.

    Raises:
        ResourceError: it is not.
    """
    from hemoseg.inference.engines import torch_engine

    torch_engine.check_device(settings.device)


def device_stage(folder: RunFolder, fingerprint: Fingerprint, settings: Settings, watch: Watch) -> DeviceTiming:
    """Time the candidate networks and write `device.json`; read back if it is there, never measured again.

    With fixed iterations nothing is timed: the file then holds facts of the machine alone.
    """
    if folder.device_file.is_file():
        return folder.device()
    from hemoseg.training import compute_threads, supports_bf16

    bf16 = supports_bf16(settings.device)
    facts = DeviceTiming(device=settings.device, threads=compute_threads(), bf16=bf16)
    steps: list[StepTiming] = []
    if settings.budget_s is not None:
        rungs = candidates(fingerprint, settings, precision="bf16" if bf16 else "fp32")
        draft = make_plan(fingerprint, settings.model_copy(update={"budget_s": None, "iterations": 1}), facts)
        watch.begin("device", len(rungs))
        for number, rung in enumerate(rungs, start=1):
            timed = [_time(draft, item, settings.device) for item in rung]
            steps += timed
            watch.advance(number, ", ".join(f"{t.seconds:.2f} s a step" for t in timed))
            if sum(t.seconds for t in timed) * HOPELESS > settings.budget_s:
                break
    timing = facts.model_copy(update={"steps": tuple(steps)})
    write_model(folder.device_file, timing)
    return timing


def plan_stage(folder: RunFolder, settings: Settings, watch: Watch) -> Plan:
    """Decide everything: writes `device.json`, `plan.json`, `splits.json` and `methods.md`, those that are absent."""
    fingerprint = folder.fingerprint()
    dataset = index_dataset(Path(fingerprint.dataset))
    check_unchanged(folder, dataset, fingerprint)
    if not folder.plan_file.is_file():
        device = device_stage(folder, fingerprint, settings, watch)
        write_model(folder.plan_file, make_plan(fingerprint, settings, device))
    plan = folder.plan()
    if not folder.splits_file.is_file():
        write_model(folder.splits_file, Splits.of(make_splits(dataset.cases, folds=FOLDS, seed=settings.seed)))
    if not folder.methods_file.is_file():
        write_text(folder.methods_file, methods_text(plan, fingerprint, settings))
    return plan


def _time(draft: Plan, item: Configuration, device: str) -> StepTiming:
    from hemoseg.training import measure_step_seconds

    return StepTiming(
        configuration=item.name,
        features=item.features,
        precision=item.precision,
        seconds=measure_step_seconds(draft, item, device=device, steps=TIMED_STEPS),
    )
