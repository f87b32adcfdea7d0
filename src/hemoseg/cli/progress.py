"""Progress on stderr, and values that options take."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
RESEARCH_ONLY = "Research use only. Not a medical device. Not for diagnosis."


class Lines:
    """A watch (`pipeline.Watch`) for where nobody looks on: a line per stage on stderr."""

    def begin(self, stage: str, total: int) -> None:
        """A stage begins."""
        self.say(f"{stage} ({total})")

    def advance(self, done: int, text: str = "", *, total: int | None = None) -> None:
        """Steps are done, which nobody sees."""

    def say(self, text: str) -> None:
        """A line."""
        print(text, file=sys.stderr)

    def finish(self) -> None:
        """The stage is over, which nobody sees."""


class Bars(Lines):
    """A watch that draws one bar per stage."""

    def __init__(self, progress: "Progress") -> None:
        self.progress = progress
        self.task: TaskID | None = None

    def begin(self, stage: str, total: int) -> None:
        """A stage begins."""
        self.finish()
        self.task = self.progress.add_task(stage, total=total, text="")

    def advance(self, done: int, text: str = "", *, total: int | None = None) -> None:
        """Steps are done, of a total that may be known only now."""
        if self.task is not None:
            self.progress.update(self.task, completed=done, total=total, text=text)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self.progress.console.print(text, highlight=False, markup=False)

    def finish(self) -> None:
        """The stage is over: its bar stays as it stands."""
        if self.task is not None:
            self.progress.stop_task(self.task)
            self.task = None


@contextmanager
def bars() -> Iterator[Lines]:
    """Bars on stderr as long as the block lasts; plain lines where it is no terminal, which take less to load."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        watch = Bars(progress)
        yield watch
        watch.finish()


def parse_duration(text: str) -> float:
    """Seconds of a duration like 90s, 45m, 2h or 1h30m.

    Raises:
        typer.BadParameter: no such duration.

    Example:
        >>> parse_duration("1h30m")
        5400.0
    """
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        raise typer.BadParameter(f"'{text}' is no duration; give it like 90s, 45m, 2h or 1h30m")
    seconds = sum(float(n) * UNITS_S[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", text))
    if not 0 < seconds < inf:
        raise typer.BadParameter(f"'{text}' is no time at all, or one without an end")
    return seconds


def parse_folds(text: str) -> tuple[int, ...]:
    """Folds like `0`, `0,1` or `all`, in ascending order.

    Raises:
        typer.BadParameter: no such folds.

    Example:
        >>> parse_folds("1,0"), parse_folds("all")
        ((0, 1), (0, 1, 2, 3, 4))
    """
    from hemoseg.settings import FOLDS

    if text == "all":
        return tuple(range(FOLDS))
    if not re.fullmatch(r"\d(,\d)*", text) or max(map(int, text.split(","))) >= FOLDS:
        raise typer.BadParameter(f"'{text}' names no folds; give `all`, or some of 0 to {FOLDS - 1} like 0,1")
    return tuple(sorted(set(map(int, text.split(",")))))
