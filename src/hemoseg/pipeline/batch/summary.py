"""`summary.csv`: a row for each class of each scan."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from hemoseg.artifacts import write_text
from hemoseg.pipeline.batch.record import Event

TOTAL = "hemorrhage"
"""All bleeding classes together; a class of this name is among them."""
COLUMNS = ("scan", "class", "ml", "low_ml", "high_ml", "interval_level", "warnings", "status", "seconds", "error")


def summary_name(shard: tuple[int, int] | None) -> str:
    """File name of a summary: the whole batch's, or that of shard (number, count)."""
    return "summary.csv" if shard is None else f"summary-{shard[0]}-of-{shard[1]}.csv"


def write_summary(path: Path, rows: Sequence[tuple[str, Event | None]]) -> None:
    """Write the table, whole or not at all.

    A scan that is done has a row for each class, that of all bleeding classes together first; any other has one row
    without a class.

    Args:
        path: the file.
        rows: (scan, what became of it; None if nothing has), in the order of the table.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for name, event in rows:
        table.writerows({"scan": name} | row for row in _rows(event))
    write_text(path, text.getvalue())


def _rows(event: Event | None) -> list[dict[str, str | float]]:
    """What is known of a scan, by class and column."""
    if event is not None and event.status == "failed" and event.error is not None:
        return [{"status": "failed", "error": event.error[0]}]
    if event is None or event.report is None:
        return [{"status": "waiting"}]
    report = event.report
    level = report["interval"]["level"]
    of_scan: dict[str, str | float] = {
        "interval_level": "" if level is None else level,
        "warnings": "; ".join(report["warnings"]),
        "status": "done",
        "seconds": f"{event.seconds:.3f}",
    }
    volumes = {name: ml for name, ml in report["volume_ml"].items() if name != TOTAL}
    intervals = report["interval"]["volume_ml"] | {TOTAL: report["interval"]["hemorrhage_ml"]}
    rows = []
    for name, ml in [(TOTAL, report["hemorrhage_ml"]), *volumes.items()]:
        low_ml, high_ml = intervals[name] or ("", "")
        rows.append(of_scan | {"class": name, "ml": ml, "low_ml": low_ml, "high_ml": high_ml})
    return rows
