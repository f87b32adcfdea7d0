"""Jobs in copies of this process, for functions that leave what they find in files."""

import os
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

from hemoseg.errors import HemosegError, InterruptedRunError, ResourceError
from hemoseg.scale.executor import Job, R, T
from hemoseg.scale.failure import late_error, named_failure, tell_or_raise

MOST_JOBS = 10_000
"""Jobs whose numbers surely fit into a pipe, from which the copies take them."""
DEATHS = 2
"""Copies that a job may take with it before the run ends."""
LOOK_S = 1.0
"""Seconds between two looks whether a job takes too long."""
_NUMBER, _REPORT = struct.Struct("<I"), struct.Struct("<cIi")
_BEGUN, _DONE, _RAISED = b"b", b"d", b"r"


def can_fork(jobs: int) -> bool:
    """Whether copies of this process can do that many jobs: on Linux, and while no other thread may hold a lock."""
    return sys.platform == "linux" and threading.active_count() == 1 and jobs <= MOST_JOBS


@dataclass(slots=True, kw_only=True)
class _State:
    """What is known of the jobs, by their numbers."""

    waiting: set[int]
    """Those that are not done."""
    begun: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Those under way: in which process, and since when on the monotonic clock."""
    deaths: dict[int, int] = field(default_factory=dict)
    """How many copies died in a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forks:
    """The executor for little work whose results are files: copies of this process, with all that is loaded.

    Unlike threads they never wait for each other's interpreter, and one that is killed takes one job with it, which
    is begun again. A job that raises is done once more in this process, where its error is at home. The function
    returns nothing.
    """

    workers: int
    """Copies at most; each holds one job's data in memory."""
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
            ResourceError: a job raised anything else, killed two copies, or took too long; names the job.
        """
        every = list(jobs)
        state = _State(waiting=set(range(len(every))))

        def tell(kind: bytes, number: int, child: int) -> None:
            if kind == _BEGUN:
                state.begun[number] = (child, time.monotonic())
                return
            state.begun.pop(number, None)
            state.waiting.discard(number)
            name = every[number].name
            if kind == _RAISED:
                try:
                    function(every[number].argument)
                except InterruptedRunError:
                    raise
                except (Exception, SystemExit) as error:
                    tell_or_raise(failed, name, named_failure(name, error, self.log))
                    return
            done(name, cast("R", None))

        while state.waiting:
            children: list[int] = []
            try:
                reports = _fork(function, every, sorted(state.waiting), self.workers, children)
                with os.fdopen(reports, "rb", buffering=0):
                    self._listen(reports, every, state, tell)
            finally:
                for child in children:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
            self._count_deaths(every, state)

    def _listen(
        self, reports: int, jobs: list[Job[Any]], state: _State, tell: Callable[[bytes, int, int], None]
    ) -> None:
        """Hear what the copies say until none is left.

        Raises:
            ResourceError: a job takes too long.
        """
        while True:
            ready, _, _ = select.select([reports], [], [], min(LOOK_S, self.limit_s))
            if ready:
                report = os.read(reports, _REPORT.size)
                if not report:
                    return
                tell(*_REPORT.unpack(report))
            now = time.monotonic()
            late = [number for number, (_, since) in state.begun.items() if now - since >= self.limit_s]
            late = [number for number in late if _is_at_work(state.begun[number][0])]
            if late:
                raise late_error(jobs[late[0]].name, self.limit_s)

    def _count_deaths(self, jobs: list[Job[Any]], state: _State) -> None:
        """Those that were under way when their copies died are begun again, once.

        Raises:
            ResourceError: one died twice.
        """
        for number in state.begun:
            state.deaths[number] = state.deaths.get(number, 0) + 1
            if state.deaths[number] == DEATHS:
                raise ResourceError(
                    f"its process was killed {DEATHS} times",
                    where=jobs[number].name,
                    expected="a process that ends by itself",
                    remedy="free memory, or look what kills it",
                )
        state.begun.clear()


def _is_at_work(child: int) -> bool:
    """Whether a copy has not died; its process number stays its own until it is waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _fork(
    function: Callable[[T], Any], jobs: list[Job[T]], numbers: list[int], workers: int, children: list[int]
) -> int:
    """Start copies that take the numbers of jobs from a pipe; where the system allows fewer, those do all.

    Args:
        function: what a copy calls for a job.
        jobs: all of them.
        numbers: those that are waiting.
        workers: copies at most.
        children: gets the process numbers, so that they are known to the caller if this is interrupted.

    Returns:
        The pipe of their reports.

    Raises:
        ResourceError: not one could be started.
    """
    queue, fill = os.pipe()
    reports, report = os.pipe()
    os.write(fill, b"".join(_NUMBER.pack(number) for number in numbers))
    os.close(fill)
    parent = os.getpid()
    try:
        for _ in range(min(workers, len(numbers))):
            child = os.fork()
            if child == 0:
                _work(function, jobs, queue, report, parent)
            children.append(child)
    except OSError as error:
        if not children:
            os.close(reports)
            raise ResourceError(
                f"no process could be started ({error.strerror})",
                where="workers",
                expected="a copy of this process",
                remedy="free memory, or allow more processes (`ulimit -u`, or the limit of the container)",
            ) from error
    finally:
        os.close(queue)
        os.close(report)
    return reports


def _work(function: Callable[[T], Any], jobs: list[Job[T]], queue: int, report: int, parent: int) -> NoReturn:
    """Do jobs until none waits or the parent is gone, and end without the parent's own last steps."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends its copies
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while os.getppid() == parent and (taken := os.read(queue, _NUMBER.size)):
            (number,) = _NUMBER.unpack(taken)
            os.write(report, _REPORT.pack(_BEGUN, number, os.getpid()))
            try:
                function(jobs[number].argument)
                kind = _DONE
            except BaseException:  # whatever it is, the parent meets it again
                kind = _RAISED
            os.write(report, _REPORT.pack(kind, number, os.getpid()))
    finally:
        os._exit(0)  # never back into what the parent was doing
