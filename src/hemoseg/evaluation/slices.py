"""Predicted masks against a reference without masks, which says what is seen on which slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.arrays import Bool
from hemoseg.datasets import Detection, read_sources
from hemoseg.datasets.sources import ANY, SOURCES
from hemoseg.errors import GeometryError, InputError
from hemoseg.evaluation.classes import DESCRIPTION, read_table
from hemoseg.evaluation.detection import RULES, Observation, summarize_detection
from hemoseg.evaluation.files import check_complete, check_same_place, find_predictions
from hemoseg.evaluation.many import Progress, run_cases
from hemoseg.evaluation.protocol import class_masks
from hemoseg.io import read_labels, read_place
from hemoseg.labels import NOT_BLEEDING, LabelTable
from hemoseg.scale import Job

NAME = "detection"
LEVELS = ("patient", "slice")
SHARES = ("sensitivity", "specificity", "auc")


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceJob:
    """What a process needs to look at a case."""

    case: str
    prediction: Path
    table: LabelTable
    record: Detection
    classes: tuple[str, ...]
    image: Path | None
    """The scan that the record speaks of, whose place the prediction must have; None takes the prediction's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """One case: what was predicted, and what the reference says, by class."""

    observations: dict[str, Observation]


def evaluate_detection(
    predictions: Path, dataset: Path, *, labels: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """The content of metrics.json for predicted masks against the `detection` records of a data set.

    Args:
        predictions: folder with `CASE.nii.gz`, `CASE.nii` or `CASE/mask.nii.gz`.
        dataset: folder with dataset.json and hemoseg.json.
        labels: file that names the classes of the predictions, where they are not the data set's.
        progress: told about each case.

    Raises:
        InputError: the data set has no such records, or a case lacks a prediction or a record.
        GeometryError: a prediction is not on the grid of its scan, or has another number of slices than its record.
        LabelError: label values outside the table.
    """
    sources = read_sources(dataset)
    if sources is None or not sources.detection:
        raise InputError(
            f"no slice-level references: {'no ' if sources is None else 'nothing under detection in '}{SOURCES}",
            where=dataset,
            expected=f"a data set whose {SOURCES} says which classes are on which slice",
            remedy="name a data set that was imported with such references, or take another protocol",
        )
    found = find_predictions(predictions, sources.detection)
    check_complete(
        sorted({*found, *sources.detection}),
        {"no prediction for": found, "no slice-level reference for": sources.detection},
        where=f"{predictions} and {dataset / SOURCES}",
    )
    table = read_table(labels or dataset / DESCRIPTION)
    return detection(found, sources.detection, table, images=dataset, progress=progress)


def detection(
    predictions: Mapping[str, Path],
    records: Mapping[str, Detection],
    table: LabelTable,
    *,
    images: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Patient- and slice-level sensitivity, specificity and ROC of predicted masks.

    A class counts if both the predictions and the records know it; `any` is all bleeding classes together on either
    side, so that a model of one class can be held against records of five kinds.

    Args:
        predictions: {case: label map}.
        records: {case: what is seen on which slice}, of the same cases.
        table: names of the predictions' classes.
        images: folder of the data set, whose scans tell where predictions must lie; None does not look.
        progress: told about each case.

    Returns:
        metrics.json: in `mean`, {class: {`patient_sensitivity`, …, `slice_auc`: {value, low, high, n}}}.

    Raises:
        InputError: cases that cannot be used.
    """
    classes = _classes(records, table)

    def job(case: str, prediction: Path) -> Job[SliceJob]:
        record = records[case]
        image = None if images is None else images / record.image
        argument = SliceJob(case=case, prediction=prediction, table=table, record=record, classes=classes, image=image)
        return Job(name=case, argument=argument)

    jobs = [job(case, path) for case, path in predictions.items()]
    results = run_cases(look_at_slices, jobs, progress)
    summaries = {name: summarize_detection([found.observations[name] for found in results]) for name in classes}
    return {
        "version": 1,
        "protocol": NAME,
        "cases": [
            {
                "case": job.name,
                "patient": job.argument.record.patient,
                "classes": {name: _case_scores(found.observations[name]) for name in classes},
            }
            for job, found in zip(jobs, results, strict=True)
        ],
        "mean": {
            name: {f"{level}_{share}": summary[level][share] for level in LEVELS for share in SHARES}
            for name, summary in summaries.items()
        },
        "rules": {f"{level}_{share}": "an empty mask is a negative finding" for level in LEVELS for share in SHARES},
        "definitions": {
            "classes": f"'{ANY}' is every bleeding class together, on either side; other classes where both know them",
            **{f"detection_{level}": rule for level, rule in RULES.items()},
        },
        "detection": summaries,
        "warnings": _unknown_classes(records, table),
    }


def look_at_slices(job: SliceJob) -> SliceResult | InputError:
    """Read a prediction and set it beside its record; what is wrong with it is returned."""
    try:
        stored, grid = read_labels(job.prediction)
        if job.image is not None:
            check_same_place(grid, read_place(job.image), where=job.prediction)
        labels = job.table.of_predictions.check(stored, where=str(job.prediction))
        if len(labels) != len(job.record.slices):
            raise GeometryError(
                f"{len(labels)} slices, the reference speaks of {len(job.record.slices)}",
                where=job.prediction,
                expected="the slices of the scan as stored",
                remedy="predict the scan that the data set holds, and keep its slices",
            )
    except InputError as error:
        return error
    masks = class_masks(labels, job.table)
    known = np.array([seen is not None for seen in job.record.slices], dtype=bool)
    pixel_mm2 = grid.spacing_mm[1] * grid.spacing_mm[2]
    observations = {}
    for name in job.classes:
        voxels = np.count_nonzero(masks[name], axis=(1, 2))[known]
        observations[name] = Observation(
            patient=job.record.patient,
            seen=_seen(job.record, name),
            found_mm2=voxels * pixel_mm2,
            found_ml=float(voxels.sum()) * grid.voxel_ml,
        )
    return SliceResult(observations=observations)


def _seen(record: Detection, name: str) -> Bool[np.ndarray, " z"]:
    """Whether a class is on each slice that the record speaks of."""
    known = [seen for seen in record.slices if seen is not None]
    if name == ANY:
        return np.array([any(one not in NOT_BLEEDING for one in seen) for seen in known], dtype=bool)
    return np.array([name in seen for seen in known], dtype=bool)


def _classes(records: Mapping[str, Detection], table: LabelTable) -> tuple[str, ...]:
    """Classes that both sides know, and `any`; where a source marks blood without its kind, kinds are unknown."""
    named = _named(records)
    kinds = () if ANY in named else tuple(name for name in table.members if name in named)
    return (*kinds, ANY)


def _unknown_classes(records: Mapping[str, Detection], table: LabelTable) -> list[str]:
    named = _named(records)
    if ANY in named:
        return ["the reference marks blood without its kind, so that classes cannot be told apart"]
    other = sorted(named - set(table.members))
    return [f"the predictions have no class {', '.join(other)}: counted in '{ANY}' alone"] if other else []


def _named(records: Mapping[str, Detection]) -> set[str]:
    return {name for record in records.values() for seen in record.slices for name in seen or ()}


def _case_scores(found: Observation) -> dict[str, float]:
    return {
        "volume_ml": found.found_ml,
        "slices": len(found.seen),
        "slices_in_reference": int(found.seen.sum()),
        "slices_in_prediction": int(np.count_nonzero(found.found_mm2)),
    }
