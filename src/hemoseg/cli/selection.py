"""Options of `select`, and tables of what it found."""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from hemoseg.models import Difference, Selection


class Choice(StrEnum):
    """How configurations are chosen."""

    simplest = "simplest"
    nnunet = "nnunet"


class Metric(StrEnum):
    """What can be compared."""

    dice = "dice"
    nsd_fine = "nsd_0.42mm"
    nsd = "nsd_1mm"


class Postprocessing(StrEnum):
    """Which rules are tried."""

    all = "all"
    nnunet = "nnunet"
    nnunet_v1 = "nnunet-v1"
    none = "none"


ChoiceOption = Annotated[
    Choice,
    typer.Option(
        "--rule", help="The simplest that no other beats beyond noise, or the highest mean Dice as nnU-Net takes it."
    ),
]
MetricOption = Annotated[Metric, typer.Option(help="What is compared: mean over classes of the mean over cases.")]
Ensembles = Annotated[int, typer.Option(min=1, max=4, help="How many configurations may be averaged: 1 none, 2 pairs.")]
PostprocessingOption = Annotated[
    Postprocessing | None,
    typer.Option(help="Rules that are tried: all, nnU-Net's largest components (v2 or v1), or none."),
]


def selection_tables(selection: "Selection") -> "Iterator[Table]":
    """What was compared and what was tried, with the one that stays marked."""
    from rich.markup import escape
    from rich.table import Table

    evidence = selection.evidence
    if evidence is None:
        return
    table = Table("", "configurations", title=escape(evidence.metric))
    for title in ("networks", "score", "short of best", "95 % interval"):
        table.add_column(title, justify="right")
    for one in evidence.candidates:
        mark = "*" if one.configurations == selection.configurations else ""
        cells = (str(one.networks), _number(one.score), *_difference(one.short_of_best))
        table.add_row(mark, " + ".join(one.configurations), *cells)
    yield table
    if evidence.trials:
        tried = Table("", "rule", title="Rules after the networks")
        for title in ("gain", "95 % interval", "cases better", "cases worse"):
            tried.add_column(title, justify="right")
        for trial in evidence.trials:
            cells = (*_difference(trial.gain), str(trial.cases_better), str(trial.cases_worse))
            tried.add_row("*" if trial.adopted else "", escape(str(trial.rule)), *cells)
        yield tried


def _difference(found: "Difference") -> tuple[str, str]:
    interval = "–" if found.low is None or found.high is None else f"[{found.low:.4f}, {found.high:.4f}]"
    return _number(found.value), interval


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
