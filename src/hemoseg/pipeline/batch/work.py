"""One scan of many: read, segmented, written. Any process on any machine that sees the files can do it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from hemoseg.errors import HemosegError, InputError, InterruptedRunError, ResourceError
from hemoseg.geometry import Volume
from hemoseg.io import read_scan, reading_bytes, write_mask
from hemoseg.pipeline.batch.sources import Scan
from hemoseg.scale.failure import late_error, named_failure
from hemoseg.segmentation import Segmentation

if TYPE_CHECKING:
    from hemoseg.inference import Extras, Model
    from hemoseg.models import Bundle

Layout = Literal["folders", "flat"]
ERRORS_LOG = "errors.log"
"""File in the folder of results that gets the tracebacks of errors that nobody expected."""
READING_LATE = "look whether its file can be read at all; if it can, give a longer --time-limit"
"""What to try where reading takes most of a scan's time."""
NETWORK_LATE = "a longer --time-limit, or a --time-budget within it, which leaves out mirrorings that do not fit"
"""What to try where the network does."""
WRITING_LATE = "look whether the folder of results can be written at all; if it can, give a longer --time-limit"
"""What to try where writing does."""
ONE_AT_A_TIME = threading.Lock()
"""Held while a worker has a scan: in a cluster it may have several threads, and a network takes one scan at a time."""


class Options(BaseModel):
    """What is asked of every scan. Results of other options do not lie in the same folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks run."""
    engine: Literal["auto", "openvino", "torch"] = "auto"
    """What runs them."""
    assume_hu: bool = False
    """Whether values are taken as HU that do not look like it."""
    exact: bool = False
    """Whether all is as nnU-Net does it."""
    second_look: bool = False
    """Whether a mask without blood shows what has a lower probability of it."""
    low_vote: bool = False
    """Whether two votes are enough for blood in scans where members do not agree."""
    doubt: bool = False
    """Whether maps of doubt are written."""
    probabilities: bool = False
    """Whether probabilities are written."""
    average: Literal["logits", "probabilities"] = "logits"
    """What is averaged over folds and mirrored copies."""
    time_budget_s: float | None = None
    """Seconds that networks have to fit into; None for all the time that they take."""
    layout: Layout = "folders"
    """Whether each scan gets a folder `NAME/`, or one file `NAME.nii.gz`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One scan to segment in another process."""

    scan: Scan
    """The scan."""
    model: str | None
    """Name or folder of the model; None for the embedded one."""
    options: Options
    """What is asked."""
    out: Path
    """Folder of all results."""
    limit_s: float
    """Seconds that it may take."""
    max_memory_gb: float | None
    """Most memory that its process may hold, in 10^9 bytes; None for no limit."""
    threads: int | None
    """Threads to compute with; None leaves them as they are."""


@dataclass(slots=True, kw_only=True)
class Deadline:
    """Time that one scan may take; the clock runs while somebody works on it."""

    name: str
    """The scan."""
    limit_s: float
    """Seconds in all."""
    spent_s: float = 0.0
    """Seconds that reading took."""
    began: float = 0.0
    """When the network began, on the monotonic clock."""

    def begin(self) -> None:
        """The network begins."""
        self.began = time.monotonic()

    def check(self) -> None:
        """Look at the clock.

        Raises:
            ResourceError: the time is over.
        """
        network_s = time.monotonic() - self.began
        if self.spent_s + network_s > self.limit_s:
            remedy = READING_LATE if self.spent_s > network_s else NETWORK_LATE
            raise late_error(self.name, self.limit_s, remedy=remedy)


def load_for(
    model: str | None, options: Options, *, max_memory_gb: float | None, scratch: Path, threads: int | None = None
) -> "Model":
    """The model as the options ask for it.

    Args:
        model: its name or folder; None for the embedded one.
        options: what is asked of every scan.
        max_memory_gb: most memory that the process may hold, in 10^9 bytes; None for no limit.
        scratch: folder for what memory does not hold.
        threads: threads to compute with; None for all CPUs.

    Raises:
        HemosegError: what `load_model` raises.
    """
    from hemoseg.inference import Limits, load_model

    return load_model(
        model,
        device=options.device,
        exact=options.exact,
        engine=options.engine,
        extras=_extras(options),
        limits=Limits(max_memory_gb=max_memory_gb, time_budget_s=options.time_budget_s, scratch=scratch),
        threads=threads,
    )


def check_asked(bundle: "Bundle", options: Options) -> None:
    """Make sure that a model can do what is asked of every scan, before any is looked at.

    Raises:
        SettingsError: it cannot.
    """
    from hemoseg.inference import Limits, check_possible

    limits = Limits(time_budget_s=options.time_budget_s)
    check_possible(bundle, exact=options.exact, extras=_extras(options), limits=limits)


def _extras(options: Options) -> "Extras":
    from hemoseg.inference import Extras

    return Extras(
        second_look=options.second_look,
        low_vote=options.low_vote,
        doubt=options.doubt,
        probabilities=options.probabilities,
        average=options.average,
    )


def segment_file(work: Work) -> dict[str, Any]:
    """Segment one scan with a model that this process loads once, and write its result; the value of its report.

    Raises:
        HemosegError: the scan cannot be segmented, or not in time.
    """
    with ONE_AT_A_TIME:
        return _segment_file(work)


def _segment_file(work: Work) -> dict[str, Any]:
    model = _model_for(work.model, work.options, work.threads, work.max_memory_gb, work.out)
    try:
        check_reading(model, work.scan)
        volume, read_s = read_one(work.scan, work.options)
        deadline = Deadline(name=work.scan.name, limit_s=work.limit_s, spent_s=read_s)
        deadline.begin()
        segmentation = segment_one(model, volume, deadline, lambda _done, _total: None)
        return write_one(segmentation, work.out, work.options.layout, {"start": 0.0, "read": read_s})
    except (MemoryError, OSError) as error:
        raise as_ours(error, work.scan, log=None) from error


def check_reading(model: "Model", scan: Scan) -> None:
    """Make sure by a scan's header that reading it is allowed beside the model.

    Raises:
        ResourceError: it would take more memory than allowed.
    """
    try:
        needed = reading_bytes(scan.path)
    except HemosegError:  # reading it will say what is wrong, and ends at the header
        return
    model.check_reading(needed, scan=scan.name)


def read_one(scan: Scan, options: Options) -> tuple[Volume, float]:
    """The scan under the name of its result, and the seconds that reading took.

    Raises:
        InputError: it cannot be read, or its values are no HU.
    """
    began = time.monotonic()
    volume = read_scan(scan.path, assume_hu=options.assume_hu, least_slices=1)
    return replace(volume, name=scan.name), time.monotonic() - began


def segment_one(model: "Model", volume: Volume, deadline: Deadline, tell: Callable[[int, int], None]) -> Segmentation:
    """Segment a scan, and look at the clock after each tile.

    Args:
        model: the networks.
        volume: the scan.
        deadline: its time.
        tell: told (tiles done, tiles in all).

    Raises:
        ResourceError: the time is over.
    """

    def watch(done: int, total: int) -> None:
        deadline.check()
        tell(done, total)

    return model.segment(volume, watch=watch)


def write_one(segmentation: Segmentation, out: Path, layout: Layout, seconds: dict[str, float]) -> dict[str, Any]:
    """Write a scan's result, whole or not at all, and return the value of its report.

    Raises:
        InputError: other files lie in its place.
        ResourceError: the disk is full or the folder cannot be written.
    """
    from hemoseg.report import provenance, result_json, write_result

    source = provenance(segmentation.volume)
    if layout == "folders":
        written: dict[str, Any] = write_result(segmentation, out, seconds=seconds, provenance=source)
        return written
    began = time.monotonic()
    write_mask(target_of(segmentation.volume.name, out, layout), segmentation.labels, segmentation.volume)
    value: dict[str, Any] = result_json(
        segmentation, seconds={**seconds, "write": time.monotonic() - began}, provenance=source
    )
    return value


def target_of(name: str, out: Path, layout: Layout) -> Path:
    """Where a scan's result lies: a folder, or one file."""
    return out / name if layout == "folders" else out / f"{name}.nii.gz"


def result_files(name: str, out: Path, layout: Layout) -> tuple[Path, ...]:
    """Files without which a scan's result is not there."""
    target = target_of(name, out, layout)
    return (target / "mask.nii.gz", target / "report.json") if layout == "folders" else (target,)


def check_place(scan: Scan, out: Path, layout: Layout) -> None:
    """Make sure that a result replaces nothing but an older result of ours.

    Raises:
        InputError: something else lies there.
    """
    from hemoseg.report import check_target

    target = target_of(scan.name, out, layout)
    if layout == "folders":
        check_target(target)
    elif target.exists() or target.is_symlink():
        raise InputError(
            "is there already, and no earlier call with this folder wrote it",
            where=target,
            expected="a folder without a file of this name",
            remedy="choose another --out folder, or remove the file",
        )


def as_ours(error: BaseException, scan: Scan, *, log: Path | None) -> HemosegError:
    """What ended a scan, as one of our errors that names its file.

    Raises:
        InterruptedRunError: a signal, which ends all.
        KeyboardInterrupt: the same.
    """
    if isinstance(error, (InterruptedRunError, KeyboardInterrupt)):
        raise error
    if isinstance(error, HemosegError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError(
            "out of memory",
            where=scan.path,
            expected="enough memory for scan and network",
            remedy="--max-memory, fewer --workers, or a machine with more of it; if little was asked for, look at the "
            "spacing of scan and model",
        )
    if isinstance(error, OSError):
        return ResourceError(
            str(error),
            where=scan.path,
            expected="a disk that can be read and written",
            remedy="free space or mend the disk",
        )
    return named_failure(str(scan.path), error, log)


@lru_cache(maxsize=1)
def _model_for(
    model: str | None, options: Options, threads: int | None, max_memory_gb: float | None, scratch: Path
) -> "Model":
    """The model, loaded once by each worker."""
    return load_for(model, options, max_memory_gb=max_memory_gb, scratch=scratch, threads=threads)
