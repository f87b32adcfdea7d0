"""Many cases at once: stages that run in parallel, never hang and never lose a case.

A stage calls `make_executor(workers).run(prepare, jobs, done=note)`. Where a case goes wrong, the error names it.
"""

from hemoseg.scale.executor import Executor, Job, default_workers
from hemoseg.scale.pool import LIMIT_S, ProcessPool, make_executor
from hemoseg.scale.serial import Serial
from hemoseg.scale.threads import Threads

__all__ = ["LIMIT_S", "Executor", "Job", "ProcessPool", "Serial", "Threads", "default_workers", "make_executor"]
