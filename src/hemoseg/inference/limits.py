"""What a segmentation may take: memory, and time."""

import mmap
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.arrays import Float
from hemoseg.errors import ResourceError
from hemoseg.plan import Configuration
from hemoseg.types import IntZYX

GB = 1e9
"""Bytes."""
FLOAT32 = 4
"""Bytes of a number."""
TOP_TENSORS = 3
"""Tensors of the finest stage that live at the same time at least, beside its skip: two joined, and what is made."""

PARTS = 6
"""Times that a patch is held for a moment in bf16: its parts as OpenVINO gets them, and those they are made of."""
COPIES = 3
"""Copies of a tile's logits: the engine's, the mean over mirrorings, and what is added."""
LABEL_MAPS = 2
"""Label maps that live at the same time: as networks see it, and as stored."""
PLANES = 4
"""Planes of logits that live at the same time: two that are mixed, the result, and what doubt makes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the user allows for each scan."""

    max_memory_gb: float | None = None
    """Largest resident memory of the process, in 10^9 bytes."""
    time_budget_s: float | None = None
    """Seconds from the scan in memory to its label map."""
    scratch: Path | None = None
    """Folder for files that stand in for memory; None takes the system's for temporary files."""


NO_LIMITS = Limits()


class Room:
    """Makes arrays: in memory, or in files without a name that the system writes out and drops from memory."""

    def __init__(self, *, mapped: bool, scratch: Path | None = None) -> None:
        self.mapped = mapped
        self.scratch = scratch
        self.maps: list[mmap.mmap] = []

    def zeros(self, shape: tuple[int, ...], kind: type[np.floating[Any]]) -> Float[np.ndarray, "..."]:
        """An array of zeros.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        size = prod(shape) * np.dtype(kind).itemsize
        if not self.mapped or not size:
            return np.zeros(shape, dtype=kind)
        try:
            if self.scratch is not None:
                self.scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.scratch) as file:
                _reserve(file.fileno(), size)
                self.maps.append(mmap.mmap(file.fileno(), size))
        except OSError as error:
            raise ResourceError(
                f"{size / GB:.1f} GB of sums do not fit: {error.strerror}",
                where=self.scratch or tempfile.gettempdir(),
                expected="room on the disk in place of memory",
                remedy="allow more memory, or write results where there is room",
            ) from error
        return np.frombuffer(self.maps[-1], dtype=kind).reshape(shape)

    def rest(self) -> None:
        """Let go of the memory of files; what is in them stays."""
        for one in self.maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                one.madvise(mmap.MADV_DONTNEED)


def choose_room(limits: Limits, *, scan: str, sums: int, at_once: int, others: int) -> Room:
    """Memory for the sums of tiles if there is enough, files if not.

    Args:
        limits: what is allowed.
        scan: its name, for error texts.
        sums: bytes of all sums.
        at_once: bytes of sums that are held even where they are in files.
        others: bytes that will be needed beside the sums and what the process holds already.

    Raises:
        ResourceError: even files do not help.
    """
    if limits.max_memory_gb is None:
        return Room(mapped=False)
    check_peak(limits, scan)
    held = resident_bytes() + others
    if held + sums <= limits.max_memory_gb * GB:
        return Room(mapped=False)
    if held + at_once <= limits.max_memory_gb * GB:
        return Room(mapped=True, scratch=limits.scratch)
    raise _too_little(limits, scan, f"at least {(held + at_once) / GB:.2f} GB are needed for the network and the scan")


def check_room(limits: Limits, more: int, *, scan: str) -> None:
    """Make sure that so many bytes more are allowed for a scan.

    Raises:
        ResourceError: they are not.
    """
    if limits.max_memory_gb is None:
        return
    check_peak(limits, scan)
    needed = resident_bytes() + more
    if needed > limits.max_memory_gb * GB:
        raise _too_little(limits, scan, f"at least {needed / GB:.2f} GB are needed to prepare the scan")


def check_reading(limits: Limits, more: int, *, held: int, scan: str) -> None:
    """Make sure that so many bytes are allowed for reading a scan, beside what the process held before any.

    Raises:
        ResourceError: they are not.
    """
    if limits.max_memory_gb is not None and held + more > limits.max_memory_gb * GB:
        raise _too_little(limits, scan, f"at least {(held + more) / GB:.2f} GB are needed to read the scan")


def has_room(limits: Limits, more: int) -> bool:
    """Whether so many bytes more are allowed."""
    return limits.max_memory_gb is None or resident_bytes() + more <= limits.max_memory_gb * GB


class Watched:
    """A watch; memory is looked at, too, each time that it is told something of a scan."""

    def __init__(self, limits: Limits, watch: Callable[[int, int], None], *, scan: str) -> None:
        self.limits, self.watch, self.scan = limits, watch, scan
        self.told: tuple[int, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        """So many tiles are done, of all."""
        check_peak(self.limits, self.scan)
        self.told = done, total
        self.watch(done, total)

    def again(self) -> None:
        """Tell the same again between two tiles: large scans take long on their way back, and clocks run on."""
        if self.told is not None:
            self(*self.told)


def check_peak(limits: Limits, scan: str) -> None:
    """Make sure that the process has not taken more than allowed by the time that it has this scan.

    Raises:
        ResourceError: it has.
    """
    if limits.max_memory_gb is None:
        return
    peak = _peak_bytes()
    if peak > limits.max_memory_gb * GB:
        raise _too_little(limits, scan, f"{peak / GB:.2f} GB were taken")


def forget_peak(limits: Limits) -> None:
    """Let a new scan begin with what the process holds now: else one that took too much makes all after it fail.

    Where the system has no way to do so, nothing is done.
    """
    if limits.max_memory_gb is not None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def network_bytes(configuration: Configuration, *, channels: int, outputs: int, batch: int) -> int:
    """What running tiles needs beside weights: skips, the widest of the finest stage, copies of logits."""
    size = 2 if configuration.precision == "bf16" else FLOAT32
    left, skips = prod(configuration.patch_size), 0
    voxels = left
    for width, stride in zip(configuration.features[:-1], configuration.strides[:-1], strict=True):
        left //= prod(stride)
        skips += width * left * size
    channels *= PARTS if configuration.precision == "bf16" else 1
    patches = (channels + COPIES * outputs) * voxels * FLOAT32 * batch
    return skips + TOP_TENSORS * configuration.features[0] * voxels * size + patches


def result_bytes(volume_shape: IntZYX, *, outputs: int, more: int, with_shares: bool) -> int:
    """What the way back needs: label maps, some planes of logits; probabilities, and maps of doubt, if wanted."""
    voxels, plane = prod(volume_shape), outputs * max(prod(volume_shape[1:]), volume_shape[0] * max(volume_shape[1:]))
    wanted = more + (2 * outputs if with_shares else 0)
    return LABEL_MAPS * voxels + (PLANES * plane + wanted * voxels) * FLOAT32


def _too_little(limits: Limits, scan: str, found: str) -> ResourceError:
    return ResourceError(
        f"{found}, and {limits.max_memory_gb:g} GB are allowed",
        where=scan,
        expected="memory for the network, one of its tiles and the scan",
        remedy="a larger --max-memory, or a model with smaller patches",
    )


def resident_bytes() -> int:
    """What the process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _peak_bytes() -> int:
    """The most that was resident so far, where the system tells; what getrusage tells is the parent's at times."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resident_bytes()


def _reserve(file: int, size: int) -> None:
    """Take the room on the disk now: a full disk would end the process when the map is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)
