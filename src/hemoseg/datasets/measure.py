"""Measuring a case of a data set, with a record of it on disk so that nothing is measured twice.

This is what worker processes import, so it needs little.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import read_model, whole_file, write_model
from hemoseg.datasets.facts import CaseFacts, measure_case
from hemoseg.datasets.histogram import Histogram
from hemoseg.datasets.index import Case
from hemoseg.datasets.read import read_raw_case, source_of
from hemoseg.errors import ArtifactError
from hemoseg.labels import LabelTable


class FactsRecord(BaseModel):
    """`facts/CASE.json`: one case as it was measured; its histogram lies beside it in `CASE.npy`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version; it rises with any change of what is measured, so that older records are made anew."""
    labels: tuple[str, ...]
    """Class names by number that the label file was read with."""
    facts: CaseFacts
    """What was measured."""


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
    with whole_file(work.folder / f"{work.case.name}.npy") as temporary:
        np.save(temporary, histogram.table, allow_pickle=False)
    write_model(work.folder / f"{work.case.name}.json", FactsRecord(labels=work.table.names, facts=facts))


def _is_current(work: Measuring, source: str) -> bool:
    """Whether the record was made of these files; it is written last, so the histogram is there as well."""
    try:
        record = _read_json(work.folder, work.case.name)
    except ArtifactError:
        return False
    same = record.facts.source_sha256 == source and record.facts.patient == work.case.patient
    return same and record.labels == work.table.names and (work.folder / f"{work.case.name}.npy").is_file()


def read_record(folder: Path, name: str) -> tuple[CaseFacts, tuple[Histogram, ...]]:
    """Facts of a case, and its histogram for its one channel."""
    table = np.load(folder / f"{name}.npy", allow_pickle=False)
    return _read_json(folder, name).facts, (Histogram.from_table(table),)


def _read_json(folder: Path, name: str) -> FactsRecord:
    return read_model(folder / f"{name}.json", FactsRecord, remedy="run `hemoseg fingerprint` again")
