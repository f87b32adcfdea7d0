"""Options of `segment` for many scans, and the batch that they make."""

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hemoseg.errors import HemosegError
    from hemoseg.pipeline.batch.sources import Found
    from hemoseg.scale import Executor

MANY = "Many scans"
LIMIT_OF_MANY = "1h"
"""Time that each of many scans may take."""


class Layout(StrEnum):
    """How results lie."""

    folders = "folders"
    flat = "flat"


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SCAN...",
        help="NIfTI files (.nii or .nii.gz), folders of them, patterns in quotes like 'DIR/**/*.nii.gz', or csv tables "
        "with a column `path` and perhaps `name`.",
        show_default=False,
    ),
]
LayoutOption = Annotated[
    Layout,
    typer.Option(
        help="A folder NAME/ per scan, or one mask NAME.nii.gz each, as challenges ask for.", rich_help_panel=MANY
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=1, help="Processes; each loads the network and holds a scan. One killed is survived.", rich_help_panel=MANY
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit",
        help=f"Time that one scan may take, like 90s or 10m; of many, {LIMIT_OF_MANY} unless told otherwise.",
        rich_help_panel=MANY,
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        help="How often a scan is tried again, after all others, that a resource failed for: time, memory, disk.",
        rich_help_panel=MANY,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Only part I of N, from 1, as jobs of an array do.", rich_help_panel=MANY),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Scheduler of a dask cluster, like tcp://10.0.0.1:8786, whose workers do it and see the same files; needs "
        "`pip install 'hemoseg\\[dask]'`.",
        rich_help_panel=MANY,
    ),
]


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Number and count of a shard like 2/8.

    Raises:
        typer.BadParameter: no such shard.

    Example:
        >>> parse_shard("2/8")
        (2, 8)
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"'{text}' is no shard; give I/N with I from 1 to N, like 1/8 for the first of eight")
    return int(found[1]), int(found[2])


def make_scan_executor(workers: int, cluster: str | None, limit_s: float, out: Path) -> "Executor | None":
    """What runs scans in other processes; None for this process.

    Raises:
        typer.BadParameter: processes here and a cluster were asked for.
    """
    from hemoseg.pipeline.batch.work import ERRORS_LOG
    from hemoseg.scale import make_executor

    if cluster is not None and workers != 1:
        raise typer.BadParameter("--workers and --cluster exclude each other: a cluster has workers of its own")
    if cluster is None and workers == 1:
        return None
    return make_executor(workers, limit_s=limit_s, log=out / ERRORS_LOG, cluster=cluster)


def failures_in_order(found: "Found", failures: dict[str, "HemosegError"]) -> "list[tuple[str, HemosegError]]":
    """(scan by the name that summary and progress give it, its error), in the order of the command line."""
    from hemoseg.pipeline.batch.sources import NoScan

    rows: list[tuple[str, HemosegError]] = []
    for file in found.files:
        if isinstance(file, NoScan):
            rows.append((file.name, file.error))
        elif file.name in failures:
            rows.append((file.name, failures[file.name]))
    return rows
