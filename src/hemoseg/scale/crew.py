"""The near side of a pool: its workers, and what each of them is doing."""

import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from os import getpid
from types import ModuleType
from typing import Any

from hemoseg.errors import ResourceError
from hemoseg.scale.executor import Job
from hemoseg.scale.wire import is_whole
from hemoseg.scale.worker import CHUNK, MASKED, work

SEND_LIMIT_S = 60.0
"""Seconds to hand over a job. Only a stopped process that has filled its channel makes us wait at all."""
LOOK_S = 3600.0
"""Seconds to wait for an answer at once; the system's call takes no more than three weeks."""
END_LIMIT_S = 10.0
"""Seconds for a process to be gone once it closed its channel or was killed. Only one that waits for a dead network
drive needs more; the run does not wait for it."""


@dataclass(slots=True, kw_only=True)
class Task:
    """A job and how often a worker died of it."""

    job: Job[Any]
    """What to do."""
    deaths: int = 0
    """Workers that died while they had it."""


@dataclass(slots=True, kw_only=True)
class Member:
    """A worker and the task it has."""

    process: BaseProcess
    """The process."""
    channel: socket.socket
    """Our end of the channel that only the two of us have."""
    task: Task
    """What it is doing."""
    deadline: float = 0.0
    """When the task has to be done, on the monotonic clock."""
    received: bytearray = field(default_factory=bytearray)
    """What has come of the answer."""

    def give(self, task: Task, message: bytes, limit_s: float) -> None:
        """Hand over a task. If that fails the worker is dead or stuck, and `take` or the deadline will show it."""
        self.task = task
        self.received = bytearray()
        self.deadline = time.monotonic() + limit_s
        with suppress(OSError):
            self.channel.sendall(message)

    def take(self) -> bool:
        """Receive a piece of the answer, as `ready` says that there is one. False: the worker is dead."""
        try:
            chunk = self.channel.recv(CHUNK)
        except OSError:
            return False
        self.received += chunk
        return bool(chunk)

    @property
    def has_answer(self) -> bool:
        """Whether the whole answer has come."""
        return is_whole(self.received)

    @property
    def fate(self) -> str:
        """How the process ended."""
        self.process.join(END_LIMIT_S)  # the channel closes a moment before the exit code is known
        return describe_exit(self.process.exitcode)


def start(crew: list[Member], task: Task) -> Member:
    """Start a worker for a task and add it to the crew.

    Signals are held back meanwhile, so that no interrupt comes between the birth of a process and its place in the
    crew, and so that the newborn does not die of a SIGINT that it cannot ignore yet.

    Raises:
        ResourceError: the system gives no more processes.
    """
    try:
        resource_tracker.ensure_running()  # its own start would let signals through
        with _held_back():
            ours, theirs = socket.socketpair()
            with theirs, _closed_on_error(ours):
                context = multiprocessing.get_context("spawn")
                process = context.Process(target=work, args=(theirs, getpid()), daemon=True)
                with _without_main():
                    process.start()
            ours.settimeout(SEND_LIMIT_S)
            member = Member(process=process, channel=ours, task=task)
            crew.append(member)
    except OSError as error:
        raise ResourceError(
            f"no worker could be started: {error.strerror or error}",
            where=task.job.name,
            expected="a system that gives one more process",
            remedy="use fewer workers",
        ) from error
    return member


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not run the caller's script again.

    Spawned processes load the main module under another name, in case a job's function lives there. Ours live in
    packages, and a script or notebook that calls `hemoseg.run` without guarding its last lines would start another
    run in each worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def ready(crew: list[Member]) -> list[Member]:
    """Wait for an answer, a death or the first deadline, an hour at most; the members that have something to take."""
    remaining_s = min(member.deadline for member in crew) - time.monotonic()
    able = wait([member.channel for member in crew], timeout=min(max(0.0, remaining_s), LOOK_S))
    return [member for member in crew if member.channel in able]


def end(members: list[Member]) -> None:
    """Kill workers at once and wait until they are gone. Ending one again does nothing.

    SIGKILL, since jobs write whole files or none and nothing is gained by asking first.
    """
    with _held_back():
        for member in members:
            with suppress(ValueError):  # it was ended before
                member.process.kill()
        for member in members:
            member.channel.close()
            with suppress(ValueError):  # it was ended before, or is not gone after all that time
                member.process.join(END_LIMIT_S)
                member.process.close()


def describe_exit(code: int | None) -> str:
    """The end of a process in words, from its exit code; None means that it has not ended."""
    if code is None:
        return "closed its channel"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "without a name"
    why = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code} ({name}){why}"


@contextmanager
def _closed_on_error(channel: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        channel.close()
        raise


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals that would raise here wait until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, MASKED)  # raises for a signal that came a moment ago
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
