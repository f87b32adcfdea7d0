"""`nnunet import-model`, `nnunet export-model` and `export-onnx`: models of others here, and ours there."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hemoseg.cli.progress import RESEARCH_ONLY

app = typer.Typer(name="nnunet", help="Models of nnU-Net here, and ours there.", no_args_is_help=True)


class CheckpointName(StrEnum):
    """nnU-Net's checkpoints of a fold."""

    final = "final"
    best = "best"
    latest = "latest"


@app.command("import-model")
def import_model(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="nnU-Net v2's results of one configuration: TRAINER__PLANS__CONFIGURATION."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the bundle, which `segment --model` takes.")],
    folds: Annotated[
        str | None, typer.Option(help="Folds to take, like `0` or `0,1`; all that are there if absent.")
    ] = None,
    checkpoint: Annotated[CheckpointName, typer.Option(help="Which checkpoint of each fold.")] = CheckpointName.final,
    previous: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Of a cascade: its previous stage's results; beside FOLDER if absent."),
    ] = None,
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", metavar="FOLDER", help="Another model of the same labels to average with; repeatable."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model; that of data set and configurations if absent.")
    ] = None,
) -> None:
    """Turn a trained model of nnU-Net v2 into a bundle: the same weights, preparation, folds and mirroring.

    Nothing that a checkpoint holds is run: a file that names other functions than tensors and numbers need is refused.
    """
    from rich.console import Console

    from hemoseg.interop import import_model as make
    from hemoseg.models import open_bundle

    Console(stderr=True, highlight=False).print(RESEARCH_ONLY, style="bold")
    made = make(
        folder,
        out,
        folds=None if folds is None else _parse_folds(folds),
        checkpoint=checkpoint.value,
        previous=previous,
        others=others or (),
        name=name,
    )
    for configuration, numbers in made.folds.items():
        listed = "all cases" if made.trained_on_all else f"folds {', '.join(map(str, numbers))}"
        typer.echo(f"{configuration}: {listed}")
    for doubt in open_bundle(out).plan.doubts:
        typer.echo(f"doubt: {doubt}", err=True)
    typer.echo(f"-> {out}: hemoseg segment SCAN --model {shlex.quote(str(out))} --out DIR")


@app.command("export-model")
def export_model(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, like RUN/model.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The data set's folder in nnU-Net's results, like Dataset001_NAME.")
    ],
) -> None:
    """Write a bundle as nnU-Net v2's results folders, for `nnUNetv2_predict_from_modelfolder` or `nnUNetv2_predict`."""
    from rich.console import Console

    from hemoseg.interop import export_model as make

    Console(stderr=True, highlight=False).print(RESEARCH_ONLY, style="bold")
    for path in make(bundle, out):
        typer.echo(f"-> {path}")


def export_onnx(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or the name of an embedded model.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must not be there yet.")],
) -> None:
    """Write a model's networks as ONNX with contract.json: all that is done before and after them. Needs onnx."""
    from rich.console import Console

    from hemoseg.interop import export_onnx as make

    Console(stderr=True, highlight=False).print(RESEARCH_ONLY, style="bold")
    for network in make(bundle, out).networks:
        typer.echo(f"{network.file}: logits within {network.largest_difference:.1g} of torch's")
    typer.echo(f"-> {out}")


def _parse_folds(text: str) -> tuple[int, ...]:
    """Fold numbers as nnU-Net counts them; a training may have any number of folds."""
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--folds {text}: give numbers like 0 or 0,1")
    return tuple(sorted({int(part) for part in parts}))
