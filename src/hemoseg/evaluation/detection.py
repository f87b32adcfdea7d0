"""Is there a bleed at all: sensitivity, specificity and ROC by patient and by slice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hemoseg.arrays import Bool, Float64, Int64
from hemoseg.evaluation.statistics import BLOCK, PERCENTILES, SEED, MeanInterval, bootstrap_mean, wilson

RESAMPLES = 2_000
"""Bootstrap resamples of an area under a curve, each of which is a pass over all scores."""
Level = Literal["patient", "slice"]
RULES = {
    "patient": (
        "a patient is positive if the reference has the class on any slice of any scan, and predicted positive if the "
        "prediction has a voxel of it; the ROC's score is the predicted volume, the largest of the patient's scans; "
        "intervals: Wilson, of the area bootstrap over patients"
    ),
    "slice": (
        "the same for each slice (third axis of the file as stored); the ROC's score is the predicted area; intervals: "
        "bootstrap over patients, whose slices are drawn together"
    ),
    "unknown": "slices of which the reference says nothing count nowhere",
}
"""What is counted, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One class of one scan: what the reference says of each slice, and what was predicted there."""

    patient: str
    """Whose scan it is."""
    seen: Bool[np.ndarray, " z"]
    """Whether the class is on each slice that the reference speaks of."""
    found_mm2: Float64[np.ndarray, " z"]
    """Predicted area on the same slices."""
    found_ml: float
    """Predicted volume on the same slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """Patients or slices, each with its score and whose it is."""

    truth: Bool[np.ndarray, " n"]
    score: Float64[np.ndarray, " n"]
    patient: Int64[np.ndarray, " n"]
    """Number of the patient, from 0."""


def summarize_detection(observations: Sequence[Observation]) -> dict[str, Any]:
    """Sensitivity, specificity and ROC of one class.

    Returns:
        {`patient`, `slice`: {`sensitivity`, `specificity`, `auc`: {value, low, high, n}, `roc`: [[false positive
        rate, true positive rate, least score], …]}}; `n` are positives, negatives, and both. What has no value is None
        with a note.
    """
    scores = {"patient": _by_patient(observations), "slice": _by_slice(observations)}
    return {level: _summarize(found, by_patient=level == "patient") for level, found in scores.items()}


def auc(truth: Bool[np.ndarray, " n"], score: Float64[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: how often a positive scores higher than a negative, ties counting half.

    NaN without positives or without negatives.

    Source:
        Hanley and McNeil, Radiology 143:29–36 (1982), doi:10.1148/radiology.143.1.7063747.

    Example:
        >>> auc(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.4, 0.1]))
        0.875
    """
    return float(_weighted_auc(truth, score, np.ones((1, len(truth))))[0])


def roc_points(truth: Bool[np.ndarray, " n"], score: Float64[np.ndarray, " n"]) -> list[list[float]]:
    """[false positive rate, true positive rate, least score that counts as positive] for each score, from the highest.

    The curve begins at (0, 0), which no score belongs to; scores that leave it on a straight line are left out.
    """
    thresholds, group = np.unique(-score, return_inverse=True)
    true = np.cumsum(np.bincount(group, weights=truth, minlength=len(thresholds))) / max(1, int(truth.sum()))
    false = np.cumsum(np.bincount(group, weights=~truth, minlength=len(thresholds))) / max(1, int((~truth).sum()))
    points = [[float(f), float(t), float(-s)] for f, t, s in zip(false, true, thresholds, strict=True)]
    return [
        point
        for number, point in enumerate(points)
        if number == len(points) - 1
        or not _is_between(points[number - 1] if number else [0.0, 0.0], point, points[number + 1])
    ]


def _is_between(before: Sequence[float], point: Sequence[float], after: Sequence[float]) -> bool:
    """Whether a point lies on a level or upright line between two others."""
    return any(before[axis] == point[axis] == after[axis] for axis in (0, 1))


def _by_patient(observations: Sequence[Observation]) -> _Scores:
    patients: dict[str, tuple[bool, float]] = {}
    for found in observations:
        truth, score = patients.get(found.patient, (False, 0.0))
        patients[found.patient] = truth or bool(found.seen.any()), max(score, found.found_ml)
    return _Scores(
        truth=np.array([truth for truth, _ in patients.values()], dtype=bool),
        score=np.array([score for _, score in patients.values()], dtype=float),
        patient=np.arange(len(patients)),
    )


def _by_slice(observations: Sequence[Observation]) -> _Scores:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(found.patient for found in observations))}
    return _Scores(
        truth=_joined((found.seen for found in observations), bool),
        score=_joined((found.found_mm2 for found in observations), float),
        patient=_joined((np.full(len(found.seen), numbers[found.patient]) for found in observations), int),
    )


def _joined(parts: Iterable[Any], kind: type) -> Any:
    return np.concatenate([np.zeros(0, dtype=kind), *parts])


def _summarize(scores: _Scores, *, by_patient: bool) -> dict[str, Any]:
    positive = scores.score > 0
    summary: dict[str, Any] = {}
    for name, kind, right in (
        ("sensitivity", scores.truth, positive),
        ("specificity", ~scores.truth, ~positive),
    ):
        hits = right[kind]
        if by_patient:
            share = wilson(int(hits.sum()), len(hits))
        else:
            share = bootstrap_mean(
                hits.astype(float).tolist(), seed=SEED, patients=scores.patient[kind].astype(str).tolist()
            )
        summary[name] = share.as_json(note=f"no {'positive' if name == 'sensitivity' else 'negative'} in the reference")
    summary["auc"] = _auc_interval(scores).as_json(note="it takes positives and negatives in the reference")
    has_curve = summary["auc"]["value"] is not None
    summary["roc"] = roc_points(scores.truth, scores.score) if has_curve else []
    return summary


def _auc_interval(scores: _Scores) -> MeanInterval:
    value = auc(scores.truth, scores.score)
    if np.isnan(value):
        return MeanInterval(value=None, low=None, high=None, n=0)
    generator, patients = np.random.default_rng(SEED), int(scores.patient.max()) + 1
    size = max(1, min(BLOCK, 10**7 // len(scores.truth)))
    areas = []
    for begin in range(0, RESAMPLES, size):
        drawn = generator.integers(patients, size=(min(size, RESAMPLES - begin), patients))
        times = np.stack([np.bincount(row, minlength=patients) for row in drawn]).astype(float)
        areas.append(_weighted_auc(scores.truth, scores.score, times[:, scores.patient]))
    found = np.concatenate(areas)
    low, high = np.percentile(found[~np.isnan(found)], PERCENTILES)
    return MeanInterval(value=value, low=float(low), high=float(high), n=len(scores.truth))


def _weighted_auc(
    truth: Bool[np.ndarray, " n"], score: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, "r n"]
) -> Float64[np.ndarray, " r"]:
    """The area for each row of weights; NaN where positives or negatives weigh nothing."""
    if not len(truth):
        return np.full(len(weights), np.nan)
    order = np.argsort(score, kind="stable")
    ascending = score[order]
    begins = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    positive = np.add.reduceat(weights[:, order] * truth[order], begins, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~truth[order], begins, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    area: Float64[np.ndarray, " r"] = np.full(len(weights), np.nan)
    np.divide((positive * below).sum(axis=1), pairs, out=area, where=pairs > 0)
    return area
