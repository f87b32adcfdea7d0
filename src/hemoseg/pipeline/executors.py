"""What runs the cases of a stage that only reads: threads for little data, processes for much."""

from collections.abc import Iterable
from pathlib import Path

from hemoseg.scale import LIMIT_S, Executor, Threads, default_workers

SMALL_BYTES = 500_000_000
"""Files below this are measured in less than ten seconds, of which processes would take half a second to start. Above
it, processes gain: each has an interpreter of its own, and one that dies takes nothing with it."""


def executor_for(files: Iterable[Path], *, jobs: int, log: Path | None = None) -> Executor:
    """An executor for jobs that read some files; what they give is the same with either.

    Args:
        files: what is read in all.
        jobs: how many jobs there are.
        log: file for tracebacks; None for none.
    """
    workers = max(1, min(default_workers(), jobs))
    if workers > 1 and sum(path.stat().st_size for path in files if path.is_file()) < SMALL_BYTES:
        return Threads(workers=workers, limit_s=LIMIT_S, log=log)
    from hemoseg.scale import make_executor

    return make_executor(workers, log=log)
