"""`summary.csv`: one row for each scan."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from hemoseg.artifacts import write_text
from hemoseg.pipeline.batch.record import Event

TOTAL = "hemorrhage"
"""All bleeding classes together; a class of this name is among them."""


def summary_name(shard: tuple[int, int] | None) -> str:
    """File name of a summary: the whole batch's, or that of shard (number, count)."""
    return "summary.csv" if shard is None else f"summary-{shard[0]}-of-{shard[1]}.csv"


def write_summary(path: Path, rows: Sequence[tuple[str, Event | None]], classes: Iterable[str]) -> None:
    """Write the table, whole or not at all.

    Args:
        path: the file.
        rows: (scan, what became of it; None if nothing has), in the order of the rows.
        classes: names of the model's classes; they make the columns, so that those of shards are the same.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    named = [TOTAL, *(name for name in classes if name != TOTAL)]
    volumes = [f"{name}_{end}" for name in named for end in ("ml", "low_ml", "high_ml")]
    text = io.StringIO()
    table = csv.DictWriter(
        text,
        ["scan", "status", *volumes, "interval_level", "warnings", "seconds", "error"],
        restval="",
        extrasaction="ignore",
        lineterminator="\n",
    )
    table.writeheader()
    for name, event in rows:
        known = {} if event is None else _cells(event)
        table.writerow({"scan": name, "status": "waiting"} | known)
    write_text(path, text.getvalue())


def _cells(event: Event) -> dict[str, str | float]:
    """What is known of a scan, by column."""
    if event.status == "failed" and event.error is not None:
        return {"status": "failed", "error": event.error[0]}
    if event.report is None:
        return {}
    report = event.report
    cells: dict[str, str | float] = {
        "status": "done",
        "warnings": "; ".join(report["warnings"]),
        "seconds": f"{event.seconds:.3f}",
        "interval_level": "" if report["interval"]["level"] is None else report["interval"]["level"],
    }
    volumes = report["volume_ml"] | {TOTAL: report["hemorrhage_ml"]}
    intervals = report["interval"]["volume_ml"] | {TOTAL: report["interval"]["hemorrhage_ml"]}
    for name, ml in volumes.items():
        low_ml, high_ml = intervals[name] or ("", "")
        cells |= {f"{name}_ml": ml, f"{name}_low_ml": low_ml, f"{name}_high_ml": high_ml}
    return cells
