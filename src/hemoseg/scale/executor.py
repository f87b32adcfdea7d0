"""What a stage asks of whatever runs its jobs."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from hemoseg.errors import HemosegError

T = TypeVar("T")
R = TypeVar("R")

LIMIT_S = 3600.0
"""Seconds that one job may take unless told otherwise: no case takes an hour, and one that is stuck has to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[T]):
    """One piece of a stage, as a rule one case."""

    name: str
    """The case, as errors shall name it."""
    argument: T
    """What the function is called with. It is pickled: give paths rather than arrays."""


@runtime_checkable
class Executor(Protocol):
    """Runs the jobs of one stage.

    Jobs are idempotent: they write whole files or none, and one that is cut short or runs twice does no harm. That is
    all an executor may count on, so that another engine (dask, a batch queue) can take this place with one method.
    """

    def run(
        self,
        function: Callable[[T], R],
        jobs: Iterable[Job[T]],
        *,
        done: Callable[[str, R], None],
        failed: Callable[[str, HemosegError], None] | None = None,
    ) -> None:
        """Call the function for every job, in any order, and return when all have ended.

        Args:
            function: a module's own function, since other processes find it by its name. It starts no processes.
            jobs: what to do.
            done: called here with name and result of each job as it ends; the place for progress.
            failed: called here with name and error of each job that fails, while the others go on; without it the
                first failure ends the run.

        Raises:
            HemosegError: what a job raised, with its class, text and exit code; unless `failed` is told.
            ResourceError: a job failed otherwise, or its process did; names the job; unless `failed` is told.
        """


def default_workers() -> int:
    """The number of CPUs that this process may use, at least 1."""
    if sys.platform == "linux":
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
