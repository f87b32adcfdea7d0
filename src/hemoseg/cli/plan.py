"""`plan`: decide networks, patches, steps and splits, from a run folder or from nnU-Net's files alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemoseg.cli.options import (
    Budget,
    Config,
    ConfigOption,
    Device,
    Epochs,
    Folds,
    Init,
    Iterations,
    MemoryGb,
    Patience,
    PatientPattern,
    Planner,
    PlannerOption,
    Pool,
    PresetOption,
    RecipeOption,
    Seed,
    SlabOption,
    SlabRange,
    SlabRangeOption,
    SliceSpacing,
    SplitsOption,
    Store,
    StoreOption,
    TrainCases,
    Windows,
    make_init,
    make_settings,
    make_splitting,
    make_steps,
)
from hemoseg.cli.progress import bars
from hemoseg.cli.runs import open_run

if TYPE_CHECKING:
    from hemoseg.plan import Plan
    from hemoseg.planning import DeviceTiming
    from hemoseg.settings import Settings

FILES = "From nnU-Net's files, without images"
MeasuredRun = Annotated[
    Path | None, typer.Option("--run", help="Run folder with fingerprint.json, to which the plan is written.")
]
FromFingerprint = Annotated[
    Path | None, typer.Option(help="nnU-Net's dataset_fingerprint.json.", rich_help_panel=FILES)
]
DatasetJson = Annotated[Path | None, typer.Option(help="The data set's dataset.json.", rich_help_panel=FILES)]
DatasetName = Annotated[
    str | None,
    typer.Option(help="Name of the data set; that of dataset.json's folder if absent.", rich_help_panel=FILES),
]
PlansJson = Annotated[Path | None, typer.Option(help="The plans.json to write.", rich_help_panel=FILES)]


def plan(
    run_dir: MeasuredRun = None,
    budget: Budget = None,
    iterations: Iterations = None,
    epochs: Epochs = None,
    folds: Folds = "all",
    config: ConfigOption = Config.auto,
    seed: Seed = 0,
    device: Annotated[Device, typer.Option(help="Where networks will be trained.")] = Device.cpu,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each value was chosen.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and print; write nothing.")] = False,
    planner: PlannerOption = Planner.headct,
    preset: PresetOption = None,
    recipe: RecipeOption = None,
    memory_gb: MemoryGb = None,
    window: Windows = None,
    pool: Pool = None,
    slice_spacing: SliceSpacing = None,
    slab: SlabOption = None,
    slab_range: SlabRangeOption = SlabRange.head,
    store: StoreOption = Store.npy,
    splits: SplitsOption = "stratified",
    patient_pattern: PatientPattern = None,
    patience: Patience = None,
    init: Init = None,
    train_cases: TrainCases = None,
    from_fingerprint: FromFingerprint = None,
    dataset_json: DatasetJson = None,
    dataset_name: DatasetName = None,
    out: PlansJson = None,
) -> None:
    """Decide networks, patches, steps and splits -> device.json, plan.json, splits.json, methods.md.

    Needs fingerprint.json in the run folder; nnU-Net's planners also write nnunet/ with files that nnU-Net reads. With
    --from-fingerprint, --dataset-json and --out it plans from nnU-Net's own files and writes nnU-Net's plans.json.
    """
    steps = make_steps(window, pool, slice_spacing, slab, slab_range)
    settings = make_settings(
        budget=budget,
        iterations=iterations,
        epochs=epochs,
        folds=folds,
        config=config.value,
        seed=seed,
        device=device.value,
        planner=planner,
        preset=preset,
        recipe=recipe,
        memory_gb=memory_gb,
        steps=steps,
        store=store.value,
        splits=make_splitting(splits, patient_pattern),
        patience=patience,
        train_cases=train_cases,
        **make_init(init),
    )
    files = (from_fingerprint, dataset_json, dataset_name, out)
    made, device_timing, target = _plan_either(run_dir, files, settings, dry_run=dry_run)
    _tell(made, device_timing, explain=explain)
    typer.echo("nothing was written: --dry-run" if target is None else f"-> {target}")


def _plan_either(
    run_dir: Path | None,
    files: tuple[Path | None, Path | None, str | None, Path | None],
    settings: "Settings",
    *,
    dry_run: bool,
) -> tuple["Plan", "DeviceTiming | None", Path | None]:
    """(plan, timing, file that it went to): of a run folder, or of nnU-Net's files and the data set's name."""
    if run_dir is not None:
        if any(file is not None for file in files):
            raise typer.BadParameter("--run and --from-fingerprint are two ways to plan: give one")
        made, device_timing = _plan_run(run_dir, settings, dry_run=dry_run)
        return made, device_timing, None if dry_run else run_dir / "plan.json"
    from_fingerprint, dataset_json, dataset_name, out = files
    if from_fingerprint is None or dataset_json is None or (out is None and not dry_run):
        raise typer.BadParameter("give --run DIR, or --from-fingerprint FILE --dataset-json FILE --out FILE")
    target = None if dry_run else out
    return _plan_files(from_fingerprint, dataset_json, dataset_name, target, settings), None, target


def _plan_run(run_dir: Path, settings: "Settings", *, dry_run: bool) -> tuple["Plan", "DeviceTiming"]:
    from hemoseg.pipeline.measure import check_device, check_settings, draft_plan, plan_stage

    folder = open_run(run_dir)
    check_device(settings)
    with bars() as watch:
        if dry_run:
            return draft_plan(folder, settings, watch)
        with folder.lock():
            folder.fingerprint()
            check_settings(folder, settings)
            return plan_stage(folder, settings, watch), folder.device()


def _plan_files(
    fingerprint: Path, dataset_json: Path, dataset_name: str | None, out: Path | None, settings: "Settings"
) -> "Plan":
    from hemoseg.errors import SettingsError
    from hemoseg.interop import plan_from_files
    from hemoseg.settings import Settings

    others = Settings(planner=settings.planner, memory_gb=settings.memory_gb).difference(settings)
    if others:
        raise SettingsError(
            f"options that plans.json does not know: {'; '.join(others)}",
            where="--from-fingerprint",
            expected="--planner and --memory-gb alone: the others need the images or a run",
            remedy="leave them out, or plan in a run folder: `hemoseg plan --run DIR`",
        )
    return plan_from_files(
        fingerprint,
        dataset_json,
        planner=settings.planner,
        memory_gb=settings.memory_gb,
        dataset_name=dataset_name,
        out=out,
    )


def _tell(made: "Plan", device: "DeviceTiming | None", *, explain: bool) -> None:
    from rich.console import Console

    from hemoseg.planning import explain_plan, summarize_plan

    Console(highlight=False).print((explain_plan if explain else summarize_plan)(made, device), markup=False)
