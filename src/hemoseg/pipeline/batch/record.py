"""What became of each scan, written down the moment it is known, so that a command killed at any moment goes on.

`manifest.jsonl` in the folder of results has one line for the model and options, then one for each event. A line cut
short by a kill is the last one, and is left out. Shards write their own files and read those of the others.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hemoseg.artifacts import appended, readable, sha256_of
from hemoseg.errors import ArtifactError, HemosegError, InputError, ResourceError, SettingsError
from hemoseg.pipeline.batch.sources import NoScan, Scan
from hemoseg.pipeline.batch.work import Layout, Options, result_files

NAMED = 4
"""Scans at most that an error names."""


class Header(BaseModel):
    """First line: whose results these are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    model: str
    """Name and version of the model."""
    model_sha256: str
    """SHA-256 of its manifest."""
    options: Options
    """What was asked of every scan."""


class Event(BaseModel):
    """Another line: what happened to a scan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of its result."""
    source: str
    """SHA-256 of its file's name, size and time of change."""
    place: str = ""
    """SHA-256 of the folder that its file lay in; earlier versions did not write it."""
    status: Literal["begun", "done", "failed"]
    """`begun` is written before anything of the result is."""
    seconds: float = 0.0
    """Seconds from reading to writing, if it is done."""
    report: dict[str, Any] | None = None
    """The value of its report, if it is done."""
    error: tuple[str, str, str] | None = None
    """What was found, expected and is to be tried, if it failed."""
    exit_code: int = 0
    """Exit code of the error."""


@dataclass(slots=True, kw_only=True)
class Record:
    """A manifest that is being written; nobody else writes it meanwhile."""

    path: Path
    """The file."""
    handle: IO[bytes]
    """The same, open at its end."""
    events: dict[str, Event] = field(default_factory=dict)
    """{name: its last event}, those of other shards included."""

    def add(self, *events: Event) -> None:
        """Write events down; they are on the disk when this returns.

        Raises:
            ResourceError: the disk is full or broken, or the file is gone; nothing that follows could be remembered.
        """
        if not events:
            return
        try:
            with appended(self.path):
                _append(self.handle, b"".join(_line(event) for event in events))
            if not self.is_there:
                raise _gone(self.path)
        except ResourceError as error:
            names = ", ".join(event.name for event in events[:NAMED]) + (", …" if len(events) > NAMED else "")
            raise ResourceError(
                f"{error.found}; what became of {names} is not remembered",
                where=error.where,
                expected=error.expected,
                remedy=f"{error.remedy}; then give the same command again",
            ) from error
        self.events.update((event.name, event) for event in events)

    @property
    def is_there(self) -> bool:
        """Whether the next call will find it: nobody removed it, or moved its folder away."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.handle.fileno()))
        except OSError:
            return False

    def is_done(self, scan: Scan, out: Path, layout: Layout) -> bool:
        """Whether the scan, as its file is now, was segmented, and its result is still there."""
        return self.events[scan.name].source == source_of(scan) if self.has_result(scan.name, out, layout) else False

    def has_result(self, name: str, out: Path, layout: Layout) -> bool:
        """Whether a scan of this name was segmented, and its result is still there."""
        event = self.events.get(name)
        files = result_files(name, out, layout)
        return event is not None and event.status == "done" and all(file.exists() for file in files)

    def check_same_scan(self, scan: Scan, out: Path, layout: Layout) -> None:
        """Make sure that a result does not take the place of another scan's, which has the same name elsewhere.

        Raises:
            InputError: it would.
        """
        if not self.has_result(scan.name, out, layout):
            return
        event = self.events[scan.name]
        assert event.report is not None
        moved = event.place not in ("", place_of(scan))
        if moved and scan.path.is_file():
            with readable(scan.path):
                digest = sha256_of(scan.path)
            if digest != event.report["provenance"]["source"]["sha256"]:
                raise InputError(
                    "the result of another scan of this name is there, from another folder",
                    where=result_files(scan.name, out, layout)[0],
                    expected="a name of its own for each scan, since its result is named after it",
                    remedy="choose another --out folder, or give names in a table with the columns path and name",
                )

    def is_ours(self, scan: Scan) -> bool:
        """Whether what may lie in the place of the scan's result is from an earlier call."""
        return scan.name in self.events


def has_manifest(out: Path) -> bool:
    """Whether a folder holds results of many scans, or of a part of them."""
    return any(out.glob("manifest*.jsonl"))


def manifest_name(shard: tuple[int, int] | None) -> str:
    """File name of a manifest: the whole batch's, or that of shard (number, count)."""
    return "manifest.jsonl" if shard is None else f"manifest-{shard[0]}-of-{shard[1]}.jsonl"


def source_of(scan: Scan | NoScan) -> str:
    """What tells whether a scan's file is still the same, without reading it; the file's name cannot be read off it."""
    try:
        status = scan.path.stat()
    except OSError:
        return ""
    return hashlib.sha256(
        f"{scan.path.name} {status.st_size} {status.st_mtime_ns}".encode(errors="replace")
    ).hexdigest()


def place_of(scan: Scan | NoScan) -> str:
    """What tells whether a scan's file lies where it lay; the folder cannot be read off it."""
    return hashlib.sha256(str(scan.path.parent.resolve()).encode(errors="replace")).hexdigest()


def event_of(scan: Scan | NoScan, **values: Any) -> Event:
    """An event of a scan, as its file is now."""
    return Event(name=scan.name, source=source_of(scan), place=place_of(scan), **values)


def failed_event(scan: Scan | NoScan, error: HemosegError) -> Event:
    """The event of a scan that failed."""
    said = (error.found, error.expected, error.remedy)
    return event_of(scan, status="failed", error=said, exit_code=error.exit_code)


@contextmanager
def open_record(out: Path, header: Header, shard: tuple[int, int] | None) -> Iterator[Record]:
    """The manifest of a folder of results, new or with what earlier calls wrote.

    Raises:
        SettingsError: results of another model or other options lie in the folder.
        ArtifactError: a manifest is damaged.
        InputError: a file lies where the folder should be.
        ResourceError: another process works on the same, or the folder cannot be written.
    """
    path = out / manifest_name(shard)
    others = _others(out, path)
    with _locked(path) as handle:
        events: dict[str, Event] = {}
        for other in others:
            _check_idle(other, shard)
            with readable(other):
                events.update(_read(other, other.read_bytes(), header)[0])
        handle.seek(0)
        own, length = _read(path, handle.read(), header)
        # another shard's success is not forgotten over an older failure of ours
        events.update((name, event) for name, event in own.items() if _counts_more(event, events.get(name)))
        with appended(path):
            handle.truncate(length)
            handle.seek(length)
            if length == 0:
                _write(handle, _line(header))
        yield Record(path=path, handle=handle, events=events)


def _counts_more(own: Event, other: Event | None) -> bool:
    return own.status == "done" or other is None or other.status != "done"


def _others(out: Path, own: Path) -> Sequence[Path]:
    return sorted(path for path in out.glob("manifest*.jsonl") if path.name != own.name) if out.is_dir() else []


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, open for reading and appending by this process alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+b", buffering=0)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(
            f"cannot be used: {error.strerror}",
            where=path,
            expected="a folder of results, or a path where one can be made",
            remedy="choose another --out folder",
        ) from error
    except OSError as error:
        raise ResourceError(
            f"cannot be written: {error.strerror or error}",
            where=path,
            expected="a folder that can be written, with space left",
            remedy="free space or choose another --out folder",
        ) from error
    with handle:
        _lock(handle, fcntl.LOCK_EX, path)
        yield handle


def _check_idle(other: Path, shard: tuple[int, int] | None) -> None:
    """Make sure that nobody writes a manifest of scans that are ours too: other shards of as many have others.

    Raises:
        ResourceError: somebody does.
    """
    if shard is not None and other.stem.endswith(f"-of-{shard[1]}"):
        return
    with readable(other), other.open("rb") as handle:
        _lock(handle, fcntl.LOCK_SH, other)


def _lock(handle: IO[bytes], kind: int, path: Path) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        raise ResourceError(
            "another process works on these scans",
            where=path.parent,
            expected="one process per --out folder, or one per --shard",
            remedy="wait for it, stop it, or choose another --out folder",
        ) from error


def _read(path: Path, content: bytes, header: Header) -> tuple[dict[str, Event], int]:
    """The last event of each scan, and the length of the whole lines; nothing of a file without any result.

    Raises:
        SettingsError: it has results of another model or of other options.
        ArtifactError: it is damaged.
    """
    *lines, rest = content.split(b"\n")
    events: dict[str, Event] = {}
    try:
        found = Header.model_validate_json(lines[0]) if lines else header
        for line in lines[1:]:
            event = Event.model_validate_json(line)
            events[event.name] = event
    except ValidationError as error:
        raise ArtifactError(
            f"a damaged line: {error.errors()[0]['msg']}",
            where=path,
            expected="a manifest as this version of hemoseg writes it",
            remedy="choose another --out folder, or remove the file and segment all scans again",
        ) from error
    if found != header:
        if not any(event.status == "done" for event in events.values()):  # say a model that could not be loaded
            return {}, 0
        _check_same(path, found, header)
    return events, len(content) - len(rest)


def _check_same(path: Path, found: Header, wanted: Header) -> None:
    """Make sure that results of one folder are of one kind.

    Raises:
        SettingsError: they would not be.
    """
    differences = [
        f"{name} was {old}, is {new}"
        for name, old, new in (
            ("the model", found.model, wanted.model),
            ("its SHA-256", found.model_sha256[:12], wanted.model_sha256[:12]),
            *(
                (
                    f"--{name.removesuffix('_s').replace('_', '-')}",
                    getattr(found.options, name),
                    getattr(wanted.options, name),
                )
                for name in Options.model_fields
            ),
        )
        if old != new
    ]
    if differences:
        raise SettingsError(
            f"holds results of another model or of other options: {'; '.join(differences)}",
            where=path.parent,
            expected="the model and options that the results there were made with",
            remedy="give those again, or choose another --out folder",
        )


def _gone(path: Path) -> ResourceError:
    return ResourceError(
        "was removed or moved away while scans were segmented",
        where=path,
        expected="a folder of results that stays in its place until the command ends",
        remedy="put it back or choose another --out folder",
    )


def _append(handle: IO[bytes], data: bytes) -> None:
    """Write to the end of a file all or, as far as the disk lets it be taken back, nothing."""
    before = os.fstat(handle.fileno()).st_size
    try:
        _write(handle, data)
    except OSError:
        with suppress(OSError):
            handle.truncate(before)
        raise


def _write(handle: IO[bytes], data: bytes) -> None:
    """Write to the disk. Nothing is kept back, which closing the file would try to write once more."""
    left = memoryview(data)
    while left:
        left = left[handle.write(left) :]
    os.fsync(handle.fileno())


def _line(value: BaseModel) -> bytes:
    return json.dumps(value.model_dump(mode="json"), allow_nan=False).encode() + b"\n"
