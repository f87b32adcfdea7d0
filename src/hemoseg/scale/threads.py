"""Jobs in several threads of this process."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from hemoseg.errors import HemosegError
from hemoseg.scale.executor import Job, R, T
from hemoseg.scale.failure import late_error, named_failure, tell_or_raise

END_LIMIT_S = 10.0
"""Seconds to wait for jobs that were under way when another failed. One that is stuck ends with the process."""
LOOK_S = 1.0
"""Seconds between two looks whether a job takes too long."""


@dataclass(slots=True, kw_only=True)
class _Desk:
    """What the threads share; each of its containers may be used by all of them at once."""

    waiting: deque[Job[Any]]
    """Jobs that nobody has begun."""
    begun: dict[int, tuple[str, float]]
    """{thread: name of its job, and when it began on the monotonic clock}."""
    ended: "SimpleQueue[tuple[str, Any, BaseException | None]]"
    """Name of a job, and its result or what it raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """The executor for little work, which processes would take longer to start than to do.

    It pays where jobs inflate, hash and compute with numpy, which let other threads run. Its price: a job that kills
    its process ends the run; jobs are idempotent, so the next run goes on.
    """

    workers: int
    """Threads at most; each holds one job's data in memory."""
    limit_s: float
    """Seconds that one job may take."""
    log: Path | None = None
    """File that gets the traceback of an unexpected exception; None keeps it as the error's note alone."""

    def run(
        self,
        function: Callable[[T], R],
        jobs: Iterable[Job[T]],
        *,
        done: Callable[[str, R], None],
        failed: Callable[[str, HemosegError], None] | None = None,
    ) -> None:
        """Call the function for every job; see `Executor`.

        Raises:
            HemosegError: what a job raised, with its class, text and exit code; unless `failed` is told.
            ResourceError: a job raised anything else, unless `failed` is told; or took too long, for a thread that is
                stuck cannot be ended; names the job.
        """
        desk = _Desk(waiting=deque(jobs), begun={}, ended=SimpleQueue())
        count = len(desk.waiting)
        crew = [
            threading.Thread(target=_work, args=(function, desk), daemon=True) for _ in range(min(self.workers, count))
        ]
        try:
            for thread in crew:
                thread.start()
            for _ in range(count):
                name, result, error = self._next(desk)
                if error is None:
                    done(name, result)
                else:
                    tell_or_raise(failed, name, named_failure(name, error, self.log))
        finally:
            desk.waiting.clear()
            deadline = time.monotonic() + END_LIMIT_S
            for thread in crew:
                if thread.is_alive():
                    thread.join(max(0.0, deadline - time.monotonic()))

    def _next(self, desk: _Desk) -> tuple[str, Any, BaseException | None]:
        """The next job that ends.

        Raises:
            ResourceError: one takes too long.
        """
        while True:
            try:
                return desk.ended.get(timeout=min(LOOK_S, self.limit_s))
            except Empty:
                late = [name for name, since in list(desk.begun.values()) if time.monotonic() - since >= self.limit_s]
            if late:
                raise late_error(late[0], self.limit_s)


def _work(function: Callable[[Any], Any], desk: _Desk) -> None:
    """Do jobs until none waits."""
    while True:
        try:
            job = desk.waiting.popleft()
        except IndexError:
            return
        desk.begun[threading.get_ident()] = job.name, time.monotonic()
        try:
            desk.ended.put((job.name, function(job.argument), None))
        except BaseException as error:  # sys.exit in a job ends the job, not the run
            desk.ended.put((job.name, None, error))
        finally:
            del desk.begun[threading.get_ident()]
