"""Folds that are trained at the same time, each in a process of its own.

A fold tells how far it is by the log that every training writes, and is asked to stop by a file in the run folder, so
nothing but files is shared and any executor can take the work.
"""

import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hemoseg.errors import HemosegError, InterruptedRunError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.watch import Watch, held_signals
from hemoseg.plan import Configuration
from hemoseg.scale import Job

if TYPE_CHECKING:
    from hemoseg.training import Choices

LOOK_S = 0.5
"""Seconds between two looks at the logs."""
TAIL_BYTES = 4096
"""What is read from the end of a log: more than one of its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldWork:
    """One fold to train in a process of its own."""

    run: Path
    """The run folder."""
    configuration: str
    """Name of the network."""
    fold: int
    """Number of the fold."""
    threads: int
    """Threads to compute with."""
    choices: "Choices"
    """What is asked beside the plan."""

    @property
    def name(self) -> str:
        """The fold, as errors name it."""
        return f"{self.configuration} fold {self.fold}"


def train_folds(
    folder: RunFolder,
    configuration: Configuration,
    works: Sequence[FoldWork],
    function: Callable[[FoldWork], HemosegError | None],
    *,
    at_once: int,
    watch: Watch,
) -> None:
    """Train folds of a configuration, several at a time. One that fails stops no other.

    Args:
        folder: the run.
        configuration: the network.
        works: the folds.
        function: trains one and returns what went wrong; a module's own, which processes find by its name.
        at_once: folds at a time, 2 or more.
        watch: told the steps of all folds together, and those of each in words.

    Raises:
        InterruptedRunError: a signal asked to stop; every fold saved its state.
        HemosegError: folds failed, which it names; the others are trained.
    """
    title = f"train {configuration.name} folds {', '.join(str(work.fold) for work in works)}, {at_once} at once"
    watch.begin(title, configuration.iterations * len(works))
    folder.stop_file.unlink(missing_ok=True)  # of a run that was killed
    try:
        with held_signals() as stop, _looking_on(folder, works, watch, stop):
            failed = _run(works, function, at_once=at_once, log=folder.workers_log, watch=watch, stop=stop)
    finally:
        folder.stop_file.unlink(missing_ok=True)
    if (number := stop()) is not None:
        raise InterruptedRunError(number, where=folder.path, kept="the states of all trainings are saved")
    if failed:
        raise _together(failed)


def _run(
    works: Sequence[FoldWork],
    function: Callable[[FoldWork], HemosegError | None],
    *,
    at_once: int,
    log: Path,
    watch: Watch,
    stop: Callable[[], int | None],
) -> dict[str, HemosegError]:
    """Train every fold, and return what went wrong by its name."""
    from hemoseg.scale import make_executor

    failed: dict[str, HemosegError] = {}

    def note(name: str, error: HemosegError | None) -> None:
        watch.say(f"{name}: {'trained' if error is None else error.found}")
        if error is not None:
            failed[name] = error

    if stop() is None:
        jobs = [Job(name=work.name, argument=work) for work in works]
        make_executor(at_once, limit_s=math.inf, log=log).run(function, jobs, done=note, failed=note)
    return failed


@contextmanager
def _looking_on(
    folder: RunFolder, works: Sequence[FoldWork], watch: Watch, stop: Callable[[], int | None]
) -> Iterator[None]:
    """As long as the block lasts, the watch is told the steps of each fold, and a signal is passed on to them."""
    over = threading.Event()
    logs = {work.fold: folder.fold(work.configuration, work.fold) / "train.jsonl" for work in works}

    def look() -> None:
        while not over.wait(LOOK_S):
            if stop() is not None:
                with suppress(OSError):  # a full disk: tried again at the next look
                    folder.stop_file.touch()
            done = {fold: steps_done(path) for fold, path in logs.items()}
            watch.advance(sum(done.values()), ", ".join(f"fold {fold}: {steps}" for fold, steps in done.items()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def steps_done(log: Path) -> int:
    """Steps that the last whole line of a training's log tells of; 0 without one."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, log.stat().st_size - TAIL_BYTES))
            *lines, _ = handle.read().split(b"\n")
        return int(json.loads(lines[-1])["iteration"]) if lines else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _together(failed: dict[str, HemosegError]) -> HemosegError:
    """One error for all: of the first one's class, with what every one found."""
    first = next(iter(failed.values()))
    if isinstance(first, InterruptedRunError):
        return first
    return type(first)(
        "; ".join(f"{name}: {error.found}" for name, error in failed.items()),
        where=first.where,
        expected=f"{first.expected}; the other folds are trained",
        remedy=f"{first.remedy}; the same command then goes on with what is left",
    )
