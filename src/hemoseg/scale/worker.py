"""The far side of a pool: a process that does one job after the other."""

import ctypes
import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from hemoseg.scale.failure import Failure
from hemoseg.scale.wire import is_whole, pack, unpack

CHUNK = 1 << 20
"""Bytes asked of a socket at once; more than its buffer holds."""
PR_SET_PDEATHSIG = 1
"""`prctl(2)`: the signal that this process gets when its parent dies."""
MASKED = (signal.SIGINT, signal.SIGTERM)
"""Signals that the parent holds back while it starts a worker, which inherits that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """What a job's function returned."""

    result: Any
    """The value."""


def work(channel: socket.socket, parent: int) -> None:
    """Read jobs from the channel and write their answers, until it is closed.

    Only the parent decides what an interrupt means, so SIGINT (which a terminal sends to all of them) is ignored.

    Args:
        channel: this worker's own pair of ends with the parent; no other process has them.
        parent: its process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, MASKED)
    end_with(parent)
    while message := _receive(channel):
        try:
            channel.sendall(answer(message))
        except OSError:  # the parent is gone, and nobody wants the answer
            return


def answer(message: bytes) -> bytes:
    """The message that tells how the job of a message went. Nothing that a job raises gets past it."""
    try:
        function, argument = unpack(message)
        return pack(Success(result=function(argument)))
    except BaseException as error:  # sys.exit in a job ends the job, not the worker
        failure = Failure.of(error)
    try:
        return pack(failure)
    except Exception:  # an error of ours that holds what cannot be pickled
        return pack(Failure(summary=failure.summary, traceback=failure.traceback, error=None))


def end_with(parent: int) -> None:
    """Let this process be killed when its parent dies, even in the middle of a job.

    Linux does that. Elsewhere a worker ends when its job is done and it finds the channel closed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _receive(channel: socket.socket) -> bytes:
    """The next message; empty when the channel is closed."""
    received = bytearray()
    while not is_whole(received):
        try:
            chunk = channel.recv(CHUNK)
        except OSError:
            return b""
        if not chunk:
            return b""
        received += chunk
    return bytes(received)
