"""Jobs in several processes, of which any may die at any moment.

Each worker has a channel of its own, and the parent waits on all channels in one loop: there are no threads, no locks
and no shared queue, so a worker killed at the worst moment (say while it sends its answer) harms its own job only.
docs/adr/0006-process-pool.md compares that with the pools we did not take.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemoseg.errors import ResourceError, SettingsError
from hemoseg.scale.crew import Member, Task, end, ready, start
from hemoseg.scale.executor import LIMIT_S, Executor, Job, R, T
from hemoseg.scale.failure import Failure, raise_failure
from hemoseg.scale.serial import Serial
from hemoseg.scale.wire import pack, unpack
from hemoseg.scale.worker import Success

DEATHS = 2
"""A job whose workers died this often is given up: once may be bad luck, twice is the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPool:
    """The executor for many workers.

    A job whose worker died is done once more in a new worker, while the others go on. At the first failure all
    workers are killed, and none outlives `run`, however it ends; if this process is killed, so are they.
    """

    workers: int
    """Processes at most; each holds one job's data in memory."""
    limit_s: float = LIMIT_S
    """Seconds that one job may take, counted from when it is handed over, the start of a new process included."""
    log: Path | None = None
    """File that gets the traceback of an unexpected exception; None keeps it as the error's note alone."""

    def __post_init__(self) -> None:
        if self.workers < 1 or not self.limit_s > 0:
            raise SettingsError(
                f"{self.workers} workers with {self.limit_s:g} s a job",
                where="process pool",
                expected="at least one worker and more than 0 s",
                remedy="give a larger number",
            )

    def run(
        self,
        function: Callable[[T], R],
        jobs: Iterable[Job[T]],
        *,
        done: Callable[[str, R], None],
    ) -> None:
        """Call the function for every job; see `Executor`.

        Raises:
            HemosegError: what a job raised, with its class, text and exit code.
            ResourceError: a job raised anything else, took too long, or its worker died twice; names the job.
        """
        waiting = deque(Task(job=job) for job in jobs)
        crew: list[Member] = []
        try:
            while waiting or crew:
                while waiting and len(crew) < self.workers:
                    member = start(crew, waiting[0])
                    self._give(member, waiting.popleft(), function)
                for member in ready(crew):
                    if not member.take():
                        waiting.appendleft(_outlived(member))
                        _retire(member, crew)
                    elif member.has_answer:
                        name, message = member.task.job.name, bytes(member.received)
                        result = self._result(name, message)
                        if waiting:  # before `done`, so that the worker has something to do meanwhile
                            self._give(member, waiting.popleft(), function)
                        else:
                            _retire(member, crew)
                        done(name, result)
                self._check_time(crew)
        finally:
            try:
                end(crew)
            finally:
                end(crew)  # a second signal (`timeout` sends two) may have cut the first call short

    def _give(self, member: Member, task: Task, function: Callable[[T], R]) -> None:
        """Hand over a task, with the function: it travels with each job, so that a worker needs no state."""
        try:
            message = pack((function, task.job.argument))
        except Exception as error:
            raise_failure(task.job.name, Failure.of(error), self.log)
        member.give(task, message, self.limit_s)

    def _result(self, name: str, message: bytes) -> Any:
        """The result in an answer, or the error."""
        try:
            said: Success | Failure = unpack(message)
        except Exception as error:  # a result that can be pickled but not unpickled
            said = Failure.of(error)
        if isinstance(said, Failure):
            raise_failure(name, said, self.log)
        return said.result

    def _check_time(self, crew: list[Member]) -> None:
        now = time.monotonic()
        for member in crew:
            if now >= member.deadline:
                raise ResourceError(
                    f"not done after {self.limit_s:g} s",
                    where=member.task.job.name,
                    expected="an answer in that time",
                    remedy="look whether its files can be read at all, or use fewer workers if the machine is busy",
                )


def make_executor(workers: int, *, limit_s: float = LIMIT_S, log: Path | None = None) -> Executor:
    """The executor for a number of workers: one is this process itself, which has no time limit.

    Raises:
        SettingsError: there are less than one worker or no time.
    """
    if workers == 1:
        return Serial(log=log)
    return ProcessPool(workers=workers, limit_s=limit_s, log=log)


def _outlived(member: Member) -> Task:
    """The task of a dead worker, to be done again.

    Raises:
        ResourceError: its worker died before.
    """
    deaths = member.task.deaths + 1
    if deaths == DEATHS:
        raise ResourceError(
            f"its worker {member.fate}; it was the second one",
            where=member.task.job.name,
            expected="a worker that lives to the end of its job",
            remedy="use fewer workers, each holds a case in memory; if it dies alone as well, report the case",
        )
    return Task(job=member.task.job, deaths=deaths)


def _retire(member: Member, crew: list[Member]) -> None:
    """Take a worker out of the crew, dead or out of work."""
    end([member])
    crew.remove(member)
