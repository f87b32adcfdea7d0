"""`run` and its stages, each resumable and each alone."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemoseg.cli.progress import RESEARCH_ONLY, bars, parse_duration, parse_folds
from hemoseg.cli.scans import Device

if TYPE_CHECKING:
    from hemoseg.pipeline.folder import RunFolder
    from hemoseg.settings import Settings


class Config(StrEnum):
    """Kinds of network."""

    auto = "auto"
    two_d = "2d"
    fullres = "3d_fullres"
    lowres = "3d_lowres"
    cascade = "cascade"


Dataset = Annotated[Path, typer.Argument(help="Data set in nnU-Net v2 raw layout: dataset.json, imagesTr/, labelsTr/.")]
RunDir = Annotated[Path, typer.Option("--run", help="Run folder: all that a run writes. Made if need be.")]
Budget = Annotated[
    str | None,
    typer.Option(help="Training time over all folds and configurations together, like 90s, 45m or 2h."),
]
Iterations = Annotated[
    int | None,
    typer.Option(min=1, help="Optimizer steps per fold and configuration; then no clock decides anything."),
]
Folds = Annotated[str, typer.Option(help="Folds of the 5-fold cross-validation to train: `0`, `0,1` or `all`.")]
ConfigOption = Annotated[
    Config,
    typer.Option(help="Kind of network; auto decides from the data. cascade trains 3d_lowres on all folds first."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of splits, weights and patches.")]


def run(
    dataset: Dataset,
    run_dir: RunDir,
    budget: Budget = None,
    iterations: Iterations = None,
    folds: Folds = "all",
    config: ConfigOption = Config.auto,
    seed: Seed = 0,
    device: Annotated[Device, typer.Option(help="Where networks are trained.")] = Device.cpu,
) -> None:
    """From labeled scans to a validated model, planned from the data and the time you give.

    The same command on the same folder resumes where it stopped. Without --budget and --iterations it trains
    nnU-Net's 250,000 steps per fold: days on a CPU.
    """
    from hemoseg.pipeline.story import run as run_story

    settings = _settings(budget, iterations, folds, config, seed, device)
    with bars() as watch:
        watch.say(RESEARCH_ONLY)
        page = run_story(dataset, run_dir, settings, watch=watch)
    _print_result(run_dir)
    typer.echo(
        f"report: {page}\nmodel:  {run_dir / 'model'}  (hemoseg segment SCAN --out DIR --model {run_dir / 'model'})"
    )


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


def plan(
    run_dir: RunDir,
    budget: Budget = None,
    iterations: Iterations = None,
    folds: Folds = "all",
    config: ConfigOption = Config.auto,
    seed: Seed = 0,
    device: Annotated[Device, typer.Option(help="Where networks will be trained.")] = Device.cpu,
) -> None:
    """Decide networks, patches, steps and splits -> device.json, plan.json, splits.json, methods.md.

    Needs fingerprint.json.
    """
    from hemoseg.pipeline.measure import check_device, plan_stage, settings_stage

    settings = _settings(budget, iterations, folds, config, seed, device)
    folder = open_run(run_dir)
    check_device(settings)
    with bars() as watch, folder.lock():
        folder.fingerprint()
        settings_stage(folder, settings)
        made = plan_stage(folder, settings, watch)
    for reason in made.reasons:
        typer.echo(f"- {reason.name} {reason.value}: {reason.why}")
    typer.echo(f"-> {folder.plan_file}")


def preprocess(run_dir: RunDir) -> None:
    """Put every case on the plan's grid -> cases/. Needs plan.json."""
    from hemoseg.pipeline.preprocess import preprocess_stage

    folder = open_run(run_dir)
    with bars() as watch, folder.lock():
        preprocess_stage(folder, folder.plan(), watch)
    typer.echo(f"-> {folder.path / 'cases'}")


def train(run_dir: RunDir) -> None:
    """Train every network of the plan -> CONFIG/fold_K/last.safetensors. Needs cases/.

    A cascade's second stage needs the first one's predictions: run train, validate, train.
    """
    from hemoseg.pipeline.learn import train_stage

    folder = open_run(run_dir)
    with bars() as watch, folder.lock():
        train_stage(folder, folder.plan(), folder.settings(), watch)
    typer.echo(f"-> {folder.path}")


def validate(run_dir: RunDir) -> None:
    """Predict the held-out cases of every fold -> CONFIG/fold_K/validation/. Needs trained folds."""
    from hemoseg.pipeline.learn import validate_stage

    folder = open_run(run_dir)
    with bars() as watch, folder.lock():
        validate_stage(folder, folder.plan(), folder.settings(), watch)
    typer.echo(f"-> {folder.path}")


def select(run_dir: RunDir) -> None:
    """Choose the networks by their out-of-fold predictions -> selection.json. Needs validation/."""
    from hemoseg.pipeline.conclude import select_stage

    folder = open_run(run_dir)
    with folder.lock():
        selection = select_stage(folder, folder.plan(), folder.settings())
    typer.echo(f"{selection.configuration}: {selection.reason} -> {folder.selection_file}")


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


def _settings(
    budget: str | None, iterations: int | None, folds: str, config: Config, seed: int, device: Device
) -> "Settings":
    from hemoseg.settings import Settings

    if budget is not None and iterations is not None:
        raise typer.BadParameter("--budget and --iterations exclude each other")
    return Settings(
        folds=parse_folds(folds),
        config=config.value,
        seed=seed,
        budget_s=None if budget is None else parse_duration(budget),
        iterations=iterations,
        device=device.value,
    )


def _print_result(run_dir: Path) -> None:
    import json

    from rich.console import Console

    from hemoseg.evaluation import format_table
    from hemoseg.pipeline.folder import RunFolder

    Console().print(format_table(json.loads(RunFolder(run_dir).evaluation_file.read_text())))
