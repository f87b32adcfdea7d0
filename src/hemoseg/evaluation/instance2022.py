"""The evaluation of the INSTANCE 2022 challenge, with what it does to empty masks and to masks that are not 0 and 1.

Its program turns what a file holds into bytes and computes with these values: a mask of 0 and 255 is not refused, its
sums are 255 times too large and the codes of its surface overflow. Here the same numbers come out, with a warning.

Source: `Challenge result/evaluation.py` of github.com/PerceptionComputingLab/INSTANCE2022 (commit 0bccb26); the
challenge: Li et al., arXiv:2301.03281 (2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

import numpy as np

from hemoseg.arrays import Int64, Shaped, UInt8
from hemoseg.errors import InputError
from hemoseg.evaluation.elements import element_areas
from hemoseg.evaluation.files import TOLERANCE_MM, PairFiles, apart_mm, check_same_shape
from hemoseg.evaluation.many import Progress, run_cases
from hemoseg.evaluation.protocol import Scores
from hemoseg.evaluation.statistics import SEED, bootstrap_mean
from hemoseg.evaluation.surface import (
    SurfaceDistances,
    distances_between,
    hausdorff_mm,
    joint_box,
    measure_surface_distances,
    nsd,
)
from hemoseg.io.nifti import Stored, read_stored
from hemoseg.labels import LabelTable
from hemoseg.scale import Job
from hemoseg.types import FloatZYX, LabelMap

NAME = "instance2022"
CLASS = "hemorrhage"
"""The challenge's one class."""
SMOOTH = 1e-5
"""What the challenge adds to numerator and denominator of Dice."""
TOLERANCE = 0.42
"""Its tolerance of surface Dice in mm."""
STOPS = "the challenge's program stops with an error"
RULES = {
    "dice": "(2·|R∩P| + 1e-5) / (ΣR + ΣP + 1e-5): both empty 1, one empty about 0",
    "rvd": f"||P| − |R|| / |R|: reference empty: {STOPS}; prediction alone empty: 1",
    "nsd_0.42mm": "both empty: not a number; one empty: 0",
    "hd_mm": "largest distance; one or both empty: infinite",
}
"""What each metric does with empty masks; what is not finite is null here."""
DEFINITIONS = {
    "values": "values are cut to bytes and masks are not made of 0 and 1: Dice sums the values",
    "spacing": "pixdim of the reference's header",
    "place": "only the shape has to agree: positions are not compared, a mismatch is a warning",
    "mean": "as the challenge's: over all cases, so that one value that is not finite leaves no mean",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawJob:
    """What a process needs to measure a case."""

    files: PairFiles
    table: LabelTable | None
    """Given where there are several classes: the bleeding ones are set to 1, the others to 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResult:
    """The scores of a case and what is odd about it."""

    scores: Scores
    warnings: tuple[str, ...]


def measure_challenge(
    pairs: Sequence[PairFiles], table: LabelTable | None, *, progress: Progress | None = None
) -> dict[str, Any]:
    """The content of metrics.json by the challenge's evaluation.

    Args:
        pairs: the cases.
        table: classes of the label maps; with several, all bleeding ones count as one. None takes the files' values.
        progress: told about each case.

    Raises:
        InputError: cases that cannot be used.
    """
    merged = table if table is not None and (table.largest > 1 or table.ignore is not None) else None
    jobs = [Job(name=pair.case, argument=RawJob(files=pair, table=merged)) for pair in pairs]
    results = run_cases(measure_raw_case, jobs, progress)
    warnings = [f"{pair.case}: {text}" for pair, found in zip(pairs, results, strict=True) for text in found.warnings]
    if merged is not None:
        other = [name for name in merged.members if name not in merged.bleeding]
        left_out = f", {', '.join(other)} as background" if other else ""
        warnings.insert(0, f"the challenge has one class: {', '.join(merged.bleeding)} counted as it{left_out}")
    patients = [pair.patient for pair in pairs]
    return {
        "version": 1,
        "protocol": NAME,
        "cases": [
            {"case": pair.case, "patient": pair.patient, "classes": {CLASS: found.scores}}
            for pair, found in zip(pairs, results, strict=True)
        ],
        "mean": {CLASS: {name: _mean([found.scores for found in results], name, patients) for name in RULES}},
        "rules": RULES,
        "definitions": DEFINITIONS,
        "warnings": warnings,
    }


def measure_raw_case(job: RawJob) -> RawResult | InputError:
    """Read a case and score it; what is wrong with its files is returned."""
    try:
        reference, prediction = read_stored(job.files.reference), read_stored(job.files.prediction)
        check_same_shape(prediction.grid, reference.grid, where=job.files.prediction)
        warnings = [
            _cut_values(stored, name) for stored, name in ((reference, "reference"), (prediction, "prediction"))
        ]
        expected, found = (
            _bytes(stored) if job.table is None else _bleeding(stored, job.table, where=str(path))
            for stored, path in ((reference, job.files.reference), (prediction, job.files.prediction))
        )
    except InputError as error:
        return error
    warnings += [_odd_values(array, name) for array, name in ((expected, "reference"), (found, "prediction"))]
    apart = apart_mm(prediction.grid, reference.grid)
    if not apart <= TOLERANCE_MM:
        warnings.append(f"corners of prediction and reference lie {apart:.2f} mm apart, which the challenge ignores")
    x, y, z = (float(value) for value in reference.header.fields["pixdim"][1:4])
    scores = score_bytes(expected, found, (z, y, x))
    return RawResult(scores=scores, warnings=tuple(text for text in warnings if text))


def score_bytes(reference: LabelMap, prediction: LabelMap, spacing_mm: FloatZYX) -> Scores:
    """The challenge's metrics of two arrays of bytes, whatever their values.

    Args:
        reference: axes (z, y, x).
        prediction: of the same shape.
        spacing_mm: pixdim of the reference's header along (z, y, x).
    """
    overlap = int(np.count_nonzero(reference.astype(bool) & prediction.astype(bool)))
    total = int(reference.sum(dtype=np.uint64)) + int(prediction.sum(dtype=np.uint64))
    expected, found = np.count_nonzero(reference), np.count_nonzero(prediction)
    surface = _surface(reference, prediction, spacing_mm)
    values = {
        "dice": (2 * overlap + SMOOTH) / (total + SMOOTH),
        "rvd": abs(found - expected) / expected if expected else float("nan"),
        "nsd_0.42mm": nsd(surface, tolerance_mm=TOLERANCE, both_empty="nan"),
        "hd_mm": hausdorff_mm(surface, percent=100.0),
    }
    scores: Scores = {name: value if isfinite(value) else None for name, value in values.items()}
    notes = []
    if not expected:
        notes.append(f"reference is empty: {STOPS} at rvd")
    if scores["nsd_0.42mm"] is None:
        notes.append("no surface at all: nsd_0.42mm is not a number")
    if scores["hd_mm"] is None:
        notes.append("a mask has no surface: hd_mm is infinite")
    return {**scores, "note": "; ".join(notes)} if notes else scores


def _surface(reference: LabelMap, prediction: LabelMap, spacing_mm: FloatZYX) -> SurfaceDistances:
    masks = reference.astype(bool), prediction.astype(bool)
    if max(int(reference.max(initial=0)), int(prediction.max(initial=0))) <= 1:
        return measure_surface_distances(*masks, spacing_mm=spacing_mm)
    box = joint_box(*masks)
    codes = np.stack([_overflowing_codes(array[box]) for array in (reference, prediction)])
    return distances_between(codes, element_areas(spacing_mm)[_own_codes()], spacing_mm)


def _overflowing_codes(values: LabelMap) -> UInt8[np.ndarray, "zc yc xc"]:
    """The challenge's codes of 2x2x2 cells: values times 128, 64, …, 1 added up in one byte.

    Its axes are (x, y, z), so that the corner that comes last along z alone weighs 64.
    """
    z, y, x = (size + 2 for size in values.shape)
    codes = np.zeros((z, y, x), dtype=np.uint8)
    codes[1:-1, 1:-1, 1:-1] = values
    flat = codes.ravel()
    for factor, shift in ((16, 1), (4, x), (2, y * x)):
        flat[:-shift] = flat[:-shift] * np.uint8(factor) + flat[shift:]
    return codes


@cache
def _own_codes() -> Int64[np.ndarray, " 256"]:
    """For each of the challenge's codes the one of `element_areas`."""
    codes = np.zeros(256, dtype=np.int64)
    for corner in range(8):  # 4z + 2y + x here
        z, y, x = corner >> 2 & 1, corner >> 1 & 1, corner & 1
        theirs = 7 - (4 * x + 2 * y + z)
        codes |= (np.arange(256) >> theirs & 1) << corner
    return codes


def _bytes(stored: Stored) -> LabelMap:
    """Values as the challenge has them: decimals are cut off, and what exceeds a byte begins again at 0."""
    values = _values(stored)
    if values.dtype.kind == "f":
        with np.errstate(all="ignore"):  # damaged values are no labels, here as there
            values = np.mod(np.trunc(np.nan_to_num(values, posinf=0.0, neginf=0.0)), 256)
    labels: LabelMap = values.astype(np.uint8)
    return labels


def _values(stored: Stored) -> Shaped[np.ndarray, "z y x"]:
    header = stored.header
    if stored.array.dtype.kind in "iu" and (header.slope, header.intercept) == (1.0, 0.0):
        return stored.array
    with np.errstate(all="ignore"):
        values: Shaped[np.ndarray, "z y x"] = stored.array.astype(np.float64) * header.slope + header.intercept
    return values


def _cut_values(stored: Stored, name: str) -> str:
    """What to say of values that a byte does not hold; nothing where it holds all."""
    values = _values(stored)
    changed = values[values != _bytes(stored)]
    if not changed.size:
        return ""
    return (
        f"the {name} holds values that are no bytes in {changed.size:,} voxels, like {changed[0]:g}: as in the "
        "challenge's program decimals are cut off, and what exceeds a byte begins again at 0; store masks as 0 and 1"
    )


def _bleeding(stored: Stored, table: LabelTable, *, where: str) -> LabelMap:
    labels = table.without_ignored(table.check(_bytes(stored), where=where))
    return table.mask(labels, *table.bleeding).astype(np.uint8)


def _odd_values(values: LabelMap, name: str) -> str:
    top = int(values.max(initial=0))
    if top <= 1:
        return ""
    return (
        f"the {name} holds values up to {top}: scored by its values as the challenge's program does, which distorts "
        "dice, nsd_0.42mm and hd_mm; store masks as 0 and 1"
    )


def _mean(scores: Sequence[Scores], metric: str, patients: Sequence[str]) -> dict[str, Any]:
    numbers = [value for value in (case[metric] for case in scores) if not isinstance(value, str)]
    mean = bootstrap_mean(numbers, seed=SEED, patients=patients)
    lost = len(numbers) - mean.n
    if not lost:
        return mean.as_json()
    rest = "" if mean.value is None else f"; mean of the other {mean.n}: {mean.value:.4f}"
    note = f"no finite value in {lost} of {len(numbers)} cases{rest}"
    return {"value": None, "low": None, "high": None, "n": mean.n, "note": note}
