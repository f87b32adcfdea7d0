"""Jobs on other machines: the workers of a dask scheduler that somebody has started."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemoseg.errors import HemosegError, ResourceError
from hemoseg.scale.executor import LIMIT_S, Job, R, T
from hemoseg.scale.failure import Failure, error_of, named_failure, tell_or_raise
from hemoseg.scale.pool import late
from hemoseg.scale.wire import pack, unpack
from hemoseg.scale.worker import Success, answer

CONNECT_S = 20.0
"""Seconds that the scheduler may take to answer at first."""
LOOK_S = 0.5
"""Seconds between two looks whether a job takes too long, or workers came."""
NOBODY_S = 60.0
"""Seconds without any worker after which nobody is expected any more; a batch system may still be starting them."""


@dataclass(slots=True, kw_only=True)
class _Running:
    """A job that was handed over."""

    name: str
    """What it is called."""
    deadline: float
    """When it has to be done, on the monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The executor for many machines.

    Each job is handed over when a thread of a worker is free for it. One whose worker died goes to another, by dask's
    own rule: until `distributed.scheduler.allowed-failures` workers died of it. A job that takes too long is given up;
    its worker cannot be ended from here, and goes on with it.

    Workers have to see the same files under the same paths, and this version of hemoseg. Who reaches the scheduler's
    port can run programs on them: it belongs into a network that is trusted, or behind dask's TLS.
    """

    address: str
    """Where the scheduler is, like `tcp://10.0.0.1:8786`."""
    limit_s: float = LIMIT_S
    """Seconds that one job may take, counted from when it is handed over."""
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
            ResourceError: a job raised anything else, took too long, or too many of its workers died; names the job;
                unless `failed` is told. Or the scheduler does not answer, or has had no worker for a minute.
        """
        waiting = deque(jobs)
        running: dict[Any, _Running] = {}
        with _client(self.address) as client:
            try:
                seen = time.monotonic()
                while waiting or running:
                    threads = sum(client.nthreads().values())
                    seen = time.monotonic() if threads else seen
                    self._check_workers(seen, [*(job.name for job in running.values()), *(job.name for job in waiting)])
                    while waiting and len(running) < threads:
                        self._submit(client, function, waiting.popleft(), running, failed)
                    for future in _ended(client, list(running)):
                        self._end(running.pop(future).name, future, done, failed)
                    self._give_up(client, running, failed)
            finally:
                client.cancel(list(running), force=True)

    def _submit(
        self,
        client: Any,
        function: Callable[[T], R],
        job: Job[T],
        running: dict[Any, _Running],
        failed: Callable[[str, HemosegError], None] | None,
    ) -> None:
        """Hand over a job, packed as for a process of our own; one that cannot be packed fails."""
        try:
            message = pack((function, job.argument))
        except Exception as error:
            tell_or_raise(failed, job.name, named_failure(job.name, error, self.log))
            return
        future = client.submit(answer, message, pure=False)
        running[future] = _Running(name=job.name, deadline=time.monotonic() + self.limit_s)

    def _end(
        self,
        name: str,
        future: Any,
        done: Callable[[str, R], None],
        failed: Callable[[str, HemosegError], None] | None,
    ) -> None:
        """Tell how a job ended."""
        if future.status != "finished":
            tell_or_raise(failed, name, _not_finished(name, future))
            return
        try:
            said: Success | Failure = unpack(future.result())
        except Exception as error:  # a result that can be pickled but not unpickled
            said = Failure.of(error)
        if isinstance(said, Failure):
            tell_or_raise(failed, name, error_of(name, said, self.log))
        else:
            done(name, said.result)

    def _give_up(
        self, client: Any, running: dict[Any, _Running], failed: Callable[[str, HemosegError], None] | None
    ) -> None:
        """Give up the jobs that take too long."""
        now = time.monotonic()
        for future in [future for future, job in running.items() if now >= job.deadline]:
            client.cancel([future], force=True)
            tell_or_raise(failed, name := running.pop(future).name, late(name, self.limit_s))

    def _check_workers(self, seen: float, left: list[str]) -> None:
        """Make sure that there have been workers not long ago.

        Raises:
            ResourceError: there were none.
        """
        if time.monotonic() - seen > NOBODY_S:
            raise ResourceError(
                f"no worker for {NOBODY_S:g} s; not done: {', '.join(left[:8])}{' …' if len(left) > 8 else ''}",
                where=f"--cluster {self.address}",
                expected="a scheduler with workers",
                remedy="start some: dask worker ADDRESS --nthreads 1",
            )


def _ended(client: Any, futures: list[Any]) -> Iterable[Any]:
    """Wait for a moment; those of the jobs that have ended."""
    from distributed import wait

    if not futures:  # there is no worker to give one to
        time.sleep(LOOK_S)
        return ()
    with client.as_current():
        try:
            ended: set[Any] = wait(futures, timeout=LOOK_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return ()
    return ended


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A connection to the scheduler.

    Raises:
        ResourceError: dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"the package {error.name} is not installed",
            where="--cluster",
            expected="dask's distributed, to hand over jobs",
            remedy="pip install 'hemoseg[dask]'",
        ) from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ResourceError(
            f"no scheduler answers: {error}",
            where=f"--cluster {address}",
            expected="the address of a running dask scheduler, like tcp://10.0.0.1:8786",
            remedy="start one (dask scheduler) and give the address that it prints",
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_S)


def _not_finished(name: str, future: Any) -> ResourceError:
    """The error of a job that no worker finished."""
    error = future.exception() if future.status == "error" else None
    why = f": {type(error).__name__}: {str(error).splitlines()[0]}" if error is not None and str(error) else ""
    return ResourceError(
        f"no worker finished it{why}",
        where=name,
        expected="a worker that lives to the end of its job",
        remedy="look into the logs of the workers; give them more memory, or report the case if it fails alone as well",
    )
