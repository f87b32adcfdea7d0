"""What runs the cases of a stage that only reads: threads for little data, processes for much."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hemoseg.ahead import reading_ahead
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
    if workers > 1 and _are_small(files):
        return Threads(workers=workers, limit_s=LIMIT_S, log=log)
    from hemoseg.scale import make_executor

    return make_executor(workers, log=log)


@contextmanager
def measuring_ahead(dataset: Path, run: Path) -> Iterator[None]:
    """Inflate the first scans and label maps of a data set while the block loads what measures them.

    Nothing is done where it would not pay: where processes will measure, and for a run folder that is there already,
    in which cases may have been measured before. What is wrong with a data set is for its index to say.

    Args:
        dataset: folder with imagesTr and labelsTr.
        run: the run folder.
    """
    images, labels = (sorted((dataset / name).glob("*.nii.gz")) for name in ("imagesTr", "labelsTr"))
    files = [path for pair in zip(images, labels, strict=False) for path in pair]
    if run.exists() or default_workers() == 1 or not _are_small(files):
        yield
        return
    with reading_ahead(files):
        yield


def _are_small(files: Iterable[Path]) -> bool:
    return sum(path.stat().st_size for path in files if path.is_file()) < SMALL_BYTES
