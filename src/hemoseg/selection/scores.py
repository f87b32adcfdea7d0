"""What sets of predictions score, and whether a difference is more than noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Float64, Int64
from hemoseg.models import Difference

RESAMPLES = 10_000
"""Bootstrap resamples: the ends of an interval then move by about 1 % of its width from seed to seed."""
BLOCK = 1000
"""Resamples at once, which bounds the memory."""
SEED = 0
"""Seed of the bootstrap, so that the same predictions give the same selection."""
FEWEST_PATIENTS = 5
"""With fewer patients, resampling says nothing, and no difference is more than noise."""

PerCase = Float64[np.ndarray, "n k"]
"""The metric of each case and class; NaN where undefined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A metric of one set of predictions, larger is better."""

    values: PerCase
    """Of each case and class."""
    classes: tuple[str, ...]
    """The classes, in the order of the columns."""
    patients: tuple[str, ...]
    """Whose each case is."""

    @classmethod
    def of(cls, cases: Sequence[Mapping[str, float]], patients: Sequence[str]) -> "Scores":
        """From {class: value} of each case."""
        classes = tuple(cases[0])
        values = np.array([[case[name] for name in classes] for case in cases], dtype=np.float64)
        return cls(values=values, classes=classes, patients=tuple(patients))

    @property
    def class_means(self) -> Float64[np.ndarray, " k"]:
        """Mean of each class over the cases that have a value; NaN where none has."""
        defined = np.isfinite(self.values)
        counts = defined.sum(axis=0)
        sums = np.where(defined, self.values, 0.0).sum(axis=0)
        means: Float64[np.ndarray, " k"] = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return means

    @property
    def by_class(self) -> dict[str, float | None]:
        """The means by name; None where no case has a value."""
        pairs = zip(self.classes, self.class_means.tolist(), strict=True)
        return {name: mean if np.isfinite(mean) else None for name, mean in pairs}

    @property
    def score(self) -> float | None:
        """Mean over classes of the means over cases; None where no class has one."""
        means = self.class_means[np.isfinite(self.class_means)]
        return float(means.mean()) if len(means) else None


def difference(better: Scores, worse: Scores) -> Difference:
    """How much higher the first scores than the second, with a 95 % interval by a paired bootstrap over patients.

    In each resample both lose and repeat the same patients. A class that has no value on one side counts on neither.

    Args:
        better: a metric of each case and class.
        worse: the same of other predictions of the same cases.

    Source:
        Efron & Tibshirani, An Introduction to the Bootstrap (1993), sections 8 and 13.
    """
    names, place = np.unique(better.patients, return_inverse=True)
    value = _gap(better.values, worse.values, np.ones((1, len(better.values))))[0]
    if len(names) < FEWEST_PATIENTS:
        return Difference(value=_known(value), low=None, high=None)
    generator = np.random.default_rng(SEED)
    gaps = []
    for _ in range(RESAMPLES // BLOCK):
        drawn = generator.integers(len(names), size=(BLOCK, len(names)))
        weights = _counts(drawn, len(names))[:, place.reshape(-1)].astype(np.float64)
        gaps.append(_gap(better.values, worse.values, weights))
    finite = np.concatenate(gaps)
    finite = finite[np.isfinite(finite)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    return Difference(value=_known(value), low=_known(low), high=_known(high))


def is_beyond_noise(found: Difference) -> bool:
    """Whether the first is better for sure: the whole interval is above 0."""
    return found.low is not None and found.low > 0


def _gap(first: PerCase, second: PerCase, weights: Float64[np.ndarray, "b n"]) -> Float64[np.ndarray, " b"]:
    """Difference of the scores with cases weighted."""
    means = []
    for values in (first, second):
        defined = np.isfinite(values)
        counts = weights @ defined
        sums = weights @ np.where(defined, values, 0.0)
        means.append(np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0))
    gaps = means[0] - means[1]
    known = np.isfinite(gaps)
    counted = known.sum(axis=1)
    totals = np.where(known, gaps, 0.0).sum(axis=1)
    result: Float64[np.ndarray, " b"] = np.divide(totals, counted, out=np.full(len(totals), np.nan), where=counted > 0)
    return result


def _counts(drawn: Int64[np.ndarray, "b p"], patients: int) -> Int64[np.ndarray, "b p"]:
    """How often each patient was drawn in each resample."""
    rows = np.arange(len(drawn))[:, None] * patients
    return np.bincount((drawn + rows).reshape(-1), minlength=len(drawn) * patients).reshape(len(drawn), patients)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
