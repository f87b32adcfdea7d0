"""`check` and `report`: looking at data and at runs."""

from pathlib import Path
from typing import Annotated

import typer

from hemoseg.cli.progress import bars


def check(
    dataset: Annotated[
        Path, typer.Argument(help="Data set in nnU-Net v2 raw layout: dataset.json, imagesTr/, labelsTr/.")
    ],
) -> None:
    """Look for defects of a data set before training on it; exit code 2 if there is an error."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from hemoseg.datasets import check_dataset, index_dataset, record_lines

    found = index_dataset(dataset)
    for line in record_lines(found.sources):
        typer.echo(line)
    with bars() as watch:
        watch.begin("check", len(found.cases))
        rows = check_dataset(found, progress=lambda done, _total, name: watch.advance(done, name))
    table = Table("case", "severity", "found", "remedy")
    for row in rows:
        table.add_row(*map(escape, (row.case, row.severity, row.found, row.remedy)))
    console = Console()
    if rows:
        console.print(table)
    errors = sum(row.severity == "error" for row in rows)
    typer.echo(f"{found.name}: {len(found.cases)} cases, {errors} errors, {len(rows) - errors} other findings")
    if errors:
        raise typer.Exit(2)


def report(
    run_dir: Annotated[Path, typer.Option("--run", help="Run folder with evaluation.json.")],
) -> None:
    """Write the page of a run: data, plan, curves, results, pictures -> report.html; and model/."""

    from hemoseg.cli.runs import open_run
    from hemoseg.pipeline.conclude import bundle_stage
    from hemoseg.pipeline.page import report_stage

    folder = open_run(run_dir)
    with folder.lock():
        plan = folder.plan()
        bundle_stage(folder)
        page = report_stage(folder, plan)
    typer.echo(f"report: {page}\nmodel:  {folder.model}")
