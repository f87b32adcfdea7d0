"""Stages that decide: settings, device, plan."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import get_args

from hemoseg.artifacts import write_model, write_text
from hemoseg.errors import SettingsError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measured import measured_dataset
from hemoseg.pipeline.nnunet_files import nnunet_files_stage
from hemoseg.pipeline.patience import patience_text, say_patience
from hemoseg.pipeline.splits import find_splits, named
from hemoseg.pipeline.start import check_start, check_starts
from hemoseg.pipeline.stepped import stepped_stage
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Configuration, Layout, Plan
from hemoseg.planning import (
    ENOUGH_ITERATIONS,
    DeviceTiming,
    Fingerprint,
    SteppedFacts,
    StepTiming,
    affordable_steps,
    candidates,
    extrapolate_seconds,
    make_plan,
    methods_text,
    probes,
    voxels_of,
)
from hemoseg.settings import Settings

TIMED_STEPS = 3
"""Steps timed per candidate; their median counts."""
TIMING_SHARE = 0.3
"""Share of the budget that timing may take: larger networks are timed on a part of their patch."""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
LAYOUT_SHARE = 0.2
"""Share of that in which layouts are compared."""


def check_settings(folder: RunFolder, settings: Settings) -> None:
    """Compare with `settings.json` if it is there; it is written with the plan, since a refused one leaves nothing.

    Weights to begin with are looked for before the run is planned; later, a training that needs them does.

    Raises:
        SettingsError: the folder's settings are others; names each difference. Or there are no weights to begin with.
    """
    difference = folder.settings().difference(settings) if folder.settings_file.exists() else []
    if difference:
        raise SettingsError(
            f"the run was begun with other settings: {'; '.join(difference)}",
            where=folder.settings_file,
            expected="the same settings, to resume",
            remedy="give the earlier settings to go on, or use a new --run folder",
        )
    if not _is_planned(folder):
        check_start(settings)


def check_device(settings: Settings) -> None:
    """Make sure that the device is there, before anything is written for it.

    Raises:
        ResourceError: it is not.
    """
    from hemoseg.inference.engines import torch_engine

    torch_engine.check_device(settings.device)


def measure_device(
    fingerprint: Fingerprint, settings: Settings, watch: Watch, stepped: SteppedFacts | None = None
) -> DeviceTiming:
    """Facts of the machine; with a budget, also the time of a step of each candidate network.

    With fixed iterations no step is timed, so that no clock decides but on bf16, where the answer is far from doubt.
    """
    from hemoseg.training import bf16_pays, compute_threads, default_layout

    bf16 = bf16_pays(settings.device)
    layout = default_layout(settings.device, bf16=bf16)
    facts = DeviceTiming(device=settings.device, threads=compute_threads(), bf16=bf16, layout=layout)
    if settings.budget_s is None:
        return facts
    rungs = candidates(fingerprint, settings, precision="bf16" if bf16 else "fp32", stepped=stepped)
    draft = make_plan(fingerprint, settings.model_copy(update={"budget_s": None, "iterations": 1}), facts, stepped)
    end = monotonic() + TIMING_SHARE * settings.budget_s
    watch.begin("device", len(rungs))
    layout = _faster_layout(draft, rungs[0][0], facts, limit_s=LAYOUT_SHARE * TIMING_SHARE * settings.budget_s)
    facts = facts.model_copy(update={"layout": layout})
    for number, rung in enumerate(rungs, start=1):
        timed = [_time(draft, item, facts, end=end) for item in rung]
        facts = facts.model_copy(update={"steps": (*facts.steps, *timed)})
        watch.advance(number, ", ".join(f"{t.seconds:.2f} s a step" for t in timed))
        if (affordable_steps(rung, settings, facts) or 0) < ENOUGH_ITERATIONS:
            break  # larger ones would get fewer steps still
    return facts


def plan_stage(folder: RunFolder, settings: Settings, watch: Watch) -> Plan:
    """Decide everything: writes settings, device, plan, splits and methods, those that are absent.

    Nothing is written before all is decided, so a plan that is refused leaves the folder as it was.

    Raises:
        InputError: data or settings allow no plan.
        SettingsError: the data set changed since it was measured, or the weights to begin with are of another network.
    """
    fingerprint = named(folder.fingerprint(), settings)
    measured_dataset(folder)
    splits = find_splits(folder, settings)
    planned, timed = folder.plan_file.exists(), folder.device_file.exists()
    stepped = None if planned and timed else stepped_stage(folder, settings, watch)
    device = folder.device() if timed else measure_device(fingerprint, settings, watch, stepped)
    plan = folder.plan() if planned else make_plan(fingerprint, settings, device, stepped)
    if not _is_planned(folder):
        check_starts(plan, settings)
    for path, model in (
        (folder.settings_file, settings),
        (folder.device_file, device),
        (folder.plan_file, plan),
        (folder.splits_file, splits),
    ):
        if not path.exists():
            write_model(path, model)
    if not folder.methods_file.exists():
        stopping = patience_text(plan, settings)
        write_text(folder.methods_file, methods_text(plan, fingerprint, settings, stopping=stopping))
    nnunet_files_stage(folder, plan, fingerprint)
    say_patience(plan, settings, watch)
    return plan


def draft_plan(folder: RunFolder, settings: Settings, watch: Watch) -> tuple[Plan, DeviceTiming]:
    """What `plan_stage` would decide, and on what timing; nothing is written into the run folder."""
    check_start(settings)
    fingerprint = named(folder.fingerprint(), settings)
    with _scratch_folder() as elsewhere:
        write_model(elsewhere.fingerprint_file, fingerprint)
        stepped = stepped_stage(elsewhere, settings, watch)
    timed = folder.device_file.exists() and folder.settings_file.exists() and folder.settings() == settings
    device = folder.device() if timed else measure_device(fingerprint, settings, watch, stepped)
    plan = make_plan(fingerprint, settings, device, stepped)
    check_starts(plan, settings)
    say_patience(plan, settings, watch)
    return plan, device


def _is_planned(folder: RunFolder) -> bool:
    """Whether settings and plan of a run are decided."""
    return folder.settings_file.exists() and folder.plan_file.exists()


@contextmanager
def _scratch_folder() -> Iterator[RunFolder]:
    """A run folder for the time of the block; what stays is the log of a job that failed, if the error names it."""
    folder = RunFolder(Path(mkdtemp(prefix="hemoseg-")))
    try:
        yield folder
    finally:
        for path in folder.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != folder.workers_log:
                path.unlink()
        if not folder.workers_log.exists():
            folder.path.rmdir()


def _faster_layout(draft: Plan, item: Configuration, facts: DeviceTiming, *, limit_s: float) -> Layout:
    """The layout in which a step takes less time, compared on the largest patch that the time allows.

    The layout of `facts` stays where the time allows no comparison.
    """
    from hemoseg.training import WARM_UP, measure_step_seconds

    found, end, steps = facts.layout, monotonic() + limit_s, len(LAYOUTS) * (WARM_UP + TIMED_STEPS)
    timed_step = partial(measure_step_seconds, draft, device=facts.device, steps=TIMED_STEPS)
    last: tuple[int, float] | None = None
    for probe in probes(draft, item):
        if last is not None and steps * extrapolate_seconds(last, last, voxels_of(probe)) > end - monotonic():
            break
        seconds = {layout: timed_step(probe, layout=layout, limit_s=end - monotonic()) for layout in LAYOUTS}
        if monotonic() >= end:
            break  # steps were left out
        found = min(LAYOUTS, key=seconds.__getitem__)
        last = voxels_of(probe), max(seconds.values())
    return found


def _time(draft: Plan, item: Configuration, facts: DeviceTiming, *, end: float) -> StepTiming:
    """The time of a configuration's step; where that itself would take until after `end`, from smaller patches.

    The smallest patch is always timed, then ever larger ones as long as half of the time left is enough for them.
    """
    from hemoseg.training import WARM_UP, measure_step_seconds

    timed_step = partial(measure_step_seconds, draft, device=facts.device, layout=facts.layout)

    def measure(probe: Configuration) -> tuple[int, float]:
        limit_s = end - monotonic()
        return voxels_of(probe), timed_step(probe, steps=1, warm_up=1, limit_s=limit_s)

    last, *larger = probes(draft, item)
    timed = [measure(last)]
    while True:
        left = end - monotonic()
        seconds = extrapolate_seconds(timed[0], timed[-1], voxels_of(item))
        if item in (last, *larger) and (WARM_UP + TIMED_STEPS) * seconds <= left:
            return StepTiming.of(item, timed_step(item, steps=TIMED_STEPS))
        fitting = [
            probe
            for probe in larger
            if probe != item and 4 * extrapolate_seconds(timed[0], timed[-1], voxels_of(probe)) <= left
        ]
        if not fitting:
            return StepTiming.of(item, seconds, timed_patch=None if last == item else last.patch_size)
        last = fitting[-1]
        timed.append(measure(last))
        larger = larger[larger.index(last) + 1 :]
