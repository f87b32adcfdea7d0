"""The page of a training run: data, plan, results, curves, pictures, methods."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hemoseg.artifacts import write_model, write_text
from hemoseg.datasets.sources import ANY
from hemoseg.models import SHOWN_ML, Calibration, VolumeCalibration
from hemoseg.report.findings import RESEARCH_USE_ONLY
from hemoseg.report.html import render, script
from hemoseg.report.run_model import CaseRow, RunReport
from hemoseg.segmentation import VolumeInterval

BlockKind = Literal["heading", "bullets", "numbers", "text"]
MARKS: dict[BlockKind, re.Pattern[str]] = {
    "heading": re.compile(r"#+ "),
    "bullets": re.compile(r"[-*] "),
    "numbers": re.compile(r"\d+\. "),
}
"""How the first line of a Markdown block that is no paragraph begins."""


FEW_METRICS = ("reference_ml", "volume_ml", "dice", "nsd_1mm", "hd95_mm", "lesion_f1")
"""What the table of cases shows of its first class where other classes stand beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A held-out case in pictures."""

    case: str
    """Its name."""
    caption: str
    """What is to be seen."""
    png: bytes
    """Slices with the contours of reference and prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPictures:
    """What the page of a run shows beside the numbers."""

    data: bytes
    """Histograms of the data set, PNG."""
    overlays: Sequence[Overlay]
    """Held-out cases."""
    curves: Sequence[tuple[str, bytes]]
    """(caption, PNG) of each training."""


def write_run_report(folder: Path, report: RunReport, pictures: RunPictures) -> Path:
    """Write `report.json`, and `report.html`: one file that needs no network, and no script but to sort.

    Returns:
        The page.

    Raises:
        ResourceError: a file cannot be written.
    """
    write_model(folder / "report.json", report)
    page = folder / "report.html"
    write_text(page, run_page(report, pictures))
    return page


def run_page(report: RunReport, pictures: RunPictures) -> str:
    """The page of a training run as HTML."""
    text, source = script("sort.js")
    return render(
        "run.html.j2",
        report=report,
        pictures=pictures,
        research_use_only=RESEARCH_USE_ONLY,
        script=text,
        script_source=source,
        metrics=_metric_names(report.mean),
        intervals=_interval_rows(report.calibration),
        interval_heads=SHOWN_ML,
        columns=case_columns(report.cases),
        shown={overlay.case: number for number, overlay in enumerate(pictures.overlays)},
        blocks=read_blocks(report.methods),
    )


def _interval_rows(calibration: Calibration) -> dict[str, tuple[VolumeCalibration, list[VolumeInterval | None]]]:
    """{volume: its calibration, and its intervals at the volumes that are shown}."""
    return {name: (one, [one.interval(ml) for ml in SHOWN_ML]) for name, one in calibration.rows.items()}


def case_columns(cases: Sequence[CaseRow]) -> dict[str, list[str]]:
    """{class: metrics} of the table of cases: `any`, or else the first class, has its metrics, others have Dice.

    All metrics of five kinds of blood would need five pages beside each other; report.json has them. Of more than two
    classes the first has `FEW_METRICS` alone, so that the table fits a page.
    """
    found: dict[str, dict[str, None]] = {}
    for case in cases:
        for name, metrics in case.classes.items():
            found.setdefault(name, {}).update(dict.fromkeys(metric for metric in metrics if metric != "note"))
    first = ANY if ANY in found else next(iter(found), "")
    shown = dict.fromkeys(found, ("dice",)) | {first: FEW_METRICS if len(found) > 2 else tuple(found.get(first, ()))}
    order = sorted(found, key=lambda name: name != first)
    return {name: [metric for metric in found[name] if metric in shown[name]] for name in order}


def read_blocks(markdown: str) -> list[tuple[BlockKind, list[str]]]:
    """The blocks of a plain Markdown text: ("heading" | "bullets" | "numbers" | "text", their lines or items).

    Headings of level 1 are left out, as the page has its own. Nothing inside a line is markup.

    Example:
        >>> read_blocks("# Title\\n\\nOne\\nparagraph.\\n\\n- a\\n- b")
        [('text', ['One paragraph.']), ('bullets', ['a', 'b'])]
    """
    blocks: list[tuple[BlockKind, list[str]]] = []
    for part in re.split(r"\n\s*\n", markdown.strip()):
        lines = part.strip().splitlines()
        kind = _kind_of(lines[0]) if lines else "text"
        items: list[str] = []
        for line in lines:
            if items and (kind == "text" or _kind_of(line) != kind):
                items[-1] += f" {line.strip()}"
            else:
                items.append(line.strip() if kind == "text" else MARKS[kind].sub("", line).strip())
        if lines and not lines[0].startswith("# "):
            blocks.append((kind, items))
    return blocks


def _kind_of(line: str) -> BlockKind:
    return next((kind for kind, mark in MARKS.items() if mark.match(line)), "text")


def _metric_names(mean: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every metric of any class, in the order of first use."""
    return list(dict.fromkeys(metric for metrics in mean.values() for metric in metrics))
