"""The extended protocol: which metrics are measured on a pair of masks, and what each does with an empty one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from hemoseg.datasets.sources import ANY
from hemoseg.errors import GeometryError, SettingsError
from hemoseg.evaluation.lesions import Lesions, match_lesions
from hemoseg.evaluation.overlap import dice, iou, relative_volume_error, rvd, volume_error_ml, volume_ml
from hemoseg.evaluation.surface import (
    SurfaceDistances,
    assd_mm,
    hausdorff_mm,
    joint_box,
    measure_surface_distances,
    nsd,
)
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable
from hemoseg.types import LabelMap, Mask

Scores = dict[str, float | str | None]
"""{metric: value} of one class of one case; None where not finite, and then a `note` says why."""
TOLERANCES_MM = (0.42, 1.0, 2.0)
"""Tolerances of surface Dice: 0.42 mm is that of INSTANCE 2022, just below a pixel; 1 and 2 mm let a contour be off
by two pixels and by four."""
_UNDEFINED = "both empty: undefined, left out of the mean; one empty: 0"
_DISTANCE = "one or both empty: undefined (no surface to be near to), left out of the mean"
_DEFINED = "defined for empty masks, whose volume is 0 ml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One class of one case: all that metrics are made from, measured once."""

    reference: Mask
    """Axes (z, y, x), cut to what surrounds both masks."""
    prediction: Mask
    """On the same grid."""
    surface: SurfaceDistances
    """Surface elements of both."""
    lesions: Lesions
    """Lesions of both."""
    voxel_ml: float
    """Volume of one voxel in ml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric with its conventions settled."""

    name: str
    """Name on disk, with unit or tolerance."""
    measure: Callable[[Pair], float]
    """The value; NaN where undefined."""
    rule: str
    """What happens with empty masks, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A set of metrics with a name."""

    name: str
    """Name on disk."""
    metrics: tuple[Metric, ...]
    """The metrics, in the order of tables."""

    @property
    def rules(self) -> dict[str, str]:
        """{metric: what happens with empty masks}."""
        return {metric.name: metric.rule for metric in self.metrics}


def class_masks(labels: LabelMap, table: LabelTable) -> dict[str, Mask]:
    """{class: mask} for every class but the background, and `any` for all bleeding ones together.

    Where one class alone bleeds, `any` is its very mask. A class that is itself called `any` is kept as it is.
    """
    masks = {name: table.mask(labels, name) for name in table.members}
    if ANY not in masks and table.bleeding:
        first, *others = (masks[name] for name in table.bleeding)
        masks[ANY] = first if not others else np.logical_or.reduce([first, *others])
    return masks


def measure_pair(reference: Mask, prediction: Mask, grid: Grid) -> Pair:
    """Two masks (z, y, x) on one grid, with their surface distances and lesions."""
    box = joint_box(reference, prediction)
    reference, prediction = np.ascontiguousarray(reference[box]), np.ascontiguousarray(prediction[box])
    return Pair(
        reference=reference,
        prediction=prediction,
        surface=measure_surface_distances(reference, prediction, spacing_mm=grid.rounded_spacing_mm),
        lesions=match_lesions(reference, prediction, voxel_ml=grid.voxel_ml),
        voxel_ml=grid.voxel_ml,
    )


def evaluate_pair(
    reference: LabelMap,
    prediction: LabelMap,
    grid: Grid,
    table: LabelTable,
    *,
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
) -> dict[str, Scores]:
    """{class: {metric: value}} of one case by the extended protocol, for every class but the background, and `any`.

    Args:
        reference: axes (z, y, x).
        prediction: on the same grid.
        grid: where the voxels lie.
        table: names of the class numbers.
        tolerances_mm: tolerances of surface Dice.

    Raises:
        GeometryError: an array has another shape than the grid.
    """
    pairs = measure_classes(reference, prediction, grid, table)
    protocol = extended(tolerances_mm)
    return {name: score_pair(pair, protocol) for name, pair in pairs.items()}


def measure_classes(reference: LabelMap, prediction: LabelMap, grid: Grid, table: LabelTable) -> dict[str, Pair]:
    """{class: what its metrics are made from} of one case; classes as `class_masks`.

    Raises:
        GeometryError: an array has another shape than the grid.
    """
    for array in (reference, prediction):
        if array.shape != grid.shape:
            raise GeometryError(
                f"an array of {array.shape} voxels (z, y, x)",
                where="evaluate_pair",
                expected=f"{grid.shape}, the shape of the grid",
                remedy="resample the prediction onto the reference's grid",
            )
    expected, found = class_masks(reference, table), class_masks(prediction, table)
    pairs = {name: measure_pair(expected[name], found[name], grid) for name in table.members}
    if ANY in expected and ANY not in pairs:
        alone = table.bleeding[0] if len(table.bleeding) == 1 else None
        pairs[ANY] = pairs[alone] if alone else measure_pair(expected[ANY], found[ANY], grid)
    return pairs


def score_pair(pair: Pair, protocol: Protocol) -> Scores:
    """{metric: value}, and a `note` that says why values are None."""
    values = {metric.name: metric.measure(pair) for metric in protocol.metrics}
    scores: Scores = {name: value if isfinite(value) else None for name, value in values.items()}
    lost = [name for name, value in scores.items() if value is None]
    if lost:
        scores["note"] = f"{_emptiness(pair)}: {_listed(lost)} undefined"
    return scores


def extended(tolerances_mm: Sequence[float] = TOLERANCES_MM) -> Protocol:
    """What `hemoseg evaluate` measures by default. Empty pairs say nothing about overlap: they are left out, not
    rewarded.

    Raises:
        SettingsError: a tolerance is negative or no number.
    """
    return Protocol(name="extended", metrics=(*_overlap(), *_surface(tolerances_mm), *_volume(), *_lesion()))


def _emptiness(pair: Pair) -> str:
    if pair.reference.any():
        return "prediction is empty"
    return "reference is empty" if pair.prediction.any() else "reference and prediction are both empty"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are" if others else f"{last} is"


def _overlap() -> tuple[Metric, ...]:
    return (
        Metric(name="dice", measure=lambda p: dice(p.reference, p.prediction, both_empty="nan"), rule=_UNDEFINED),
        Metric(name="iou", measure=lambda p: iou(p.reference, p.prediction, both_empty="nan"), rule=_UNDEFINED),
    )


def _surface(tolerances_mm: Sequence[float]) -> tuple[Metric, ...]:
    wrong = [value for value in tolerances_mm if not (isfinite(value) and value >= 0)]
    if wrong or len({_nsd_at(value).name for value in tolerances_mm}) != len(tolerances_mm):
        raise SettingsError(
            f"tolerances {', '.join(f'{value:g}' for value in tolerances_mm)} mm",
            where="surface Dice",
            expected="different numbers of at least 0 mm",
            remedy="name each tolerance once, like 0.42,1,2",
        )
    return (
        *(_nsd_at(value) for value in tolerances_mm),
        Metric(name="hd95_mm", measure=lambda p: hausdorff_mm(p.surface, percent=95.0), rule=_DISTANCE),
        Metric(name="hd_mm", measure=lambda p: hausdorff_mm(p.surface, percent=100.0), rule=_DISTANCE),
        Metric(name="assd_mm", measure=lambda p: assd_mm(p.surface), rule=_DISTANCE),
    )


def _nsd_at(tolerance_mm: float) -> Metric:
    return Metric(
        name=f"nsd_{tolerance_mm:g}mm",
        measure=lambda pair: nsd(pair.surface, tolerance_mm=tolerance_mm, both_empty="nan"),
        rule=_UNDEFINED,
    )


def _volume() -> tuple[Metric, ...]:
    def error_ml(pair: Pair) -> float:
        return volume_error_ml(pair.reference, pair.prediction, voxel_ml=pair.voxel_ml)

    relative = "reference empty: undefined, left out of the mean; prediction alone empty: "
    return (
        Metric(name="volume_ml", measure=lambda p: volume_ml(p.prediction, voxel_ml=p.voxel_ml), rule=_DEFINED),
        Metric(name="reference_ml", measure=lambda p: volume_ml(p.reference, voxel_ml=p.voxel_ml), rule=_DEFINED),
        Metric(name="volume_error_ml", measure=error_ml, rule=f"{_DEFINED}; prediction minus reference"),
        Metric(name="absolute_volume_error_ml", measure=lambda p: abs(error_ml(p)), rule=_DEFINED),
        Metric(name="rvd", measure=lambda p: rvd(p.reference, p.prediction, both_empty="nan"), rule=f"{relative}1"),
        Metric(
            name="relative_volume_error",
            measure=lambda p: relative_volume_error(p.reference, p.prediction, both_empty="nan"),
            rule=f"{relative}-1",
        ),
    )


def _lesion() -> tuple[Metric, ...]:
    return (
        Metric(name="lesion_f1", measure=lambda p: p.lesions.f1, rule=_UNDEFINED),
        Metric(
            name="lesion_recall",
            measure=lambda p: p.lesions.recall,
            rule="reference empty: undefined, left out of the mean; prediction alone empty: 0",
        ),
        Metric(
            name="lesion_precision",
            measure=lambda p: p.lesions.precision,
            rule="prediction empty: undefined, left out of the mean; reference alone empty: 0",
        ),
        Metric(
            name="false_positives_per_scan",
            measure=lambda p: float(len(p.lesions.false_ml)),
            rule="defined for empty masks: every predicted lesion is false where the reference has none",
        ),
    )
