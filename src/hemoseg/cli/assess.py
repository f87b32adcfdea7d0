"""`check` and `report`: looking at data and at runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemoseg.cli.progress import RESEARCH_ONLY, bars

if TYPE_CHECKING:
    from hemoseg.datasets.doctor import CheckResult, Repair


def check(
    dataset: Annotated[
        Path, typer.Argument(help="Data set in nnU-Net v2 raw layout: dataset.json, imagesTr/, labelsTr/.")
    ],
    fix: Annotated[
        Path | None, typer.Option(help="Folder for a repaired data set; only what is certain is repaired.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="HTML page to write, with pictures of flagged slices.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON on stdout.")] = False,
) -> None:
    """Look for defects of a data set before training on it; exit code 2 if there is an error."""
    from hemoseg.artifacts import dump_json
    from hemoseg.datasets import record_lines
    from hemoseg.pipeline.doctor import check_dataset, fix_dataset
    from hemoseg.pipeline.doctor_page import write_page

    repairs: tuple[Repair, ...] = ()
    left: CheckResult | None = None
    with bars() as watch:
        found = check_dataset(dataset, watch)
        if fix is not None:
            repairs = fix_dataset(found, fix, watch)
            left = check_dataset(fix, watch).result
        result = found.result.model_copy(update={"repairs": repairs, "left": left and left.counts})
        if html is not None:
            write_page(html, found, result, watch)
    if as_json:
        typer.echo(dump_json(result.model_dump(mode="json")), nl=False)
    else:
        for line in record_lines(found.survey.record):
            typer.echo(line)
        _tell(result, fix)
    if (left or result).counts["error"]:
        raise typer.Exit(2)


def _tell(result: "CheckResult", fix: Path | None) -> None:
    """The findings as one table, and what was repaired."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("code", "severity", "case", "found", "remedy")
    for row in result.rows:
        table.add_row(*map(escape, (row.code, row.severity, row.where, row.text, row.remedy)))
    if result.rows:
        Console().print(table)
    errors, others = result.counts["error"], result.counts["warning"] + result.counts["note"]
    typer.echo(f"{result.dataset}: {result.cases} cases, {errors} errors, {others} other findings. {RESEARCH_ONLY}")
    for repair in result.repairs:
        typer.echo(f"fixed {repair.case or 'data set'}, {repair.code}: {repair.done}")
    if fix is not None and result.left is not None:
        typer.echo(f"{len(result.repairs)} repairs -> {fix}; errors left: {result.left['error']}")


def report(
    run_dir: Annotated[Path, typer.Option("--run", help="Run folder with evaluation.json.")],
) -> None:
    """Write the page of a run: data, plan, curves, results, pictures -> report.html, report.json; and model/."""

    from hemoseg.cli.runs import open_run
    from hemoseg.pipeline.conclude import bundle_stage
    from hemoseg.pipeline.page import report_stage

    folder = open_run(run_dir)
    with folder.lock():
        plan = folder.plan()
        bundle_stage(folder)
        page = report_stage(folder, plan)
    typer.echo(f"report: {page}\nmodel:  {folder.model}")


def bundle(
    run_dir: Annotated[Path, typer.Option("--run", help="Run folder with evaluation.json.")],
    name: Annotated[str, typer.Option(help="Name of the model: letters, digits, dots, hyphens, underscores.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle; an older bundle in it goes.")],
) -> None:
    """Write the model of a run as a bundle that `segment --model` takes: weights, plan, card, hashes."""
    from hemoseg.cli.runs import open_run
    from hemoseg.models import open_bundle
    from hemoseg.pipeline.conclude import bundle_stage

    folder = open_run(run_dir)
    with folder.lock():
        written = open_bundle(bundle_stage(folder, name=name, out=out))
    typer.echo(f"{name}: {len(written.manifest.files)} files, SHA-256 {written.sha256} -> {out}")
