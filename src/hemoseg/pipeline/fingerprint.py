"""The stage that measures a data set, several cases at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import read_model, whole_file, write_model
from hemoseg.datasets import Case, Dataset, read_raw_case, source_of
from hemoseg.errors import ArtifactError, SettingsError
from hemoseg.labels import LabelTable
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.watch import Watch
from hemoseg.planning import CaseFacts, Fingerprint, Histogram, make_fingerprint, measure_case
from hemoseg.scale import Job, default_workers, make_executor


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


def fingerprint_stage(folder: RunFolder, dataset: Dataset, watch: Watch) -> Fingerprint:
    """Measure every case and write `fingerprint.json`; read back if it is there.

    Raises:
        SettingsError: the folder belongs to another data set.
        ResourceError: a worker failed twice on a case, or ran out of time or disk; names the case.
    """
    if folder.fingerprint_file.is_file():
        found = folder.fingerprint()
        if found.digest != dataset.digest:
            raise SettingsError(
                f"the run was begun on {found.dataset} ({found.digest[:12]}), "
                f"this is {dataset.root} ({dataset.digest[:12]})",
                where=folder.fingerprint_file,
                expected="the same data set with the same files",
                remedy="use a new --run folder for another or changed data set",
            )
        return found
    watch.begin("fingerprint", len(dataset.cases))
    done = 0

    def tell(name: str, _result: None) -> None:
        nonlocal done
        done += 1
        watch.advance(done, name)

    jobs = [
        Job(name=case.name, argument=Measuring(case=case, table=dataset.table, folder=folder.facts))
        for case in dataset.cases
    ]
    workers = min(default_workers(), len(jobs))
    make_executor(workers, log=folder.path / "workers.log").run(measure_one, jobs, done=tell)
    fingerprint = make_fingerprint(
        [_read_record(folder.facts, case.name) for case in dataset.cases],
        dataset=str(dataset.root.resolve()),
        dataset_name=dataset.name,
        digest=dataset.digest,
        channel_names=dataset.channel_names,
        file_ending=dataset.file_ending,
        labels=dataset.table.names,
    )
    write_model(folder.fingerprint_file, fingerprint)
    return fingerprint


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


def _read_record(folder: Path, name: str) -> tuple[CaseFacts, tuple[Histogram, ...]]:
    """Facts of a case, and its histogram for its one channel."""
    table = np.load(folder / f"{name}.npy", allow_pickle=False)
    return _read_json(folder, name).facts, (Histogram.from_table(table),)


def _read_json(folder: Path, name: str) -> FactsRecord:
    return read_model(folder / f"{name}.json", FactsRecord, remedy="run `hemoseg fingerprint` again")
