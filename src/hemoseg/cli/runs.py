"""`run` and its stages, each resumable and each alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemoseg.cli.batches import ClusterOption
from hemoseg.cli.manner import ParallelFolds, TensorBoard, make_manner
from hemoseg.cli.options import (
    Budget,
    Config,
    ConfigOption,
    Dataset,
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
    RunDir,
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
from hemoseg.cli.progress import RESEARCH_ONLY, bars
from hemoseg.cli.selection import (
    Choice,
    ChoiceOption,
    Ensembles,
    Metric,
    MetricOption,
    Postprocessing,
    PostprocessingOption,
    selection_tables,
)

if TYPE_CHECKING:
    from rich.table import Table

    from hemoseg.pipeline.folder import RunFolder
    from hemoseg.pipeline.splits import FoldRow
    from hemoseg.training import Ranks


def run(
    dataset: Dataset,
    run_dir: RunDir,
    budget: Budget = None,
    iterations: Iterations = None,
    epochs: Epochs = None,
    folds: Folds = "all",
    config: ConfigOption = Config.auto,
    seed: Seed = 0,
    device: Annotated[Device, typer.Option(help="Where networks are trained.")] = Device.cpu,
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
    tensorboard: TensorBoard = False,
    parallel_folds: ParallelFolds = 1,
) -> None:
    """From labeled scans to a validated model, planned from the data and the time you give.

    The same command on the same folder resumes where it stopped. Without --budget, --iterations and --epochs it
    trains nnU-Net's 250,000 steps per fold: days on a CPU.
    """
    from hemoseg.pipeline.story import run as run_story

    manner = make_manner(tensorboard=tensorboard, parallel_folds=parallel_folds)
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
        steps=make_steps(window, pool, slice_spacing, slab, slab_range),
        store=store.value,
        splits=make_splitting(splits, patient_pattern),
        patience=patience,
        train_cases=train_cases,
        **make_init(init),
    )
    with bars() as watch:
        watch.say(RESEARCH_ONLY)
        page = run_story(dataset, run_dir, settings, watch=watch, manner=manner)
    _print_result(run_dir)
    _print_where(page, run_dir / "model")


def fingerprint(dataset: Dataset, run_dir: RunDir) -> None:
    """Measure a data set: spacings, head sizes, HU, lesion volumes -> fingerprint.json."""
    from hemoseg.datasets import index_dataset
    from hemoseg.pipeline.fingerprint import fingerprint_stage
    from hemoseg.pipeline.folder import RunFolder

    folder = RunFolder(run_dir)
    with bars() as watch, folder.lock():
        found = fingerprint_stage(folder, index_dataset(dataset), watch)
    spacing = " x ".join(f"{value:g}" for value in found.spacing_mm)
    typer.echo(f"{len(found.cases)} cases, median spacing {spacing} mm (z, y, x) -> {folder.fingerprint_file}")


def splits(run_dir: RunDir) -> None:
    """Show what each fold holds out: patients, cases, empty ones, classes, volume. Needs splits.json."""
    from rich.console import Console

    from hemoseg.pipeline.splits import check_run_leaks, fold_rows

    folder = open_run(run_dir)
    check_run_leaks(folder)
    Console().print(_fold_table(fold_rows(folder)))
    typer.echo("no patient is in two folds")


def preprocess(run_dir: RunDir, cluster: ClusterOption = None) -> None:
    """Put every case on the plan's grid -> cases/. Needs plan.json."""
    from hemoseg.pipeline.preprocess import preprocess_stage

    folder = open_run(run_dir)
    with bars() as watch, folder.lock():
        preprocess_stage(folder, folder.plan(), watch, cluster=cluster)
    typer.echo(f"-> {folder.path / 'cases'}")


def train(run_dir: RunDir, tensorboard: TensorBoard = False, parallel_folds: ParallelFolds = 1) -> None:
    """Train every network of the plan -> CONFIG/fold_K/last.safetensors. Needs cases/.

    A cascade's second stage needs the first one's predictions: run train, validate, train. Started by torchrun,
    processes share each batch.
    """
    from hemoseg.pipeline.learn import check_ranks, missing_of, train_stage
    from hemoseg.pipeline.measure import check_device
    from hemoseg.pipeline.out_of_fold import jobs
    from hemoseg.pipeline.patience import say_patience
    from hemoseg.pipeline.watch import Silent
    from hemoseg.training import joined

    manner = make_manner(tensorboard=tensorboard, parallel_folds=parallel_folds)
    folder = open_run(run_dir)
    plan, settings = folder.plan(), folder.settings()
    check_device(settings)
    with joined(settings.device) as ranks:
        with _told_once(ranks):
            check_ranks(missing_of(folder, jobs(plan, settings)), ranks, at_once=parallel_folds)
        if not ranks.is_first:
            train_stage(folder, plan, settings, Silent(), manner=manner, ranks=ranks)
            return
        with bars() as watch, folder.lock():
            say_patience(plan, settings, watch)
            train_stage(folder, plan, settings, watch, manner=manner, ranks=ranks)
    typer.echo(f"-> {folder.path}")


@contextmanager
def _told_once(ranks: "Ranks") -> Iterator[None]:
    """Of what all ranks refuse alike the first one tells, before torchrun ends any."""
    from hemoseg.cli.failures import print_failure
    from hemoseg.errors import SettingsError

    try:
        yield
    except SettingsError as error:
        if ranks.is_first:
            print_failure(error)
        ranks.wait()
        raise typer.Exit(error.exit_code) from error


def validate(run_dir: RunDir) -> None:
    """Predict the held-out cases of every fold -> CONFIG/fold_K/validation/. Needs trained folds."""
    from hemoseg.pipeline.validate import validate_stage

    folder = open_run(run_dir)
    with bars() as watch, folder.lock():
        validate_stage(folder, folder.plan(), folder.settings(), watch)
    typer.echo(f"-> {folder.path}")


def select(
    run_dir: RunDir,
    rule: ChoiceOption = Choice.simplest,
    metric: MetricOption = Metric.dice,
    ensembles: Ensembles = 2,
    postprocessing: PostprocessingOption = None,
) -> None:
    """Choose networks, and rules after them, by out-of-fold predictions -> selection.json. Needs validation/.

    All configurations and averages of them are compared; a rule stays only if it helps.
    """
    from rich.console import Console

    from hemoseg.pipeline.select import SelectOptions, select_stage

    chosen = postprocessing or (Postprocessing.nnunet if rule is Choice.nnunet else Postprocessing.all)
    if metric is not Metric.dice and (rule is Choice.nnunet or chosen.value.startswith("nnunet")):
        raise typer.BadParameter("nnU-Net's rules compare Dice: leave out --metric")
    options = SelectOptions(rule=rule.value, metric=metric.value, largest=ensembles, postprocessing=chosen.value)
    folder = open_run(run_dir)
    with bars() as watch, folder.lock():
        selection = select_stage(folder, folder.plan(), folder.settings(), watch, options)
    console = Console()
    for table in selection_tables(selection):
        console.print(table)
    typer.echo(f"{selection.title}: {selection.reason} -> {folder.selection_file}\n{RESEARCH_ONLY}")


def open_run(run_dir: Path) -> "RunFolder":
    """The run folder, which must be there already."""
    from hemoseg.errors import ArtifactError
    from hemoseg.pipeline.folder import RunFolder

    if not run_dir.is_dir():
        raise ArtifactError(
            "no such folder",
            where=run_dir,
            expected="a run folder",
            remedy="begin one with `hemoseg fingerprint DATASET --run DIR` or `hemoseg run DATASET --run DIR`",
        )
    return RunFolder(run_dir)


def _fold_table(rows: "list[FoldRow]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    classes = list(rows[0].with_class)
    table = Table("fold")
    for title in ("patients", "cases", "empty", *(f"with {escape(name)}" for name in classes), "by volume"):
        table.add_column(title, justify="right")
    for number, row in enumerate(rows):
        counts = (row.patients, row.cases, row.empty, *(row.with_class[name] for name in classes))
        table.add_row(str(number), *map(str, counts), " ".join(map(str, row.by_volume)))
    return table


def _print_where(page: Path, model: Path) -> None:
    typer.echo(f"report: {page}\nmodel:  {model}  (hemoseg segment SCAN --out DIR --model {model})")


def _print_result(run_dir: Path) -> None:
    import json

    from rich.console import Console

    from hemoseg.evaluation import format_table
    from hemoseg.pipeline.folder import RunFolder

    Console().print(format_table(json.loads(RunFolder(run_dir).evaluation_file.read_text())))
