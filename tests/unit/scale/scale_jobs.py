"""Jobs for the executors' tests, in a module of their own: worker processes import it, and pytest is slow to import."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil

from hemoseg.errors import HemosegError


def double(number: int) -> int:
    return 2 * number


def process_id(_argument: object) -> int:
    return os.getpid()


def siblings(_argument: object) -> int:
    children = psutil.Process(os.getppid()).children()
    return sum(any("spawn_main" in word for word in child.cmdline()) for child in children)


def sleep_s(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def large(megabytes: int) -> bytes:
    return bytes(megabytes << 20)


def raise_it(error: BaseException | str) -> None:
    if isinstance(error, BaseException):
        raise error


def fail_if_short(text: str) -> str:
    if len(text) < 3:
        raise ValueError(f"{text!r} is short")
    return text


def leave(code: int) -> None:
    sys.exit(code)


def leave_at_once(code: int) -> None:
    os._exit(code)


def unpicklable(_argument: object) -> object:
    return lambda: None


def kill_once(marker: Path | None) -> str:
    """Dies if the marker is not there yet."""
    if marker is not None and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def kill_always(marker: Path | None) -> str:
    if marker is not None:
        with marker.open("a") as handle:
            handle.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def stop_always(_argument: object) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def signal_itself(number: int) -> str:
    os.kill(os.getpid(), number)
    return "done"


class KilledInAnswer:
    """A result during whose pickling the process is killed, the first time."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[type, tuple[()]]:
        kill_once(self.marker)
        return str, ()


def kill_in_answer(marker: Path | None) -> object:
    return "" if marker is None else KilledInAnswer(marker)


def _refuse() -> None:
    raise ValueError("cannot be made again")


class OneWay:
    """Can be pickled and not unpickled."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return _refuse, ()


def one_way(_argument: object) -> object:
    return OneWay()


def cut_answer(_argument: object) -> object:
    """Writes a beginning of an answer to the channel and dies, as a process killed while sending does."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\0" * 6)
        except OSError:
            continue
    os.kill(os.getpid(), signal.SIGKILL)
    return None


class OddError(HemosegError):
    """An error of ours that holds what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("odd", where="here", expected="even", remedy="add one")
        self.held = lambda: None


def raise_odd(_argument: object) -> None:
    raise OddError


def announce(folder: Path) -> None:
    """Tell this process's id by a file's name, then compute in C, which never gives up the interpreter lock."""
    (folder / str(os.getpid())).touch()
    os.nice(19)  # the test itself needs a processor, too
    sum(range(10**12))
