"""Results as tables: for the terminal, and as CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from hemoseg.datasets.sources import ANY
from hemoseg.evaluation.rank import BETTER_HIGH, Place

KEY_METRICS = ("dice", "nsd_0.42mm", "nsd_1mm", "hd95_mm", "rvd", "volume_error_ml", "lesion_f1")
"""What a page or a card has room for; the file has all."""


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """A result of the extended protocol with its key metrics alone, and without `any` where one class alone bleeds."""
    means = result["mean"]
    classes = [name for name in means if name != ANY or not _is_double(means)]
    chosen = {name: [metric for metric in KEY_METRICS if metric in means[name]] for name in classes}

    def cut(of_class: dict[str, Any], *more: str) -> dict[str, Any]:
        return {
            name: {key: of_class[name][key] for key in (*chosen[name], *more) if key in of_class[name]}
            for name in classes
        }

    cases = [{**case, "classes": cut(case["classes"], "note")} for case in result["cases"]]
    return {**result, "mean": cut(means), "cases": cases}


def _is_double(means: dict[str, Any]) -> bool:
    """Whether `any` has the means of another class: it is that class."""
    return any(means[ANY] == found for name, found in means.items() if name != ANY)


def format_table(result: dict[str, Any]) -> Table:
    """The means of an evaluation, one row per class and metric: mean, 95 % interval, n.

    Args:
        result: what `evaluate_folders` returns.
    """
    cases = len(result["cases"])
    table = Table(title=f"Protocol {result['protocol']}, {cases} case{'' if cases == 1 else 's'}")
    table.add_column("class")
    table.add_column("metric")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("n", justify="right")
    for name, metrics in result["mean"].items():
        for row, (metric, mean) in enumerate(metrics.items()):
            table.add_row("" if row else escape(name), metric, *_cells(mean))
        table.add_section()
    return table


def comparison_table(comparison: dict[str, Any]) -> Table:
    """The differences of two results, one row per class and metric."""
    table = Table(title=f"Protocol {comparison['protocol']}, {comparison['cases']} cases", caption=comparison["method"])
    for heading in ("class", "metric"):
        table.add_column(heading)
    for heading in (f"A: {comparison['a']}", f"B: {comparison['b']}", "B − A", "95 % interval", "p", "patients"):
        table.add_column(escape(heading), justify="right")
    last = None
    for row in comparison["differences"]:
        low, high = row["difference"]["low"], row["difference"]["high"]
        interval = "–" if low is None else f"[{low:+.3f}, {high:+.3f}]"
        p = "–" if row["p"] is None else f"{row['p']:.3g}"
        numbers = (_number(row["mean_a"]), _number(row["mean_b"]), _number(row["difference"]["value"], signed=True))
        name = "" if row["class_name"] == last else escape(row["class_name"])
        table.add_row(name, row["metric"], *numbers, interval, p, str(row["difference"]["n"]))
        last = row["class_name"]
    return table


def rank_table(places: Sequence[Place]) -> Table:
    """Teams by place, with mean and rank of each metric."""
    table = Table("place", "team")
    for heading in ("mean rank", *BETTER_HIGH):
        table.add_column(heading, justify="right")
    for found in places:
        cells = [f"{_number(found.means[name], digits=4)} ({found.ranks[name]})" for name in BETTER_HIGH]
        table.add_row(str(found.place), escape(found.team), f"{found.mean_rank:.2f}", *cells)
    return table


def cases_csv(result: dict[str, Any]) -> str:
    """One line per case and class, one column per metric; empty where undefined, and then the note says why."""
    metrics = dict.fromkeys(
        metric
        for case in result["cases"]
        for scores in case["classes"].values()
        for metric in scores
        if metric != "note"
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", "class", *metrics, "note"])
    for case in result["cases"]:
        for name, scores in case["classes"].items():
            values = ["" if scores.get(metric) is None else scores[metric] for metric in metrics]
            writer.writerow([case["case"], case.get("patient", case["case"]), name, *values, scores.get("note", "")])
    return text.getvalue()


def _cells(mean: dict[str, Any]) -> tuple[str, str, str]:
    if mean["value"] is None:
        return "–", "–", str(mean["n"])
    return f"{mean['value']:.3f}", f"[{mean['low']:.3f}, {mean['high']:.3f}]", str(mean["n"])


def _number(value: float | None, *, signed: bool = False, digits: int = 3) -> str:
    if value is None:
        return "–"
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
