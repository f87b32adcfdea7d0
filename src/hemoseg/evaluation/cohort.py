"""The extended protocol over all cases: each measured in a process, then what the cohort says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemoseg.datasets.sources import ANY
from hemoseg.errors import InputError
from hemoseg.evaluation.agreement import bland_altman
from hemoseg.evaluation.classes import FoundNumbers
from hemoseg.evaluation.detection import RULES, Observation, summarize_detection
from hemoseg.evaluation.files import PairFiles, check_same_place
from hemoseg.evaluation.lesions import RULE, Lesions, pool_lesions
from hemoseg.evaluation.many import Progress, run_cases
from hemoseg.evaluation.protocol import Protocol, Scores, class_masks, extended, measure_classes, score_pair
from hemoseg.evaluation.statistics import SEED, bootstrap_mean
from hemoseg.geometry import Grid
from hemoseg.io import read_labels
from hemoseg.labels import LabelTable
from hemoseg.scale import Job
from hemoseg.types import LabelMap

VERSION = 1
"""Version of metrics.json."""
DEFINITIONS = {
    "classes": f"'{ANY}' is every bleeding class together: all but edema",
    "mean": "over cases with a value; intervals: 95 % percentiles of a bootstrap over patients, seed 0",
    "surface": "surface elements of 2x2x2 voxels weighted by area, as in the package surface-distance",
    "hd95_mm": "the larger of the two surfaces' 95th percentiles by area",
    "assd_mm": "mean distance over the area of both surfaces together",
    "lesions": RULE,
    "agreement": "Bland and Altman: mean of prediction minus reference, and 1.96 standard deviations around it; "
    "cases with empty masks count",
    **{f"detection_{level}": rule for level, rule in RULES.items()},
    "ignore": "voxels that the reference labels 'ignore' count as background in both",
}
"""What the numbers mean, beside the rules for empty masks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseJob:
    """What a process needs to measure a case."""

    files: PairFiles
    table: LabelTable
    numbers: FoundNumbers | None
    """Given where classes have no names: the numbers that are classes."""
    tolerances_mm: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What was measured of a case, by class."""

    scores: dict[str, Scores]
    lesions: dict[str, Lesions]
    slices: dict[str, Observation]


def measure_cohort(
    pairs: Sequence[PairFiles],
    table: LabelTable,
    *,
    tolerances_mm: Sequence[float],
    numbers: FoundNumbers | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of metrics.json by the extended protocol.

    Args:
        pairs: the cases.
        table: names of the classes.
        tolerances_mm: tolerances of surface Dice.
        numbers: the numbers that are classes, where they have no names.
        progress: told about each case.

    Raises:
        InputError: cases that cannot be used, see `run_cases`; classes of them.
    """
    protocol = extended(tolerances_mm)
    jobs = [
        Job(
            name=pair.case,
            argument=CaseJob(files=pair, table=table, numbers=numbers, tolerances_mm=tuple(tolerances_mm)),
        )
        for pair in pairs
    ]
    results = run_cases(measure_case, jobs, progress)
    patients = [pair.patient for pair in pairs]
    classes = list(results[0].scores) if results else []
    return {
        "version": VERSION,
        "protocol": protocol.name,
        "cases": [_case_entry(pair, result) for pair, result in zip(pairs, results, strict=True)],
        "mean": {name: _means([result.scores[name] for result in results], protocol, patients) for name in classes},
        "rules": protocol.rules,
        "definitions": DEFINITIONS,
        "empty": {name: _emptiness([result.scores[name] for result in results]) for name in classes},
        "agreement": {name: _agreement([result.scores[name] for result in results], patients) for name in classes},
        "lesions": {name: pool_lesions([result.lesions[name] for result in results]) for name in classes},
        "detection": {name: summarize_detection([result.slices[name] for result in results]) for name in classes},
        "warnings": list(table.warnings()) if numbers is None else [],
    }


def measure_case(job: CaseJob) -> CaseResult | InputError:
    """Read a case and measure all its classes; what is wrong with its files is returned."""
    try:
        return _measure(job)
    except InputError as error:
        return error


def read_pair(
    files: PairFiles, table: LabelTable, numbers: FoundNumbers | None = None
) -> tuple[LabelMap, LabelMap, Grid]:
    """Reference and prediction of a case (z, y, x) by class number, ignored voxels taken out, and their grid.

    Args:
        files: the case.
        table: names of the class numbers.
        numbers: the numbers that are classes, where they have no names.

    Raises:
        InputError: a file cannot be read, the two do not lie in one place, or hold values outside the table.
    """
    expected, grid = read_labels(files.reference)
    predicted, place = read_labels(files.prediction)
    check_same_place(place, grid, where=files.prediction)
    if numbers is not None:
        return numbers.rank(expected), numbers.rank(predicted), grid
    reference = table.check(expected, where=str(files.reference))
    prediction = table.of_predictions.check(predicted, where=str(files.prediction))
    return (*_without_ignored(reference, prediction, table), grid)


def _measure(job: CaseJob) -> CaseResult:
    files, table = job.files, job.table
    reference, prediction, grid = read_pair(files, table, job.numbers)
    pairs = measure_classes(reference, prediction, grid, table)
    protocol = extended(job.tolerances_mm)
    seen, found = class_masks(reference, table), class_masks(prediction, table)
    pixel_mm2 = grid.spacing_mm[1] * grid.spacing_mm[2]
    return CaseResult(
        scores={name: score_pair(pair, protocol) for name, pair in pairs.items()},
        lesions={name: pair.lesions for name, pair in pairs.items()},
        slices={
            name: Observation(
                patient=files.patient,
                seen=np.count_nonzero(seen[name], axis=(1, 2)) > 0,
                found_mm2=np.count_nonzero(found[name], axis=(1, 2)) * pixel_mm2,
                found_ml=float(np.count_nonzero(found[name])) * grid.voxel_ml,
            )
            for name in pairs
        },
    )


def _without_ignored(reference: LabelMap, prediction: LabelMap, table: LabelTable) -> tuple[LabelMap, LabelMap]:
    """Both with background where the reference is ignored: nothing there counts for or against."""
    if table.ignore is None:
        return reference, prediction
    return table.without_ignored(reference), np.where(reference == table.ignore, np.uint8(0), prediction)


def _case_entry(pair: PairFiles, result: CaseResult) -> dict[str, Any]:
    lesions = {
        name: {"found_ml": list(found.found_ml), "missed_ml": list(found.missed_ml), "false_ml": list(found.false_ml)}
        for name, found in result.lesions.items()
    }
    return {"case": pair.case, "patient": pair.patient, "classes": result.scores, "lesions": lesions}


def _means(scores: Sequence[Scores], protocol: Protocol, patients: Sequence[str]) -> dict[str, Any]:
    return {
        metric.name: bootstrap_mean(_numbers(scores, metric.name), seed=SEED, patients=patients).as_json()
        for metric in protocol.metrics
    }


def _numbers(scores: Sequence[Scores], metric: str) -> list[float | None]:
    values = [case[metric] for case in scores]
    return [value for value in values if not isinstance(value, str)]


def _volumes(scores: Sequence[Scores]) -> list[tuple[float, float]]:
    """(reference, prediction) in ml of every case; both are always defined."""
    columns = (_numbers(scores, name) for name in ("reference_ml", "volume_ml"))
    return [(expected or 0.0, found or 0.0) for expected, found in zip(*columns, strict=True)]


def _emptiness(scores: Sequence[Scores]) -> dict[str, int]:
    """How many cases have which mask empty: what is left out of means, and what was missed or made up as a whole."""
    empty = [(expected == 0, found == 0) for expected, found in _volumes(scores)]
    return {
        "neither": empty.count((False, False)),
        "both": empty.count((True, True)),
        "reference": empty.count((True, False)),
        "prediction": empty.count((False, True)),
    }


def _agreement(scores: Sequence[Scores], patients: Sequence[str]) -> dict[str, Any]:
    expected, found = zip(*_volumes(scores), strict=True)
    return bland_altman(expected, found, patients)
