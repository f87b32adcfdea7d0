"""`import` and `merge`: labeled scans brought into one layout."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemoseg.cli.progress import bars

if TYPE_CHECKING:
    from hemoseg.pipeline.imports import Built


class Format(StrEnum):
    """Layouts that can be imported."""

    instance22 = "instance22"
    ct_ich = "ct-ich"
    bhsd = "bhsd"
    pairs = "pairs"
    nnunet_v1 = "nnunet-v1"


class To(StrEnum):
    """What classes are joined to."""

    any = "any"


def import_data(
    format_: Annotated[Format, typer.Argument(metavar="FORMAT", help=", ".join(Format))],
    source: Annotated[Path, typer.Argument(help="Folder of the data as published; of the images for `pairs`.")],
    dataset: Annotated[Path, typer.Argument(help="The new data set, a folder in nnU-Net v2 raw layout.")],
    masks: Annotated[Path | None, typer.Option(help="`pairs`: folder of the masks, named as the images.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="`pairs`: class NAME=NUMBER in the masks, once per class; else hemorrhage is 1 or 255."),
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="`pairs`, `nnunet-v1`: terms of the data, for the record.")
    ] = None,
    citation: Annotated[
        str | None, typer.Option(help="`pairs`, `nnunet-v1`: what a paper has to cite, for the record.")
    ] = None,
    fill_missing: Annotated[
        bool, typer.Option("--fill-missing", help="Fill missing slices from their neighbors, label them `ignore`.")
    ] = False,
    repair_frames: Annotated[
        bool,
        typer.Option("--repair-frames", help="Where scan and mask differ in place alone, use the scan's matrix."),
    ] = False,
) -> None:
    """Bring a published data set, or folders of your own, into nnU-Net v2 raw layout; the source stays as it is.

    The record hemoseg.json says where cases come from, under which terms, and what each annotates. The same command
    resumes after a kill.
    """
    from hemoseg.datasets.importers import ImportRequest
    from hemoseg.pipeline.imports import import_stage

    own = (Format.pairs, Format.nnunet_v1)
    if format_ is not Format.pairs and (masks is not None or label):
        raise typer.BadParameter("--masks and --label belong to the format pairs")
    if format_ not in own and (license_ is not None or citation is not None):
        raise typer.BadParameter(f"--license and --citation belong to the formats {' and '.join(own)}")
    request = ImportRequest(
        format=format_.value,
        source=source,
        masks=None if masks is None else masks.resolve(),
        labels=tuple(_parse_label(text) for text in label or ()),
        license=license_,
        citation=citation,
        fill_missing=fill_missing,
        repair_frames=repair_frames,
    )
    with bars() as watch:
        built = import_stage(request, dataset, watch)
    _tell(built, dataset)


def merge(
    first: Annotated[Path, typer.Argument(metavar="A", help="A data set in nnU-Net v2 raw layout.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new data set.")],
    to: Annotated[To | None, typer.Option(help="`any`: all kinds of blood become one class, hemorrhage.")] = None,
) -> None:
    """Join two data sets in the classes that both annotate, or in blood of any kind; A and B stay as they are."""
    from hemoseg.datasets.importers import MergeRequest
    from hemoseg.pipeline.imports import merge_stage

    with bars() as watch:
        built = merge_stage(MergeRequest(first=first, second=second, to_any=to is To.any), out, watch)
    _tell(built, out)


def _parse_label(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not (name.strip() and number.strip().isdecimal()):
        raise typer.BadParameter(f"'{text}' is no class; give it like --label iph=2")
    return name.strip(), int(number)


def _tell(built: "Built", dataset: Path) -> None:
    """The result on stdout, what is doubtful on stderr."""
    from hemoseg.datasets import source_text

    record = built.record
    for text in record.warnings:
        typer.echo(f"warning: {text}", err=True)
    typer.echo(f"{built.labeled} labeled cases, {built.held_back} scans in imagesTs -> {dataset}")
    typer.echo(f"files: {built.linked} linked, {built.written} written")
    ignored, (filled, _) = sum(len(notes.ignored_slices) for notes in record.cases.values()), record.filled
    if ignored or filled:
        typer.echo(f"slices of labeled cases: {ignored} ignored, of which {filled} filled")
    if record.bounds_hu is not None:
        low, high = record.bounds_hu
        typer.echo(f"intensity: pseudo-HU in [{low:g}, {high:g}]")
    for source in record.sources:
        typer.echo(source_text(source))
