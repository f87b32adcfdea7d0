"""One case put into its data set: files linked where no byte has to change, else written anew.

Done twice, it ends the same; what is there and current stays. The record of a case is written last, so a killed
import goes on with the cases that have none.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import dump_json, link_or_copy, read_model, readable, whole_file
from hemoseg.datasets.importers.core import NiftiScan, SourceCase, WindowedScan
from hemoseg.datasets.importers.frames import check_frames
from hemoseg.datasets.importers.labels import label_slices, renumber
from hemoseg.datasets.importers.windowed import read_windowed
from hemoseg.datasets.sources import CaseNotes
from hemoseg.errors import ArtifactError
from hemoseg.io import read_labels, read_scan, write_labels, write_scan
from hemoseg.io.nifti import Stored, read_stored
from hemoseg.io.recode import recode
from hemoseg.types import FloatZYX

_AGAIN = "give the same command again"


class Placed(BaseModel):
    """What became of one case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version; it rises with any change of what is written, so that older records are made anew."""
    made_from: str
    """SHA-256 over the request for this case and its files' sizes and times."""
    content_sha256: str
    """SHA-256 of the scan's shape and voxels: equal for the same scan under two names."""
    linked: int
    """Files that share their bytes with the source."""
    has_ignore: bool
    """Whether the label map has voxels that nobody labeled."""
    notes: CaseNotes | None
    """Notes for the data set's record; None without a label map."""
    seen: tuple[tuple[str, ...] | None, ...] | None
    """Slice-level reference that belongs to the scan as written."""
    filled_slices: tuple[int, ...]
    """Slices (as stored, from 0) that were filled."""
    warnings: tuple[str, ...] = ()
    """What is doubtful about the case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """One case to put into a data set."""

    case: SourceCase
    """The case."""
    ending: str
    """Ending of the data set's files."""
    ignore: int
    """Number of voxels that nobody labeled."""
    bounds_hu: tuple[float, float] | None
    """Range that scans are clipped to; None leaves them as they are."""
    spacing_mm: FloatZYX | None
    """Nominal spacing of scans that do not tell theirs."""
    repair_frames: bool
    """Whether a mask takes its place in space from the image."""
    root: Path
    """Folder of the data set."""
    records: Path
    """Folder of the records."""

    @property
    def image(self) -> Path:
        """Where the scan goes."""
        return self.root / self.case.image_path(self.ending)

    @property
    def label(self) -> Path | None:
        """Where the label map goes."""
        path = self.case.label_path(self.ending)
        return None if path is None else self.root / path

    @property
    def record(self) -> Path:
        """Where the record goes."""
        return self.records / f"{self.case.name}.json"


def place_case(work: Placing) -> Placed:
    """Put a case into its data set, unless it is there already.

    Raises:
        InputError: a file cannot be read.
        GeometryError: scan and mask differ in shape, or in place without leave to repair that.
        LabelError: the mask has numbers without meaning.
        ResourceError: the files cannot be written.
    """
    made_from = _made_from(work)
    placed = _current(work, made_from)
    if placed is not None:
        return placed
    scan = work.case.scan
    placed = (
        _place_nifti(work, scan, made_from) if isinstance(scan, NiftiScan) else _place_windowed(work, scan, made_from)
    )
    with whole_file(work.record, durable=False) as temporary:
        temporary.write_text(dump_json(placed.model_dump(mode="json")), encoding="utf-8")
    return placed


def _made_from(work: Placing) -> str:
    with readable(work.case.scan.files[0]):
        stats = [path.stat() for path in work.case.scan.files]
    wanted = [repr(work), *(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats)]
    return hashlib.sha256("\n".join(wanted).encode()).hexdigest()


def _current(work: Placing, made_from: str) -> Placed | None:
    """The record of a case that was placed before from the same files; None if there is none."""
    try:
        placed = read_model(work.record, Placed, remedy=_AGAIN)
    except ArtifactError:
        return None
    whole = work.image.is_file() and (work.label is None or work.label.is_file())
    return placed if whole and placed.made_from == made_from else None


def _place_nifti(work: Placing, scan: NiftiScan, made_from: str) -> Placed:
    case, stored = work.case, read_stored(scan.image)
    linked = _place_image(work, scan.image, stored)
    seen, doubts = case.seen, []
    if seen is not None and len(seen) != stored.grid.shape[0]:
        doubts.append(
            f"{case.name}: the table has {len(seen)} slices, the scan {stored.grid.shape[0]}: which is which is "
            "unknown, so what the table says of this scan is left out"
        )
        seen = None
    notes, has_ignore = None, False
    if scan.mask is not None and work.label is not None:
        found, grid = read_labels(scan.mask)
        is_repaired = check_frames(stored.grid, grid, where=scan.mask, repair=work.repair_frames)
        if is_repaired:
            doubts.append(f"{case.name}: the mask lay elsewhere than the scan, and takes its place in space from it")
        labels, is_changed = renumber(found, case.numbers, where=scan.mask)
        ignored = case.ignored_slices
        if not case.is_finished:
            labels, ignored, others = label_slices(labels, seen, (), work.ignore, name=case.name)
            doubts.extend(others)
        if is_repaired or is_changed or (ignored and not case.is_finished):
            write_labels(work.label, labels, stored.grid, stored.header.raw)
        else:
            linked += _place_bytes(scan.mask, work.label)
        notes, has_ignore = _notes(case, ignored, case.filled_slices), bool(np.any(labels == work.ignore))
    return Placed(
        made_from=made_from,
        content_sha256=_content(stored.array),
        linked=linked,
        has_ignore=has_ignore,
        notes=notes,
        seen=seen,
        filled_slices=case.filled_slices,
        warnings=tuple(doubts),
    )


def _place_image(work: Placing, source: Path, stored: Stored) -> int:
    """Write or link the scan; how many files were linked."""
    if work.bounds_hu is not None:
        low, high = work.bounds_hu
        ends = [
            value * stored.header.slope + stored.header.intercept for value in (stored.array.min(), stored.array.max())
        ]
        if min(ends) < low or max(ends) > high:
            volume = read_scan(source, assume_hu=True)
            write_scan(work.image, replace(volume, hu=np.clip(volume.hu, np.float32(low), np.float32(high))))
            return 0
    return _place_bytes(source, work.image)


def _place_bytes(source: Path, target: Path) -> int:
    """Link a file, or write it anew where its ending is another; how many files were linked."""
    same = source.name.endswith(".gz") == target.name.endswith(".gz")
    if same:
        return int(link_or_copy(source, target))
    recode(source, target)
    return 0


def _place_windowed(work: Placing, scan: WindowedScan, made_from: str) -> Placed:
    case = work.case
    assert work.spacing_mm is not None, "a source of pictures states its nominal spacing"
    volume, labels = read_windowed(scan, name=case.name, spacing_mm=work.spacing_mm)
    write_scan(work.image, volume)
    filled = tuple(index for index, part in enumerate(scan.slices) if part.brain is None)
    notes, has_ignore = None, False
    doubts: tuple[str, ...] = ()
    if labels is not None and work.label is not None:
        mapped, _ = renumber(labels, case.numbers, where=case.scan.files[0].parent)
        marked, ignored, doubts = label_slices(mapped, case.seen, filled, work.ignore, name=case.name)
        write_labels(work.label, marked, volume.grid, None)
        notes, has_ignore = _notes(case, ignored, filled), bool(ignored)
    return Placed(
        made_from=made_from,
        content_sha256=_content(volume.hu),
        linked=0,
        has_ignore=has_ignore,
        notes=notes,
        seen=case.seen,
        filled_slices=filled,
        warnings=doubts,
    )


def _notes(case: SourceCase, ignored: tuple[int, ...], filled: tuple[int, ...]) -> CaseNotes:
    return CaseNotes(source=case.source, annotates=case.annotates, ignored_slices=ignored, filled_slices=filled)


def _content(array: np.ndarray) -> str:
    digest = hashlib.sha256(repr((array.shape, array.dtype.str)).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
