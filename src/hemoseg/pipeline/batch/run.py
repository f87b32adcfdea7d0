"""A batch of scans from the first to the last: what is done stays done, what fails is told and stops no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemoseg.artifacts import sweep_gone
from hemoseg.errors import HemosegError, InputError, ResourceError
from hemoseg.models import Bundle
from hemoseg.pipeline.batch.record import (
    Event,
    Header,
    Record,
    event_of,
    failed_event,
    has_manifest,
    manifest_name,
    open_record,
)
from hemoseg.pipeline.batch.sources import Found, Scan
from hemoseg.pipeline.batch.stream import Done, Failed, Stream
from hemoseg.pipeline.batch.summary import summary_name, write_summary
from hemoseg.pipeline.batch.work import ERRORS_LOG, Options, Work, check_asked, check_place, load_for, segment_file
from hemoseg.pipeline.watch import Watch
from hemoseg.scale import Executor, Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is asked of a command with many scans."""

    found: Found
    """The scans, in their order, with files that are none: those have a row in the summary."""
    out: Path
    """Folder of all results."""
    model: str | None
    """Name or folder of the model; None for the embedded one."""
    options: Options
    """What is asked of every scan."""
    shard: tuple[int, int] | None = None
    """Which of how many parts this is, from 1; the scans are those of the part."""
    limit_s: float
    """Seconds that one scan may take."""
    retries: int
    """How often a scan is tried again, after all others, that a resource failed for."""
    max_memory_gb: float | None = None
    """Most memory that each process may hold, in 10^9 bytes; None for no limit."""
    threads: int | None = None
    """Threads of each other process; None leaves them as they are."""
    start_s: float
    """Seconds since the process started."""


@dataclass(slots=True, kw_only=True)
class Result:
    """What became of a batch."""

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    """{scan: value of its report}."""
    failures: dict[str, HemosegError] = field(default_factory=dict)
    """{scan: why there is none}."""
    earlier: int = 0
    """Scans that an earlier call had segmented."""
    unwritten: HemosegError | None = None
    """Why there is no `summary.csv` of it."""


def run_batch(
    batch: Batch,
    bundle: Bundle,
    *,
    executor: Executor | None,
    watch: Watch,
    ready: Callable[[], None],
    done: Done,
) -> Result:
    """Segment the scans of a batch that are not segmented yet, and write `summary.csv`.

    Args:
        batch: what is asked.
        bundle: its model.
        executor: what runs the scans in other processes; None for this one.
        watch: told how far it is.
        ready: called when all that can be refused was looked at, before any work.
        done: told each scan and its report as it is done.

    Raises:
        InputError: something else lies in the place of a result.
        SettingsError: results of another model or of other options lie in the folder.
        ArtifactError: a manifest is damaged.
        ResourceError: another process works on the same, or what is done cannot be written down.
        InterruptedRunError: a signal asked to stop; the same command goes on.
    """
    _check_names(batch)
    if not has_manifest(batch.out):  # one that is there tells what differs from what was asked before
        check_asked(bundle, batch.options)
    header = Header(
        model=f"{bundle.manifest.name} {bundle.manifest.model_version}",
        model_sha256=bundle.sha256,
        options=batch.options,
    )
    with open_record(batch.out, header, batch.shard) as record:
        result = Result()
        waiting = []
        for scan in batch.found.scans:
            if record.is_done(scan, batch.out, batch.options.layout):
                report = record.events[scan.name].report
                assert report is not None
                result.reports[scan.name] = report
            else:
                waiting.append(scan)
                record.check_same_scan(scan, batch.out, batch.options.layout)
                if batch.options.layout == "folders" or not record.is_ours(scan):
                    check_place(scan, batch.out, batch.options.layout)
        result.earlier = len(result.reports)
        ready()
        sweep_gone(batch.out)
        record.add(*(event_of(scan, status="begun") for scan in waiting))
        try:
            _work_through(batch, waiting, record, result, executor=executor, watch=watch, done=done)
        finally:
            if record.is_there:
                result.unwritten = _summarize(batch, record)
    return result


def _summarize(batch: Batch, record: Record) -> HemosegError | None:
    """Write the summary; why it cannot be, so that this hides neither failed scans nor what ended the batch."""
    try:
        write_summary(batch.out / summary_name(batch.shard), _rows(batch, record))
    except HemosegError as error:
        return error
    return None


def _rows(batch: Batch, record: Record) -> list[tuple[str, Event | None]]:
    """The summary's rows: the batch's scans in their order, then what earlier calls did, but not in those of shards."""
    rows: list[tuple[str, Event | None]] = [
        (file.name, record.events.get(file.name) if isinstance(file, Scan) else failed_event(file, file.error))
        for file in batch.found.files
    ]
    if batch.shard is None:
        asked = {name for name, _ in rows}
        rows += [
            (name, event)
            for name, event in record.events.items()
            if name not in asked and record.has_result(name, batch.out, batch.options.layout)
        ]
    return rows


def _work_through(
    batch: Batch,
    waiting: Sequence[Scan],
    record: Record,
    result: Result,
    *,
    executor: Executor | None,
    watch: Watch,
    done: Done,
) -> None:
    """Segment what waits, then once more what a resource failed for, as often as asked."""
    ended = result.earlier

    def note(scan: Scan, report: dict[str, Any]) -> None:
        nonlocal ended
        record.add(_done_event(scan, report))
        result.failures.pop(scan.name, None)
        result.reports[scan.name] = report
        ended += 1
        watch.advance(ended, scan.name)
        done(scan, report)

    def fail(scan: Scan, error: HemosegError) -> None:
        record.add(failed_event(scan, error))
        result.failures[scan.name] = error
        watch.say(f"{scan.name}: failed: {error.found}")

    def tell(scan: Scan, tiles: int, total: int) -> None:
        watch.advance(ended, f"{scan.name}: {tiles} of {total} tiles")

    watch.begin("segment", len(batch.found.scans))
    watch.advance(ended)
    if not waiting:
        return
    segment = _spread(batch, executor, note, fail) if executor else _stream(batch, tell, note, fail)
    for left in range(batch.retries, -1, -1):
        segment(waiting)
        failures = {scan: result.failures[scan.name] for scan in waiting if scan.name in result.failures}
        waiting = [scan for scan, error in failures.items() if isinstance(error, ResourceError)]
        if not waiting or not left:
            return
        watch.say(f"once more: {', '.join(scan.name for scan in waiting[:8])}{' …' if len(waiting) > 8 else ''}")


def _done_event(scan: Scan, report: dict[str, Any]) -> Event:
    seconds = sum(value for stage, value in report["seconds"].items() if stage != "start" and value is not None)
    return event_of(scan, status="done", seconds=round(seconds, 3), report=report)


def _check_names(batch: Batch) -> None:
    """Make sure that no result takes the place of the batch's own files.

    Raises:
        InputError: one would.
    """
    own = {manifest_name(batch.shard), summary_name(batch.shard), ERRORS_LOG}
    for scan in batch.found.scans:
        if batch.options.layout == "folders" and scan.name in own:
            raise InputError(
                f"its result would be named {scan.name}, as a file of all results is",
                where=scan.path,
                expected=f"another name than {', '.join(sorted(own))}",
                remedy="rename the file, or give names in a table",
            )


def _stream(
    batch: Batch, tell: Callable[[Scan, int, int], None], done: Done, failed: Failed
) -> Callable[[Sequence[Scan]], None]:
    """What segments scans in this process."""
    return Stream(
        model=load_for(batch.model, batch.options, max_memory_gb=batch.max_memory_gb, scratch=batch.out),
        options=batch.options,
        out=batch.out,
        max_memory_gb=batch.max_memory_gb,
        limit_s=batch.limit_s,
        start_s=batch.start_s,
        tell=tell,
        done=done,
        failed=failed,
    ).run


def _spread(batch: Batch, executor: Executor, done: Done, failed: Failed) -> Callable[[Sequence[Scan]], None]:
    """What segments scans in other processes."""
    by_name = {scan.name: scan for scan in batch.found.scans}

    def segment(scans: Sequence[Scan]) -> None:
        jobs = [
            Job(
                name=scan.name,
                argument=Work(
                    scan=Scan(path=scan.path.resolve(), name=scan.name),
                    model=batch.model,
                    options=batch.options,
                    out=batch.out.resolve(),
                    limit_s=batch.limit_s,
                    max_memory_gb=batch.max_memory_gb,
                    threads=batch.threads,
                ),
            )
            for scan in scans
        ]
        executor.run(
            segment_file,
            jobs,
            done=lambda name, report: done(by_name[name], report),
            failed=lambda name, error: failed(by_name[name], error),
        )

    return segment
