"""nnU-Net's own evaluation: the summary.json of nnunetv2, with equal numbers.

Source: nnunetv2 2.8.1, evaluation/evaluate_predictions.py and utilities/label_handling.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.errors import InputError
from hemoseg.evaluation.files import PairFiles, check_same_place
from hemoseg.evaluation.many import Progress, run_cases
from hemoseg.evaluation.statistics import SEED, bootstrap_mean
from hemoseg.io import read_labels
from hemoseg.scale import Job

NAME = "nnunet"
METRICS = ("Dice", "IoU", "FP", "TP", "FN", "TN", "n_pred", "n_ref")
RULES = {
    **dict.fromkeys(("Dice", "IoU"), "both empty: not a number, left out of the mean; one empty: 0"),
    **dict.fromkeys(METRICS[2:], "voxel count, defined for empty masks"),
}
"""What each metric does with empty masks."""
Region = int | tuple[int, ...]
"""A label, or labels that are taken together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What nnU-Net evaluates."""

    regions: tuple[Region, ...]
    """Labels in ascending order, or regions in the order of dataset.json."""
    ignore: int | None = None
    """Number that marks voxels of a reference that count nowhere."""

    @classmethod
    def from_mapping(cls, labels: dict[str, Any], *, where: Path) -> "Labels":
        """The labels or regions of a dataset.json.

        Raises:
            InputError: entries that are neither numbers nor lists of numbers, or no foreground.
        """
        entries = {name: tuple(value) if isinstance(value, list) else value for name, value in labels.items()}
        flat = [number for value in entries.values() for number in (value if isinstance(value, tuple) else (value,))]
        ignore = entries.pop("ignore", None)
        regions = [value for value in entries.values() if set(value if isinstance(value, tuple) else (value,)) != {0}]
        if not all(type(number) is int for number in flat) or isinstance(ignore, tuple) or not regions:
            raise InputError(
                f"labels {labels}",
                where=where,
                expected='numbers, or lists of numbers for regions, like {"background": 0, "hemorrhage": 1}',
                remedy="correct the entry",
            )
        if not any(isinstance(value, tuple) and len(value) > 1 for value in entries.values()):
            regions = sorted({number for number in flat if number not in (0, ignore)})
        return cls(regions=tuple(regions), ignore=ignore)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountJob:
    """What a process needs to count a case."""

    files: PairFiles
    labels: Labels


def nnunet_summary(pairs: Sequence[PairFiles], labels: Labels, *, progress: Progress | None = None) -> dict[str, Any]:
    """The content of summary.json; what is not a number is NaN in it, as nnU-Net has it.

    Raises:
        InputError: cases that cannot be used.
    """
    jobs = [Job(name=pair.case, argument=CountJob(files=pair, labels=labels)) for pair in pairs]
    cases = run_cases(count_case, jobs, progress)
    mean = {
        str(region): {metric: _nanmean([case["metrics"][str(region)][metric] for case in cases]) for metric in METRICS}
        for region in labels.regions
    }
    foreground = {
        metric: float(np.mean([values[metric] for region, values in mean.items() if region != "0"]))
        for metric in METRICS
    }
    return {"metric_per_case": cases, "mean": mean, "foreground_mean": foreground}


def dump_summary(summary: dict[str, Any]) -> str:
    """The text of summary.json as nnU-Net writes it."""
    return json.dumps(summary, sort_keys=True, indent=4)


def count_case(job: CountJob) -> dict[str, Any] | InputError:
    """The entry of one case in `metric_per_case`; what is wrong with its files is returned."""
    files = job.files
    try:
        reference, grid = read_labels(files.reference)
        prediction, place = read_labels(files.prediction)
        check_same_place(place, grid, where=files.prediction)
    except InputError as error:
        return error
    counted = None if job.labels.ignore is None else reference != job.labels.ignore
    metrics = {}
    for region in job.labels.regions:
        numbers = region if isinstance(region, tuple) else (region,)
        expected, found = np.isin(reference, numbers), np.isin(prediction, numbers)
        if counted is not None:
            expected, found = expected & counted, found & counted
        total = reference.size if counted is None else int(np.count_nonzero(counted))
        metrics[str(region)] = _counts(
            tp=int(np.count_nonzero(expected & found)),
            expected=int(np.count_nonzero(expected)),
            found=int(np.count_nonzero(found)),
            total=total,
        )
    return {"reference_file": str(files.reference), "prediction_file": str(files.prediction), "metrics": metrics}


def from_summary(summary: dict[str, Any], patients: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A summary in the form of metrics.json, for tables and comparisons.

    Args:
        summary: the content of summary.json.
        patients: {case: patient}, which a summary does not have; None takes every case for a patient of its own.

    Raises:
        KeyError, TypeError, AttributeError: it is no summary.
    """
    cases = {_case_of(entry["reference_file"]): _scores(entry["metrics"]) for entry in summary["metric_per_case"]}
    owners = None if patients is None else [patients[case] for case in cases]
    return {
        "version": 1,
        "protocol": NAME,
        "cases": [
            {"case": case, **({} if patients is None else {"patient": patients[case]}), "classes": classes}
            for case, classes in cases.items()
        ],
        "mean": {
            name: {
                metric: bootstrap_mean(
                    [classes[name][metric] for classes in cases.values()], seed=SEED, patients=owners
                ).as_json()
                for metric in metrics
            }
            for name, metrics in summary["mean"].items()
        },
        "rules": RULES,
        "definitions": {},
        "warnings": [],
    }


def _counts(*, tp: int, expected: int, found: int, total: int) -> dict[str, float | int]:
    fp, fn = found - tp, expected - tp
    return {
        "Dice": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan"),
        "IoU": tp / (tp + fp + fn) if tp + fp + fn else float("nan"),
        "FP": fp,
        "TP": tp,
        "FN": fn,
        "TN": total - tp - fp - fn,
        "n_pred": found,
        "n_ref": expected,
    }


def _nanmean(values: Sequence[float | int]) -> float:
    return float("nan") if all(map(isnan, values)) else float(np.nanmean(values))


def _scores(metrics: dict[str, dict[str, float | int]]) -> dict[str, dict[str, float | None]]:
    return {
        name: {metric: _or_none(float(value)) for metric, value in values.items()} for name, values in metrics.items()
    }


def _or_none(value: float) -> float | None:
    return None if isnan(value) else value


def _case_of(reference: str) -> str:
    name = Path(reference).name
    return name.removesuffix(".gz").removesuffix(".nii")
