"""The page of a training run: data, plan, results, curves, pictures, methods."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hemoseg.artifacts import write_text
from hemoseg.report.findings import RESEARCH_USE_ONLY
from hemoseg.report.html import render

BlockKind = Literal["heading", "bullets", "numbers", "text"]
MARKS: dict[BlockKind, re.Pattern[str]] = {
    "heading": re.compile(r"#+ "),
    "bullets": re.compile(r"[-*] "),
    "numbers": re.compile(r"\d+\. "),
}
"""How the first line of a Markdown block that is no paragraph begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """What the page of a training run says."""

    title: str
    """Title of the page."""
    dataset_name: str
    """Name of the data set's folder."""
    cases: int
    """Cases of the data set."""
    train_cases: int
    """Cases trained on, in the folds that were run."""
    held_out_cases: int
    """Cases predicted by a model that never saw them."""
    plan_rows: Sequence[tuple[str, str, str]]
    """(name, value, reason) of each decision of the plan."""
    mean: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """`mean` of evaluation.json: {class: {metric: {value, low, high, n}}}."""
    per_case: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """{case: {class: {metric: value}}}; a metric without value is None, and `note` says why."""
    notes: Sequence[str]
    """What limits the result, like silver labels; and warnings."""
    curves: Sequence[tuple[str, bytes]]
    """(caption, PNG) of the curves of each training."""
    montages: Sequence[tuple[str, bytes]]
    """(caption, PNG) of predictions."""
    methods: str
    """How the model came about, in plain Markdown: paragraphs, headings, lists; see `read_blocks`."""
    provenance: Mapping[str, Any]
    """Versions, hashes, seed, date."""
    sources: Sequence[tuple[str, str, str]] = ()
    """(name, license, citation) of each source of the data; empty where nobody recorded them."""


def write_run_report(path: Path, page: RunPage) -> None:
    """Write the page of a training run: one file that needs no network and no script.

    Raises:
        ResourceError: the file cannot be written.
    """
    write_text(path, run_page(page))


def run_page(page: RunPage) -> str:
    """The page of a training run as HTML."""
    return render(
        "run.html.j2",
        page=page,
        research_use_only=RESEARCH_USE_ONLY,
        metrics=_metric_names(page.mean),
        columns=_columns(page.per_case),
        blocks=read_blocks(page.methods),
    )


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


def _columns(per_case: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """{class: metrics} over all cases: the columns of the table of cases."""
    columns: dict[str, dict[str, None]] = {}
    for classes in per_case.values():
        for name, metrics in classes.items():
            columns.setdefault(name, {}).update(dict.fromkeys(metric for metric in metrics if metric != "note"))
    return {name: list(metrics) for name, metrics in columns.items()}
