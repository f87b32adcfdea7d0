"""Who is told how a run goes, and how a run is asked to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, runtime_checkable


@runtime_checkable
class Watch(Protocol):
    """Told what a run does."""

    def begin(self, stage: str, total: int) -> None:
        """A stage with `total` steps begins."""

    def advance(self, done: int, text: str = "") -> None:
        """`done` steps of the stage are done."""

    def say(self, text: str) -> None:
        """Something worth a line."""


class Silent:
    """Tells nobody."""

    def begin(self, stage: str, total: int) -> None:
        """Nothing."""

    def advance(self, done: int, text: str = "") -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


@contextmanager
def held_signals() -> Iterator[Callable[[], int | None]]:
    """Inside the block SIGINT and SIGTERM only set a mark; the function given returns the signal's number.

    Only the main thread can hold signals; elsewhere (a notebook's worker) the mark is never set.
    """
    asked: list[int] = []

    def mark(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, mark) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
