"""What runs the cases of a stage that only reads: copies of this process or threads for little data, else a pool."""

from collections.abc import Iterable
from pathlib import Path

from hemoseg.scale import LIMIT_S, Executor, Forks, Threads, can_fork, default_workers

SMALL_BYTES = 500_000_000
"""Files below this are measured in less than ten seconds, of which processes would take half a second to start. Above
it, processes gain: each has an interpreter of its own, and one that dies takes nothing with it."""


def executor_for(files: Iterable[Path], *, jobs: int, log: Path | None = None, leaves_files: bool = False) -> Executor:
    """An executor for jobs that read some files; what they give is the same with each.

    Args:
        files: what is read in all.
        jobs: how many jobs there are.
        log: file for tracebacks; None for none.
        leaves_files: whether jobs write what they find and return nothing.
    """
    workers = max(1, min(default_workers(), jobs))
    if workers > 1 and sum(path.stat().st_size for path in files if path.is_file()) < SMALL_BYTES:
        if leaves_files and can_fork(jobs):
            return Forks(workers=workers, limit_s=LIMIT_S, log=log)
        return Threads(workers=workers, limit_s=LIMIT_S, log=log)
    from hemoseg.scale import make_executor

    return make_executor(workers, log=log)
