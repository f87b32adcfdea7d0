"""Gzip files that a thread inflates before their reader asks for them, while Python still loads modules.

Inflating lets other threads run, so on an idle core it takes no time. Whatever goes wrong is left to the reader, who
then opens the file as ever and has the words for it.
"""

import mmap
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT_BYTES = 2**26
"""Inflated bytes in all: about what a thread manages while modules are loaded. Twice as many cost a tenth more CPU
time."""

_Stamp = tuple[int, int, int]


@dataclass(slots=True)
class Held:
    """A file that was inflated, to be read from its start."""

    data: mmap.mmap
    """All of it."""
    at: int = 0
    """The next byte to read."""

    def read(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        piece = bytes(self.data[self.at : self.at + count])
        self.at += len(piece)
        return piece


class Ahead:
    """Files that a thread inflates in their order, those that fit in a number of bytes."""

    def __init__(self, paths: Iterable[Path], *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._waiting = deque(paths)
        self._left = limit_bytes
        self._begun: Path | None = None
        self._held: dict[Path, tuple[_Stamp, Held]] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()  # nothing to wait for if the process ends

    def take(self, path: Path) -> Held | None:
        """The inflated file, once; None if it was not inflated as it is on disk now. Waits while it is under way."""
        with self._changed:
            if path in self._waiting:
                self._waiting.remove(path)  # its reader was faster
            self._changed.wait_for(lambda: self._begun != path)
            found = self._held.pop(path, None)
        return found[1] if found is not None and found[0] == _stamp(path) else None

    def stop(self) -> None:
        """Begin no other file, and let go of those that nobody took."""
        with self._changed:
            self._waiting.clear()
            self._left = 0
            self._held.clear()

    def _work(self) -> None:
        while (path := self._next()) is not None:
            data = None
            with suppress(Exception):  # the reader meets it too, and says so
                stamp = _stamp(path)
                data = _inflate(path, self._left)
            with self._changed:
                self._begun = None
                if data is not None and len(data) <= self._left:
                    self._left -= len(data)
                    self._held[path] = stamp, Held(data)
                self._changed.notify_all()

    def _next(self) -> Path | None:
        with self._changed:
            self._begun = self._waiting.popleft() if self._waiting else None
            return self._begun


_current: Ahead | None = None


@contextmanager
def reading_ahead(paths: Iterable[Path], *, limit_bytes: int = LIMIT_BYTES) -> Iterator[None]:
    """Inflate files for the time of the block; `take` gives them to whoever reads them in it."""
    global _current
    before, _current = _current, Ahead(paths, limit_bytes=limit_bytes)
    mine = _current
    try:
        yield
    finally:
        _current = before
        mine.stop()


def take(path: Path) -> Held | None:
    """What the block around this call has inflated of a file; None if there is no block, or nothing of it."""
    return None if _current is None else _current.take(path)


def _stamp(path: Path) -> _Stamp:
    """What changes with the content of a file."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _inflate(path: Path, limit_bytes: int) -> mmap.mmap | None:
    """A gzip file of one member, whose last four bytes are its size (RFC 1952); None if it is none, or larger."""
    from isal import igzip

    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return None
        file.seek(-4, 2)
        size = int.from_bytes(file.read(4), "little")
        if size > limit_bytes:
            return None
        file.seek(0)
        data = _memory(size)
        view, filled = memoryview(data), 0
        handle = igzip.IGzipFile(fileobj=file, mode="rb")  # type: ignore[no-untyped-call]
        while filled < size and (count := handle.readinto(view[filled:])):
            filled += count
        return data if filled == size and not handle.read(1) else None  # asking for more makes gzip check its sum


def _memory(size: int) -> mmap.mmap:
    """New memory, in large pages where the system has them, as numpy takes it too: small ones cost time."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
