"""Many cases at once: stages that run in parallel, never hang and never lose a case.

A stage calls `make_executor(workers).run(prepare, jobs, done=note)`. Where a case goes wrong, the error names it.
What starts processes is loaded on first use: a stage with little to do needs none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hemoseg.scale.executor import LIMIT_S, Executor, Job, default_workers
from hemoseg.scale.forks import Forks, can_fork
from hemoseg.scale.serial import Serial
from hemoseg.scale.threads import Threads

if TYPE_CHECKING:
    from hemoseg.scale.cluster import Cluster
    from hemoseg.scale.pool import ProcessPool, make_executor

__all__ = [
    "LIMIT_S",
    "Cluster",
    "Executor",
    "Forks",
    "Job",
    "ProcessPool",
    "Serial",
    "Threads",
    "can_fork",
    "default_workers",
    "make_executor",
]

_HOME = {
    "Cluster": "hemoseg.scale.cluster",
    "ProcessPool": "hemoseg.scale.pool",
    "make_executor": "hemoseg.scale.pool",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hemoseg.scale' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
