"""Scans through one network in this process: while it works on one, the next is read and the last is written.

A scan is read only when the one before the last is on disk, so at most two are in memory; and where memory is limited
and would not hold both, only when its predecessor is on disk. Reading and writing are
threads that nobody waits for beyond a scan's time: a disk that does not answer costs that scan alone.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hemoseg.errors import HemosegError
from hemoseg.geometry import Volume
from hemoseg.io import reading_bytes
from hemoseg.pipeline.batch.sources import Scan
from hemoseg.pipeline.batch.work import (
    ERRORS_LOG,
    READING_LATE,
    WRITING_LATE,
    Deadline,
    Options,
    as_ours,
    check_reading,
    read_one,
    segment_one,
    write_one,
)
from hemoseg.scale.failure import late_error

if TYPE_CHECKING:
    from hemoseg.inference import Model

R = TypeVar("R")
END_LIMIT_S = 30.0
"""Seconds that an interrupted batch waits for the result that is being written."""

Done = Callable[[Scan, dict[str, Any]], None]
Failed = Callable[[Scan, HemosegError], None]


class _Later(Generic[R]):
    """A function that runs in a thread of its own, and its result."""

    def __init__(self, function: Callable[[], R]) -> None:
        self._function = function
        self._ended: tuple[R | None, BaseException | None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> R:
        """The result of one that has ended.

        Raises:
            BaseException: what the function raised.
        """
        assert self._ended is not None
        value, error = self._ended
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._ended is not None

    def wait(self, limit_s: float) -> None:
        """Wait until it has ended, but no longer than that."""
        self._thread.join(min(limit_s, threading.TIMEOUT_MAX))

    def _run(self) -> None:
        try:
            self._ended = self._function(), None
        except BaseException as error:
            self._ended = None, error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writing:
    """A result on its way to the disk."""

    scan: Scan
    """Whose it is."""
    later: "_Later[None]"
    """What writes it."""


@dataclass(kw_only=True)
class Stream:
    """Reading, network and writing of scans, each at the same time as the others."""

    model: "Model"
    """The networks."""
    options: Options
    """What is asked of every scan."""
    out: Path
    """Folder of all results."""
    max_memory_gb: float | None = None
    """Most memory that the process may hold, in 10^9 bytes; None for no limit."""
    limit_s: float
    """Seconds that reading and network together, and writing, may take."""
    start_s: float
    """Seconds from the start of the process; the first result has them."""
    tell: Callable[[Scan, int, int], None]
    """Told (scan, tiles done, tiles in all)."""
    done: Done
    """Told a scan and the value of its report, once its result is on disk; in any thread, one at a time."""
    failed: Failed
    """Told a scan and its error, likewise."""
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def run(self, scans: Sequence[Scan]) -> None:
        """Segment scans in their order.

        Raises:
            HemosegError: what `done` or `failed` raised; a scan's own error is told to `failed`.
        """
        writing: _Writing | None = None
        reading = self._read(scans[0], None) if scans else None
        try:
            for number, scan in enumerate(scans):
                read = self._read_in_time(reading or self._read(scan, writing), scan)
                following, reading = scans[number + 1] if number + 1 < len(scans) else None, None
                if following is not None and (read is None or self._has_room(read[0], following)):
                    reading = self._read(following, writing)
                write = None if read is None else self._through_network(scan, *read)
                del read  # the scan lives on in what is written, and in nothing else
                self._collect(writing)
                writing = None if write is None else _Writing(scan=scan, later=_Later(write))
            self._collect(writing)
            writing = None
        finally:
            if writing is not None:
                writing.later.wait(END_LIMIT_S)

    def _collect(self, writing: "_Writing | None") -> None:
        """Wait until a result is on disk.

        Raises:
            HemosegError: what `done` raised.
        """
        if writing is None:
            return
        writing.later.wait(self.limit_s)
        if writing.later.is_over:
            writing.later.result()
        else:
            self._tell_failure(writing.scan, late_error(writing.scan.name, self.limit_s, remedy=WRITING_LATE))

    def _read(self, scan: Scan, before: "_Writing | None") -> "_Later[tuple[Volume, float]]":
        """Begin to read a scan as soon as there is room for it: when an earlier one is written."""

        def read() -> tuple[Volume, float]:
            if before is not None:
                before.later.wait(self.limit_s)
            check_reading(self.model, scan)
            return read_one(scan, self.options)

        return _Later(read)

    def _has_room(self, volume: Volume, following: Scan) -> bool:
        """Whether the next scan may be read while the network has this one."""
        if self.max_memory_gb is None:
            return True
        try:
            ahead = reading_bytes(following.path)
        except HemosegError:  # reading it will say what is wrong, and ends at the header
            return True
        return self.model.has_room_beside(volume, ahead)

    def _read_in_time(self, reading: "_Later[tuple[Volume, float]]", scan: Scan) -> tuple[Volume, float] | None:
        """The scan and the seconds that reading took; None if it failed, which is told."""
        reading.wait(self.limit_s)
        try:
            if not reading.is_over:
                raise late_error(scan.name, self.limit_s, remedy=READING_LATE)
            return reading.result()
        except BaseException as error:
            self._tell_failure(scan, error)
            return None

    def _through_network(self, scan: Scan, volume: Volume, read_s: float) -> Callable[[], None] | None:
        """Segment a scan; what writes the result, or None if it failed, which is told."""
        deadline = Deadline(name=scan.name, limit_s=self.limit_s, spent_s=read_s)
        deadline.begin()
        try:
            segmentation = segment_one(self.model, volume, deadline, lambda *tiles: self.tell(scan, *tiles))
        except BaseException as error:
            self._tell_failure(scan, error)
            return None
        seconds = {"start": self.start_s, "read": read_s}
        self.start_s = 0.0

        def write() -> None:
            try:
                report = write_one(segmentation, self.out, self.options.layout, seconds)
            except BaseException as error:
                self._tell_failure(scan, error)
                return
            with self._one_at_a_time:
                self.done(scan, report)

        return write

    def _tell_failure(self, scan: Scan, error: BaseException) -> None:
        """Tell of a scan that failed.

        Raises:
            InterruptedRunError: a signal, which ends all.
        """
        told = as_ours(error, scan, log=self.out / ERRORS_LOG)
        with self._one_at_a_time:
            self.failed(scan, told)
