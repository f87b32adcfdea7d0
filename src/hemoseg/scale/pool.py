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

from hemoseg.errors import HemosegError, ResourceError, SettingsError
from hemoseg.scale.crew import Member, Task, end, ready, start
from hemoseg.scale.executor import LIMIT_S, Executor, Job, R, T
from hemoseg.scale.failure import Failure, error_of, late_error, named_failure, raise_failure, tell_or_raise
from hemoseg.scale.serial import Serial
from hemoseg.scale.wire import pack, unpack
from hemoseg.scale.worker import Success

DEATHS = 2
"""A job whose workers died this often is given up: once may be bad luck, twice is the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPool:
    """The executor for many workers.

    A job whose worker died is done once more in a new worker, while the others go on. At the first failure that
    nobody is told of all workers are killed, and none outlives `run`, however it ends; if this process is killed, so
    are they.
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
        failed: Callable[[str, HemosegError], None] | None = None,
    ) -> None:
        """Call the function for every job; see `Executor`.

        Raises:
            HemosegError: what a job raised, with its class, text and exit code; unless `failed` is told.
            ResourceError: a job raised anything else, took too long, or its worker died twice; names the job; unless
                `failed` is told. Or no process can be started.
        """
        waiting = deque(Task(job=job) for job in jobs)
        crew: list[Member] = []
        try:
            while waiting or crew:
                while len(crew) < self.workers and (given := self._next(waiting, function, failed)):
                    task, message = given
                    start(crew, task).give(task, message, self.limit_s)
                for member in ready(crew) if crew else ():
                    if not member.take():
                        self._outlive(member, crew, waiting, failed)
                    elif member.has_answer:
                        name, answer = member.task.job.name, bytes(member.received)
                        said = self._result(answer)
                        if isinstance(said, Failure) and failed is None:
                            raise_failure(name, said, self.log)
                        # before `done`, so that the worker has something to do meanwhile
                        if given := self._next(waiting, function, failed):
                            member.give(*given, self.limit_s)
                        else:
                            _retire(member, crew)
                        if isinstance(said, Failure):
                            tell_or_raise(failed, name, error_of(name, said, self.log))
                        else:
                            done(name, said.result)
                self._check_time(crew, failed)
        finally:
            try:
                end(crew)
            finally:
                end(crew)  # a second signal (`timeout` sends two) may have cut the first call short

    def _next(
        self,
        waiting: deque[Task],
        function: Callable[[T], R],
        failed: Callable[[str, HemosegError], None] | None,
    ) -> tuple[Task, bytes] | None:
        """The next task and its message; None if none is left. One that cannot be packed fails.

        The function travels with each task, so that a worker needs no state.
        """
        while waiting:
            task = waiting.popleft()
            try:
                return task, pack((function, task.job.argument))
            except Exception as error:
                tell_or_raise(failed, task.job.name, named_failure(task.job.name, error, self.log))
        return None

    def _result(self, answer: bytes) -> Success | Failure:
        """What an answer says."""
        try:
            said: Success | Failure = unpack(answer)
        except Exception as error:  # a result that can be pickled but not unpickled
            return Failure.of(error)
        return said

    def _outlive(
        self,
        member: Member,
        crew: list[Member],
        waiting: deque[Task],
        failed: Callable[[str, HemosegError], None] | None,
    ) -> None:
        """Do the task of a dead worker again, or give it up."""
        deaths = member.task.deaths + 1
        job, fate = member.task.job, member.fate
        _retire(member, crew)
        if deaths < DEATHS:
            waiting.appendleft(Task(job=job, deaths=deaths))
            return
        error = ResourceError(
            f"its worker {fate}; it was the second one",
            where=job.name,
            expected="a worker that lives to the end of its job",
            remedy="use fewer workers, each holds a case in memory; if it dies alone as well, report the case",
        )
        tell_or_raise(failed, job.name, error)

    def _check_time(self, crew: list[Member], failed: Callable[[str, HemosegError], None] | None) -> None:
        """End the workers whose jobs take too long."""
        now = time.monotonic()
        for member in [member for member in crew if now >= member.deadline]:
            name = member.task.job.name
            _retire(member, crew)
            tell_or_raise(failed, name, late(name, self.limit_s))


def late(name: str, limit_s: float) -> ResourceError:
    """The error for a job that takes too long, where nobody knows what it was at."""
    return late_error(
        name,
        limit_s,
        remedy="if the machine is slow or busy, use fewer workers, or with segment a longer --time-limit or a "
        "--time-budget; if not, look whether its files can be read at all",
    )


def make_executor(
    workers: int, *, limit_s: float = LIMIT_S, log: Path | None = None, cluster: str | None = None
) -> Executor:
    """The executor for a number of workers: one is this process itself, which has no time limit.

    Args:
        workers: processes of this machine.
        limit_s: seconds that one job may take.
        log: file for tracebacks; None for none.
        cluster: address of a dask scheduler, whose workers then do all instead; None for this machine.

    Raises:
        SettingsError: there are less than one worker or no time.
    """
    if cluster is not None:
        from hemoseg.scale.cluster import Cluster

        return Cluster(address=cluster, limit_s=limit_s, log=log)
    if workers == 1:
        return Serial(log=log)
    return ProcessPool(workers=workers, limit_s=limit_s, log=log)


def _retire(member: Member, crew: list[Member]) -> None:
    """Take a worker out of the crew, dead or out of work."""
    end([member])
    crew.remove(member)
