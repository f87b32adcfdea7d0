"""Measuring a case of a data set, with a record of it on disk so that nothing is measured twice.

This is what worker processes import, so it needs little.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.arrays import Float64
from hemoseg.artifacts import dump_json, read_model, whole_file
from hemoseg.datasets.facts import CaseFacts, measure_case
from hemoseg.datasets.histogram import Histogram
from hemoseg.datasets.index import Case
from hemoseg.datasets.read import read_raw_case, source_of
from hemoseg.errors import ArtifactError
from hemoseg.labels import LabelTable


class FactsRecord(BaseModel):
    """`facts/CASE.json`: one case as it was measured; its histogram lies beside it in `CASE.npy`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = 2
    """Schema version; it rises with any change of what is measured, so that older records are made anew."""
    labels: tuple[str, ...]
    """Class names by number that the label file was read with."""
    regions: tuple[tuple[int, ...], ...] = ()
    """Label numbers that each class after the background was made of; empty if each has a number of its own."""
    ignore: int | None
    """Number of ignored voxels that it was read with."""
    pseudo_hu: tuple[float, float] | None
    """Bounds of pseudo-HU that the image was read with."""
    facts: CaseFacts
    """What was measured."""
    histogram_sha256: str
    """SHA-256 of the histogram's bytes, so that files that do not belong together or are cut short are seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """One case to measure."""

    case: Case
    """Its files."""
    table: LabelTable
    """The data set's classes."""
    folder: Path
    """Where records lie."""


def measure_one(work: Measuring) -> None:
    """Measure one case unless its record is current. Done twice, it ends the same."""
    source = source_of(work.case)
    if _is_current(work, source):
        return
    scan, labels = read_raw_case(work.case, work.table)
    facts, histogram = measure_case(
        scan, labels, work.table, name=work.case.name, patient=work.case.patient, source_sha256=source
    )
    table = histogram.table
    record = FactsRecord(
        labels=work.table.names,
        regions=work.table.regions,
        ignore=work.table.ignore,
        pseudo_hu=work.case.pseudo_hu,
        facts=facts,
        histogram_sha256=_digest(table),
    )
    with whole_file(work.folder / f"{work.case.name}.npy", durable=False) as temporary:
        np.save(temporary, table, allow_pickle=False)
    with whole_file(work.folder / f"{work.case.name}.json", durable=False) as temporary:
        temporary.write_text(dump_json(record.model_dump(mode="json")), encoding="utf-8")


def read_record(folder: Path, name: str) -> tuple[CaseFacts, tuple[Histogram, ...]]:
    """Facts of a case, and its histogram for its one channel.

    Raises:
        ArtifactError: the record is absent, damaged or of another version.
    """
    record, table = _read(folder, name)
    return record.facts, (Histogram.from_table(table),)


def _is_current(work: Measuring, source: str) -> bool:
    """Whether there is a whole record of these files."""
    try:
        record, _ = _read(work.folder, work.case.name)
    except ArtifactError:
        return False
    table = LabelTable(record.labels, record.ignore, record.regions, work.table.paint)
    found = (record.facts.source_sha256, record.facts.patient, table, record.pseudo_hu)
    return found == (source, work.case.patient, work.table, work.case.pseudo_hu)


def _read(folder: Path, name: str) -> tuple[FactsRecord, Float64[np.ndarray, "3 n"]]:
    """Both files of a record, which are not written durably and are checked therefore."""
    path, remedy = folder / f"{name}.npy", "run `hemoseg fingerprint` again"
    record = read_model(folder / f"{name}.json", FactsRecord, remedy=remedy)
    try:
        table: Float64[np.ndarray, "3 n"] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"cannot be read: {error}", where=path, expected="a histogram", remedy=remedy) from error
    if _digest(table) != record.histogram_sha256:
        raise ArtifactError("another histogram", where=path, expected="that of the record", remedy=remedy)
    return record, table


def _digest(table: Float64[np.ndarray, "3 n"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()
