"""Bounds around volumes from out-of-fold predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log1p

import numpy as np

from hemoseg.arrays import Float64
from hemoseg.models import Calibration, Kind, VolumeCalibration

LEVEL = 0.9
"""Nominal coverage: 16 held-out scans, a fifth of a small data set, are enough for it, and not for 95 %."""
ROUNDING = 1e-9
"""What sums of weights and errors may be off by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutVolume:
    """A volume of a scan that the networks had not seen."""

    patient: str
    """Whose scan it is."""
    reference_ml: float
    """What the reference has."""
    predicted_ml: float
    """What was predicted."""

    @property
    def error(self) -> float:
        """The reference's log(1 + ml) minus the prediction's."""
        return log1p(self.reference_ml) - log1p(self.predicted_ml)


def calibrate(
    classes: Mapping[str, Sequence[HeldOutVolume]],
    total: Sequence[HeldOutVolume] | None,
    *,
    is_one_fold: bool,
    calibrated_on: str,
    level: float = LEVEL,
) -> Calibration:
    """Intervals that hold the reference's volume of a new patient's scan with a probability of at least the level.

    Errors are e = log(1 + reference) - log(1 + prediction). With K patients, a scan of a patient who has m of them
    weighs 1 / ((K + 1) m), and 1 / (K + 1) is for the new patient, whose error may be any. The upper bound is the
    smallest error that holds a weight of 1 - (1 - level) / 2 with all below it, the lower one likewise; with fewer
    than 2 / (1 - level) - 1 patients, both have the size that holds the level of |e|. With fewer than
    1 / (1 - level) - 1 there are none.

    This holds on average over scans from where these came from, if patients are exchangeable, and where one fold's
    networks predict them and new scans alike. It holds not for each size of bleed or hospital. Where a model
    averages the networks of several folds, whose errors are mostly smaller than those of one, nothing is proven:
    what was covered is measured, for each patient by bounds made without them.

    Args:
        classes: held-out volumes by class.
        total: of all bleeding classes together; None where none bleeds.
        is_one_fold: whether new scans pass the very networks that predicted these.
        calibrated_on: which scans these are, in words.
        level: nominal coverage.

    Source:
        Lei et al., J Am Stat Assoc 113:1094-1111 (2018), doi 10.1080/01621459.2017.1307116 (split conformal); Lee,
        Barber and Willett, arXiv 2306.06342 (2023) (several scans of one patient); Barber et al., Ann Stat
        49:486-507 (2021), doi 10.1214/20-AOS1965 (what is known of cross-validated errors).
    """
    first = next(iter(classes.values()))
    return Calibration(
        level=level,
        scans=len(first),
        patients=len({one.patient for one in first}),
        networks="same" if is_one_fold else "of-folds",
        calibrated_on=calibrated_on,
        classes={name: calibrate_volume(volumes, level) for name, volumes in classes.items()},
        total=None if total is None else calibrate_volume(total, level),
    )


def calibrate_volume(volumes: Sequence[HeldOutVolume], level: float) -> VolumeCalibration:
    """The same for one class."""
    for kind in ("two-sided", "symmetric"):
        bounds = find_bounds(volumes, level, kind)
        if bounds is None:
            continue
        low, high = bounds
        found = VolumeCalibration(
            kind=kind, low=low, high=high, covered=covered_when_left_out(volumes, level, kind), median_width_ml=None
        )
        intervals = [found.interval(one.predicted_ml) for one in volumes]
        widths = [one.high_ml - one.low_ml for one in intervals if one is not None]
        return found.model_copy(update={"median_width_ml": float(np.median(widths))})
    return VolumeCalibration(kind=None, low=None, high=None, covered=None, median_width_ml=None)


def find_bounds(volumes: Sequence[HeldOutVolume], level: float, kind: Kind) -> tuple[float, float] | None:
    """Lower and upper bound of the error; None where there are too few patients for the level."""
    errors = np.array([one.error for one in volumes])
    owners = [one.patient for one in volumes]
    if kind == "symmetric":
        size = weighted_bound(np.abs(errors), owners, 1 - level)
        return None if size is None else (-size, size)
    high = weighted_bound(errors, owners, (1 - level) / 2)
    low = weighted_bound(-errors, owners, (1 - level) / 2)
    return None if high is None or low is None else (-low, high)


def weighted_bound(values: Float64[np.ndarray, " n"], owners: Sequence[str], miss: float) -> float | None:
    """The smallest value that a new patient's exceeds with a probability of at most `miss`; None if none is known.

    Args:
        values: one per scan.
        owners: patient of each scan.
        miss: probability.

    Example:
        >>> weighted_bound(np.arange(1.0, 10.0), list("abcdefghi"), 0.1)
        9.0
        >>> weighted_bound(np.arange(1.0, 9.0), list("abcdefgh"), 0.1) is None
        True
    """
    patients, index, counts = np.unique(np.array(owners), return_inverse=True, return_counts=True)
    weights = 1 / ((len(patients) + 1) * counts[index])
    order = np.argsort(values, kind="stable")
    reached = np.flatnonzero(np.cumsum(weights[order]) >= 1 - miss - ROUNDING)
    return float(values[order[reached[0]]]) if len(reached) else None


def covered_when_left_out(volumes: Sequence[HeldOutVolume], level: float, kind: Kind) -> float | None:
    """The share of scans inside bounds of the other patients, each patient with the same weight; None if too few."""
    shares = []
    for patient in dict.fromkeys(one.patient for one in volumes):
        bounds = find_bounds([one for one in volumes if one.patient != patient], level, kind)
        if bounds is None:
            return None
        low, high = bounds
        own = [one.error for one in volumes if one.patient == patient]
        shares.append(np.mean([low - ROUNDING <= error <= high + ROUNDING for error in own]))
    return float(np.mean(shares))
