"""What a cohort's mean or share is worth."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

RESAMPLES = 10_000
"""Bootstrap resamples: the interval's ends then move by about 1 % of its width from seed to seed."""
BLOCK = 500
"""Resamples drawn at once, which bounds the memory for large cohorts."""
SEED = 0
"""Seed of all intervals, so that the same files give the same numbers."""
NORMAL_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""
PERCENTILES = (2.5, 97.5)
"""Ends of a 95 % percentile interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanInterval:
    """A mean or share with its 95 % interval; None where no case has a finite value."""

    value: float | None
    """Mean of the finite values."""
    low: float | None
    """Lower end: the 2.5th percentile of the means of resampled cohorts, unless another rule is named."""
    high: float | None
    """Upper end, the 97.5th percentile."""
    n: int
    """Number of finite values."""

    def as_json(self, *, note: str = "no case has a value") -> dict[str, Any]:
        """The entry of metrics.json; with the note where there is no value."""
        entry = asdict(self)
        return entry if self.value is not None else {**entry, "note": note}


def bootstrap_mean(values: Sequence[float | None], *, seed: int, patients: Sequence[str] | None = None) -> MeanInterval:
    """Mean of the finite values with its 95 % bootstrap percentile interval over patients.

    The interval says how far the mean would move with other patients, not with another training run. It
    is too narrow for few patients, and of no width for one. Patients are drawn with all their cases, for cases of
    one patient resemble each other and are no news of their own.

    Args:
        values: one per case; None, NaN and infinity are left out.
        seed: seed of the resampling; the same values and seed give the same interval.
        patients: whose case each value is; None takes every case for a patient of its own.

    Source:
        Efron, Ann. Stat. 7:1–26 (1979), doi:10.1214/aos/1176344552; whole clusters: Davison and Hinkley, Bootstrap
        Methods and their Application, 3.8 (1997), doi:10.1017/CBO9780511802843.

    Example:
        >>> bootstrap_mean([2.0, 2.0, None], seed=0)
        MeanInterval(value=2.0, low=2.0, high=2.0, n=2)
    """
    names = range(len(values)) if patients is None else patients
    kept = [
        (value, name) for value, name in zip(values, names, strict=True) if value is not None and np.isfinite(value)
    ]
    if not kept:
        return MeanInterval(value=None, low=None, high=None, n=0)
    finite = np.array([value for value, _ in kept], dtype=float)
    group = np.unique([name for _, name in kept], return_inverse=True)[1]
    sums, counts = np.bincount(group, weights=finite), np.bincount(group)
    if len(sums) == len(finite):
        sums = finite  # in their own order, so that it does not matter how patients are called
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES // BLOCK):
        drawn = generator.integers(len(sums), size=(BLOCK, len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), PERCENTILES)
    return MeanInterval(value=float(finite.mean()), low=float(low), high=float(high), n=len(finite))


def wilson(successes: int, n: int) -> MeanInterval:
    """A share of independent trials with its 95 % Wilson score interval, which has width at 0 and 1 too.

    Source:
        Wilson, J. Am. Stat. Assoc. 22:209–212 (1927), doi:10.1080/01621459.1927.10502953.

    Example:
        >>> found = wilson(10, 10)
        >>> found.value, round(found.low, 4), round(found.high, 4)
        (1.0, 0.7225, 1.0)
    """
    if n == 0:
        return MeanInterval(value=None, low=None, high=None, n=0)
    share, square = successes / n, NORMAL_95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = NORMAL_95 * sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return MeanInterval(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half), n=n)
