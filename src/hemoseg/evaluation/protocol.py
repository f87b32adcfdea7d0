"""Which metrics are measured on a pair of masks, and what each does with an empty one."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from hemoseg.errors import GeometryError
from hemoseg.evaluation.overlap import dice, rvd, volume_error_ml
from hemoseg.evaluation.surface import SurfaceDistances, measure_surface_distances, nsd
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable
from hemoseg.types import LabelMap, Mask

Scores = dict[str, float | str | None]
"""{metric: value} of one class of one case; None where not finite, and then a `note` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One class of one case: all that metrics are made from, measured once."""

    reference: Mask
    """Axes (z, y, x)."""
    prediction: Mask
    """On the same grid."""
    surface: SurfaceDistances
    """Surface elements of both."""
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


def measure_pair(reference: Mask, prediction: Mask, grid: Grid) -> Pair:
    """Two masks (z, y, x) on one grid, with their surface distances."""
    return Pair(
        reference=reference,
        prediction=prediction,
        surface=measure_surface_distances(reference, prediction, spacing_mm=grid.rounded_spacing_mm),
        voxel_ml=grid.voxel_ml,
    )


def evaluate_pair(reference: LabelMap, prediction: LabelMap, grid: Grid, table: LabelTable) -> dict[str, Scores]:
    """{class: {metric: value}} of one case by the extended protocol, for every class but the background.

    Args:
        reference: axes (z, y, x).
        prediction: on the same grid.
        grid: where the voxels lie.
        table: names of the class numbers.

    Raises:
        GeometryError: an array has another shape than the grid.
    """
    for name, labels in (("reference", reference), ("prediction", prediction)):
        if labels.shape != grid.shape:
            raise GeometryError(
                f"{labels.shape} voxels (z, y, x)",
                where=name,
                expected=f"the shape of the grid, {grid.shape}",
                remedy="give reference and prediction on one grid",
            )
    return {
        name: _scores(measure_pair(reference == number, prediction == number, grid), EXTENDED)
        for name, number in table.foreground.items()
    }


def _scores(pair: Pair, protocol: Protocol) -> Scores:
    scores: Scores = {}
    lost = []
    for metric in protocol.metrics:
        value = metric.measure(pair)
        scores[metric.name] = value if isfinite(value) else None
        if not isfinite(value):
            lost.append(metric.name)
    if lost:
        one = len(lost) == 1
        found = "reference is empty" if pair.prediction.any() else "reference and prediction are both empty"
        listed = lost[0] if one else f"{', '.join(lost[:-1])} and {lost[-1]}"
        scores["note"] = f"{found}: {listed} {'is' if one else 'are'} undefined"
    return scores


def _nsd_at(tolerance_mm: float) -> Metric:
    return Metric(
        name=f"nsd_{tolerance_mm:g}mm",
        measure=lambda pair: nsd(pair.surface, tolerance_mm=tolerance_mm, both_empty="nan"),
        rule="both empty: undefined, left out of the mean; one empty: 0",
    )


EXTENDED = Protocol(
    name="extended",
    metrics=(
        Metric(
            name="dice",
            measure=lambda pair: dice(pair.reference, pair.prediction, both_empty="nan"),
            rule="both empty: undefined, left out of the mean; one empty: 0",
        ),
        Metric(
            name="rvd",
            measure=lambda pair: rvd(pair.reference, pair.prediction, both_empty="nan"),
            rule="reference empty: undefined, left out of the mean; prediction alone empty: 1",
        ),
        _nsd_at(0.42),
        _nsd_at(1.0),
        Metric(
            name="volume_error_ml",
            measure=lambda pair: volume_error_ml(pair.reference, pair.prediction, voxel_ml=pair.voxel_ml),
            rule="defined for empty masks, whose volume is 0 ml; prediction minus reference",
        ),
    ),
)
"""What `hemoseg evaluate` measures. 0.42 mm is the tolerance of INSTANCE 2022, just below a pixel; 1 mm lets
a contour be off by two. Empty pairs say nothing about overlap: they are left out, not rewarded."""
