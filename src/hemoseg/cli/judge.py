"""`evaluate`, `compare` and `rank`: predictions against references, and results against each other."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hemoseg.cli.progress import RESEARCH_ONLY, bars

if TYPE_CHECKING:
    from hemoseg.evaluation.many import Progress


class ProtocolName(StrEnum):
    """Sets of metrics."""

    EXTENDED = "extended"
    INSTANCE2022 = "instance2022"
    NNUNET = "nnunet"
    DETECTION = "detection"


def evaluate(
    predictions: Annotated[
        Path | None, typer.Argument(help="Folder of CASE.nii.gz or CASE/mask.nii.gz; leave out with --run.")
    ] = None,
    references: Annotated[
        Path | None,
        typer.Argument(help="Folder of CASE.nii.gz; for the protocol detection, a data set with hemoseg.json."),
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="Set of metrics: the challenge's, nnU-Net's, ours, or detection by slice.")
    ] = ProtocolName.EXTENDED,
    labels: Annotated[
        Path | None, typer.Option(help="dataset.json with the class names; else the one beside REFERENCES.")
    ] = None,
    tolerances: Annotated[
        str | None, typer.Option(help="Tolerances of surface Dice in mm, like 0.42,1,2 (the default); extended only.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Also write the cases as CSV beside the JSON file.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Also write a page beside the JSON file.")] = False,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run", help="Evaluate a run's out-of-fold predictions -> evaluation.json."),
    ] = None,
) -> None:
    """Compare predictions with references: overlap, surfaces, volumes, lesions, detection, with intervals."""
    if run_dir is not None:
        given = (predictions, references, out, labels, tolerances)
        if any(value is not None for value in given) or protocol != ProtocolName.EXTENDED or csv or html:
            raise typer.BadParameter("--run stands alone: its predictions, references and labels are known")
        _evaluate_run(run_dir)
        return
    if predictions is None or references is None or out is None:
        raise typer.BadParameter("give PREDICTIONS REFERENCES --out FILE, or --run DIR")
    if out.suffix != ".json":
        raise typer.BadParameter(f"--out {out}: its name has to end in .json")
    if tolerances is not None and protocol != ProtocolName.EXTENDED:
        raise typer.BadParameter(f"--tolerances belongs to the protocol extended; {protocol} has its own")
    with bars() as watch:

        def progress(done: int, total: int, case: str) -> None:
            if done == 1:
                watch.begin("evaluate", total)
            watch.advance(done, case)

        result, text = _measure(protocol, predictions, references, labels, tolerances, progress)
    _write(result, text, out, csv=csv, html=html)
    _show(result, out)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="Result of the first model.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="Result of the second, on the same cases.")],
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Say which of two models is better on the same cases, and whether that is more than chance."""
    from rich.console import Console

    from hemoseg.artifacts import write_json
    from hemoseg.evaluation import compare_results, comparison_table, read_result

    names = _names([a, b])
    comparison = compare_results(read_result(a), read_result(b), names=(names[0], names[1]))
    if out is not None:
        write_json(out, comparison)
    Console().print(comparison_table(comparison))
    for line in comparison["verdict"]:
        typer.echo(line)
    typer.echo(RESEARCH_ONLY)


def rank(
    results: Annotated[
        list[Path], typer.Argument(metavar="TEAM.json...", help="Results of `evaluate --protocol instance2022`.")
    ],
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Rank several teams as the INSTANCE 2022 challenge did."""
    from dataclasses import asdict

    from rich.console import Console

    from hemoseg.artifacts import write_json
    from hemoseg.evaluation import rank_results, rank_table, read_result
    from hemoseg.evaluation.rank import RULE

    places = rank_results({name: read_result(path) for name, path in zip(_names(results), results, strict=True)})
    if out is not None:
        write_json(out, {"version": 1, "rule": RULE, "places": [asdict(place) for place in places]})
    Console().print(rank_table(places))
    typer.echo(f"{RULE[0].upper()}{RULE[1:]}.\n{RESEARCH_ONLY}")


def _measure(
    protocol: ProtocolName,
    predictions: Path,
    references: Path,
    labels: Path | None,
    tolerances: str | None,
    progress: "Progress",
) -> tuple[dict[str, Any], str]:
    """The result in the form of metrics.json, and the text of the file to write."""
    from hemoseg.artifacts import dump_json
    from hemoseg.evaluation import (
        TOLERANCES_MM,
        dump_summary,
        evaluate_as_nnunet,
        evaluate_challenge,
        evaluate_detection,
        evaluate_folders,
        find_patients,
        from_summary,
    )

    if protocol == ProtocolName.NNUNET:
        summary = evaluate_as_nnunet(predictions, references, labels=labels, progress=progress)
        return from_summary(summary, find_patients(references, labels)), dump_summary(summary)
    if protocol == ProtocolName.EXTENDED:
        wanted = TOLERANCES_MM if tolerances is None else _parse_tolerances(tolerances)
        result = evaluate_folders(predictions, references, labels=labels, tolerances_mm=wanted, progress=progress)
    elif protocol == ProtocolName.INSTANCE2022:
        result = evaluate_challenge(predictions, references, labels=labels, progress=progress)
    else:
        result = evaluate_detection(predictions, references, labels=labels, progress=progress)
    return result, dump_json(result)


def _parse_tolerances(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"--tolerances {text}: give millimeters with commas, like 0.42,1,2") from error


def _evaluate_run(run_dir: Path) -> None:
    from hemoseg.cli.runs import open_run
    from hemoseg.pipeline.conclude import evaluate_stage

    folder = open_run(run_dir)
    with folder.lock():
        result = evaluate_stage(folder)
    _show(result, folder.evaluation_file)


def _write(result: dict[str, Any], text: str, out: Path, *, csv: bool, html: bool) -> None:
    from hemoseg.artifacts import write_text

    if csv:
        from hemoseg.evaluation import cases_csv

        write_text(out.with_suffix(".csv"), cases_csv(result))
    if html:
        from hemoseg.report.metrics import metrics_page

        write_text(out.with_suffix(".html"), metrics_page(result, title=f"Evaluation: {out.stem}"))
    write_text(out, text)


def _show(result: dict[str, Any], target: Path) -> None:
    from rich.console import Console

    from hemoseg.evaluation import format_table

    Console().print(format_table(result))
    for warning in result["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{len(result['cases'])} cases -> {target}\n{RESEARCH_ONLY}")


def _names(paths: list[Path]) -> list[str]:
    """What to call results: their files' names, or whole paths, with a number where a file is given twice."""
    numbered = [f"{path} ({number})" for number, path in enumerate(paths, 1)]
    for names in ([path.stem for path in paths], [str(path) for path in paths]):
        if len(set(names)) == len(names):
            return names
    return numbered
