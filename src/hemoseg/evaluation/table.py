"""An evaluation as a table for the terminal."""

from typing import Any

from rich.markup import escape
from rich.table import Table


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


def _cells(mean: dict[str, Any]) -> tuple[str, str, str]:
    if mean["value"] is None:
        return "–", "–", "0"
    return f"{mean['value']:.3f}", f"[{mean['low']:.3f}, {mean['high']:.3f}]", str(mean["n"])
