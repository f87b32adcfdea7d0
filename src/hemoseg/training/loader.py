"""Batches made ahead by other processes, in their order, to the same bits as in this one."""

import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context, resource_tracker
from multiprocessing.process import BaseProcess
from traceback import clear_frames
from types import TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from hemoseg.data import Batch, BatchSource
from hemoseg.errors import HemosegError, InputError, ResourceError
from hemoseg.plan import Recipe
from hemoseg.scale import default_workers as usable_cores
from hemoseg.scale.worker import end_with

MOST_WORKERS = 12
"""nnU-Net's number."""
FEWEST_ITERATIONS = 100
"""Shorter trainings make their batches themselves."""
AHEAD = 2
"""Batches that each worker makes ahead."""
LAST = 2**62
"""Beyond any iteration."""
DEAD = "DataLoader worker"
"""How torch says that a worker died, with its process's number."""


def default_workers(recipe: Recipe, device: str, *, iterations: int) -> int:
    """Processes that make batches.

    None for `headct` on a CPU: a patch is cut in milliseconds, and the cores have the network to compute. None for
    less than `FEWEST_ITERATIONS`, for a process takes seconds to start. Else one per core but one, at least 1 and at
    most `MOST_WORKERS`.
    """
    if iterations < FEWEST_ITERATIONS or (recipe.name == "headct" and device == "cpu"):
        return 0
    return max(1, min(MOST_WORKERS, usable_cores() - 1))


class Loader:
    """A source whose batches other processes make ahead, as long as they are asked for one after the other.

    How many workers there are, and where one begins, decides speed alone. Arrays come through pipes, not through
    shared memory, of which containers have little. Workers compute with one thread, leave signals to this process and
    end when it does. Validation batches are made here.

    Example:
        `with Loader(source, workers=2) as batches:` and then `batches.batch(iteration)`.
    """

    def __init__(self, source: BatchSource, *, workers: int) -> None:
        self.source = source
        self.workers = workers
        self._next = 0
        self._batches: Iterator[Batch | HemosegError] | None = None
        self._at_work = AtWork(workers)
        self._processes: set[BaseProcess] = set()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers.

        Raises:
            ResourceError: one died; torch says so wherever the program is.
        """
        dead = self._dead(error) if isinstance(error, RuntimeError) and DEAD in str(error) else None
        self._end(error)
        if dead is not None:
            raise dead from error

    @property
    def ignore(self) -> int | None:
        """Number that stands for ignored voxels in the labels; None where no case has any."""
        return self.source.ignore

    def names_of(self, iteration: int) -> tuple[str, ...]:
        """Names of the cases that a batch has patches of; no case is read."""
        return self.source.names_of(iteration)

    def batch(self, iteration: int) -> Batch:
        """The batch of one iteration.

        Raises:
            ResourceError: a worker died, or a file cannot be read.
            InputError: a case cannot be used.
            ArtifactError: a case is damaged.
        """
        if not self.workers:
            return _given(_make(self.source, iteration))
        if self._batches is None or iteration != self._next:
            self._end(None)
            self._begin(iteration)
        self._next = iteration
        assert self._batches is not None
        try:
            found = next(self._batches)
        except RuntimeError as error:
            dead = self._dead(error)
            self._end(error)
            raise dead from error
        self._next += 1
        return _given(found)

    def validation_batch(self, number: int) -> Batch:
        """A batch of held-out cases, as they are."""
        return self.source.validation_batch(number)

    def _begin(self, first: int) -> None:
        """Start workers that make batches from `first` on."""
        self._at_work, others = AtWork(self.workers), set(active_children())
        self._batches = _start(_Numbered(self.source, self._at_work), first=first, workers=self.workers)
        self._processes = set(active_children()) - others

    def _end(self, error: BaseException | None) -> None:
        """End the workers, also those that wait for what a dead one held; they take no notice of SIGTERM."""
        if error is not None:
            clear_frames(error.__traceback__)  # which hold torch's iterator, and that its workers
        self._batches = None
        for process in self._processes:
            process.kill()
            process.join()
        self._processes = set()

    def _dead(self, error: RuntimeError) -> ResourceError:
        """What to say of a worker that died: the cases that it was at, or those that are waited for."""
        iterations = self._at_work.of_processes(map(int, re.findall(r"\d+", str(error)))) or [self._next]
        return ResourceError(
            "a process that prepares batches died",
            where="; ".join(_names(self.source, iteration) for iteration in iterations),
            expected="it to live as long as the training; the last saved state is kept",
            remedy="look for too little memory or a damaged case among these (`hemoseg preprocess`), and go on",
        )


class AtWork:
    """Which batch each worker is making, where the process that uses them can read it even after one was killed."""

    def __init__(self, workers: int) -> None:
        self.noted = get_context("spawn").RawArray("q", 2 * max(1, workers))  # no lock: one could die with it
        """For each worker the number of its process, and the batch that it is making and one: 0 for none."""

    def begin(self, worker: int, iteration: int) -> None:
        """A worker begins a batch."""
        self.noted[2 * worker] = os.getpid()
        self.noted[2 * worker + 1] = iteration + 1

    def end(self, worker: int) -> None:
        """It is made."""
        self.noted[2 * worker + 1] = 0

    def of_processes(self, numbers: Iterable[int]) -> list[int]:
        """Batches that processes of these numbers are making, or were when they died."""
        wanted = set(numbers)
        pairs = zip(self.noted[::2], self.noted[1::2], strict=True)
        return sorted(iteration - 1 for process, iteration in pairs if process in wanted and iteration)


class _Numbered(Dataset[Batch | HemosegError]):
    """Item i is batch i, or the error that it ended in: torch would pass on its text alone."""

    def __init__(self, source: BatchSource, at_work: AtWork) -> None:
        self.source, self.at_work = source, at_work

    def __getitem__(self, index: int) -> Batch | HemosegError:
        info = get_worker_info()
        assert info is not None
        self.at_work.begin(info.id, index)
        made = _make(self.source, index)
        self.at_work.end(info.id)
        return made


def _make(source: BatchSource, iteration: int) -> Batch | HemosegError:
    """A batch, or what went wrong with it, with the names of its cases."""
    try:
        return source.batch(iteration)
    except HemosegError as error:
        return error
    except (OSError, MemoryError) as error:
        kind: type[HemosegError] = ResourceError
        cause: Exception = error
    except Exception as error:
        kind, cause = InputError, error
    return kind(
        f"no batch can be made: {type(cause).__name__}: {cause}",
        where=_names(source, iteration),
        expected="prepared cases as `preprocess` writes them",
        remedy="prepare these cases again: delete their folders and run `hemoseg preprocess --run DIR`",
    )


def _names(source: BatchSource, iteration: int) -> str:
    """What a batch is of, for people."""
    return f"iteration {iteration}, cases {', '.join(dict.fromkeys(source.names_of(iteration)))}"


def _given(found: Batch | HemosegError) -> Batch:
    if isinstance(found, HemosegError):
        raise found
    return found


def _start(numbered: _Numbered, *, first: int, workers: int) -> Iterator[Batch | HemosegError]:
    """Batches from `first` on."""
    loader: DataLoader[Batch | HemosegError] = DataLoader(
        numbered,
        batch_size=None,
        sampler=range(first, LAST),
        num_workers=workers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        multiprocessing_context="spawn",
        generator=torch.Generator(),  # else it draws a seed from the process's own
        worker_init_fn=partial(_end_with, os.getpid()),
    )
    resource_tracker.ensure_running()  # its start would let signals through again
    with _signals_held():
        return iter(loader)


def _end_with(parent: int, _worker: int) -> None:
    """End when the parent is killed: torch's own look at it does not help where a batch waits in a full pipe."""
    end_with(parent)


def _as_it_is(item: Any) -> Any:
    return item


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait; a process that is started meanwhile never gets them, for it begins with this.

    Both are often sent to all processes of a group. The trainer saves its state then, and ends the others.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
