"""Folders of predictions against folders of references."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hemoseg.artifacts import readable
from hemoseg.datasets.index import PATIENTS, read_patients
from hemoseg.evaluation.classes import find_numbers, find_table, read_labels_entry, read_table
from hemoseg.evaluation.cohort import measure_cohort
from hemoseg.evaluation.files import PairFiles, pair_folders
from hemoseg.evaluation.instance2022 import measure_challenge
from hemoseg.evaluation.many import Progress
from hemoseg.evaluation.nnunet import Labels, nnunet_summary
from hemoseg.evaluation.protocol import TOLERANCES_MM
from hemoseg.labels import LabelTable


def evaluate_folders(
    predictions: Path,
    references: Path,
    *,
    labels: Path | None,
    cases: Sequence[str] | None = None,
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of metrics.json for a folder of predictions by the extended protocol.

    Args:
        predictions: folder with `CASE.nii.gz`, `CASE.nii` or `CASE/mask.nii.gz`.
        references: folder with `CASE.nii.gz` or `CASE.nii`.
        labels: file that names the classes, like nnU-Net's dataset.json; None takes the dataset.json beside
            the references or one folder above, and without one the numbers found are the names. A patients.csv
            beside it says which cases are one patient's.
        cases: evaluate these alone; None evaluates all and wants both folders to hold the same.
        tolerances_mm: tolerances of surface Dice.
        progress: told about each case.

    Returns:
        What docs/reference/metrics-json.md lists, ready for strict JSON: what is not finite is None.

    Raises:
        InputError: a folder or file is absent, doubled or cannot be read.
        GeometryError: prediction and reference are not on one grid.
        LabelError: label values outside the table.
    """
    described = labels or find_table(references)
    pairs = _pairs(predictions, references, described, cases)
    if described is not None:
        return evaluate_files(pairs, read_table(described), tolerances_mm=tolerances_mm, progress=progress)
    found = find_numbers([pair.prediction for pair in pairs], [pair.reference for pair in pairs])
    return measure_cohort(pairs, found.table, tolerances_mm=tolerances_mm, numbers=found, progress=progress)


def evaluate_files(
    pairs: Sequence[PairFiles],
    table: LabelTable,
    *,
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of metrics.json for pairs of files by the extended protocol; returns and raises as
    `evaluate_folders`.

    Args:
        pairs: the cases.
        table: names of the class numbers.
        tolerances_mm: tolerances of surface Dice.
        progress: told about each case.
    """
    return measure_cohort(pairs, table, tolerances_mm=tolerances_mm, progress=progress)


def evaluate_challenge(
    predictions: Path, references: Path, *, labels: Path | None, progress: Progress | None = None
) -> dict[str, Any]:
    """The same by the protocol `instance2022`; see `measure_challenge`."""
    described = labels or find_table(references)
    pairs = _pairs(predictions, references, described, None)
    return measure_challenge(pairs, read_table(described) if described else None, progress=progress)


def evaluate_as_nnunet(
    predictions: Path, references: Path, *, labels: Path | None, progress: Progress | None = None
) -> dict[str, Any]:
    """nnU-Net's summary of a folder of predictions; see `nnunet_summary`. It has no place for patients."""
    described = labels or find_table(references)
    pairs = _pairs(predictions, references, described, None)
    if described is not None:
        wanted = Labels.from_mapping(read_labels_entry(described), where=described)
    else:
        numbers = find_numbers([pair.prediction for pair in pairs], [pair.reference for pair in pairs])
        wanted = Labels(regions=numbers.numbers[1:])
    return nnunet_summary(pairs, wanted, progress=progress)


def find_patients(references: Path, labels: Path | None) -> dict[str, str] | None:
    """{case: patient} by the patients.csv beside the file that names the classes; None where there is none.

    Raises:
        InputError: it cannot be read, or is no such table.
    """
    described = labels or find_table(references)
    beside = described.parent / PATIENTS if described is not None else None
    if beside is None or not beside.exists():
        return None
    with readable(beside):
        return read_patients(beside)


def _pairs(predictions: Path, references: Path, described: Path | None, cases: Sequence[str] | None) -> list[PairFiles]:
    """The files of the cases with their patients, where a patients.csv lies beside the names of the classes."""
    return pair_folders(predictions, references, cases=cases, patients=find_patients(references, described))
