"""What a cohort's mean is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
"""Bootstrap resamples: the interval's ends then move by about 1 % of its width from seed to seed."""
BLOCK = 500
"""Resamples drawn at once, which bounds the memory for large cohorts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanInterval:
    """A mean over cases with its 95 % interval; None where no case has a finite value."""

    value: float | None
    """Mean of the finite values."""
    low: float | None
    """2.5th percentile of the means of resampled cohorts."""
    high: float | None
    """97.5th percentile of the means of resampled cohorts."""
    n: int
    """Number of finite values."""


def bootstrap_mean(values: Sequence[float | None], *, seed: int) -> MeanInterval:
    """Mean of the finite values with its 95 % bootstrap percentile interval over cases.

    The interval says how far the mean would move with other patients, not with another training run. It
    is too narrow for few cases, and of no width for one.

    Args:
        values: one per case; None, NaN and infinity are left out.
        seed: seed of the resampling; the same values and seed give the same interval.

    Source:
        Efron, Ann. Stat. 7:1–26 (1979), doi:10.1214/aos/1176344552.

    Example:
        >>> bootstrap_mean([2.0, 2.0, None], seed=0)
        MeanInterval(value=2.0, low=2.0, high=2.0, n=2)
    """
    finite = np.array([value for value in values if value is not None and np.isfinite(value)], dtype=float)
    n = len(finite)
    if n == 0:
        return MeanInterval(value=None, low=None, high=None, n=0)
    generator = np.random.default_rng(seed)
    means = [finite[generator.integers(n, size=(BLOCK, n))].mean(axis=1) for _ in range(RESAMPLES // BLOCK)]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return MeanInterval(value=float(finite.mean()), low=float(low), high=float(high), n=n)
