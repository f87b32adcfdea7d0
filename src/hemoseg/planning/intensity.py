"""Foreground intensities of a data set: exactly what nnU-Net estimates by sampling.

nnU-Net v2 draws the same number of foreground voxels N from each case, with replacement, pools them and takes mean,
median, standard deviation and the 0.5th and 99.5th percentile (numpy's, linear). For N to infinity the pooled sample
is the mixture of the cases' distributions in which each case with foreground weighs the same,

    F(v) = 1/K · Σ_k (voxels of case k that are at most v) / (voxels of case k),

and each statistic goes to that of F: the mean to Σ p v, the deviation to √(Σ p (v - mean)²) with p the share of v,
minimum and maximum to those of all voxels. The percentile q of M samples interpolates between the samples of rank
⌊(M - 1) q⌋ and ⌈(M - 1) q⌉. Where no value v has F(v) = q, both ranks end in the same jump of F with a probability
that goes to 1, and the percentile goes to the generalized inverse

    F⁻¹(q) = min {v : F(v) ≥ q}.

Where F(v) = q holds for some v, F is flat from v to the next value w, and by chance as many samples lie below the
gap as not: the sampled percentile is v or w, each with probability 1/2, or between them. We take the middle,
(v + w) / 2, its expectation. So the median of {1, 2} is 1.5, as for any finite sample, and a mirrored distribution has
mirrored percentiles. Percentiles of one case are those that Hyndman & Fan call definition 2.

Source: Isensee et al., Nat Methods 18:203-211 (2021), doi 10.1038/s41592-020-01008-z; nnunetv2 2.8.1, which draws
1e8 / (number of cases) voxels per case. Hyndman & Fan, Am Stat 50:361-365 (1996), doi 10.2307/2684934.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, fsum, sqrt

import numpy as np

from hemoseg.arrays import Float64
from hemoseg.datasets import Histogram
from hemoseg.plan import Intensity

LOW, MEDIAN, HIGH = 0.005, 0.5, 0.995
"""Shares of voxels below the three percentiles."""
TIE = 1e-12
"""F(v) this near to a share counts as equal. Sums of shares are right to some 1e-15, while for a case of n voxels
F(v) is a multiple of 1 / n, and n is below 1e9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """The distribution of foreground voxels in which each case with foreground weighs the same."""

    cases: tuple[Histogram, ...]
    """The cases with foreground; at least one."""

    @property
    def values(self) -> Float64[np.ndarray, " n"]:
        """The values that occur in any case, ascending."""
        # without counts np.unique would load NumPy's masked arrays first: a twentieth of the time of `fingerprint`
        values, _ = np.unique(np.concatenate([case.values for case in self.cases]), return_counts=True)
        return values

    @property
    def mean(self) -> float:
        """The mean of the cases' means."""
        return fsum(fsum(case.values * case.counts) / case.total for case in self.cases) / len(self.cases)

    def moment(self, order: int) -> float:
        """The mean of (v - mean)^order."""
        mean = self.mean
        return fsum(fsum((c.values - mean) ** order * c.counts) / c.total for c in self.cases) / len(self.cases)

    def share(self, value: float) -> float:
        """F(value): the share of voxels that are at most this value."""
        return fsum(_at_most(case, value) / case.total for case in self.cases) / len(self.cases)

    def percentile(self, q: float) -> float:
        """The value below which a share q in (0, 1) of the voxels lies, as the top of this file defines it."""
        values = self.values
        first = bisect_left(values, q - TIE, key=self.share)
        value = float(values[first])
        if self.share(value) <= q + TIE:
            return (value + float(values[first + 1])) / 2
        return value


def mixture_intensity(cases: Sequence[Histogram]) -> Intensity | None:
    """Statistics of the mixture in which each case with foreground weighs the same; None if no case has any.

    Args:
        cases: one histogram per case.
    """
    filled = tuple(case for case in cases if case.total)
    if not filled:
        return None
    mixture = Mixture(cases=filled)
    return Intensity(
        mean=mixture.mean,
        median=mixture.percentile(MEDIAN),
        std=sqrt(mixture.moment(2)),
        min=float(mixture.values[0]),
        max=float(mixture.values[-1]),
        percentile_00_5=mixture.percentile(LOW),
        percentile_99_5=mixture.percentile(HIGH),
    )


def pooled_intensity(cases: Sequence[Histogram]) -> Intensity | None:
    """Statistics of every tenth foreground voxel of all cases together, as in nnU-Net v1; None if there is none.

    Large lesions count for more here. Percentiles are numpy's, interpolated linearly.
    Source: nnunet 1.7.1, whose voxels are numbered case by case in scan order of the cropped image.

    Args:
        cases: one histogram per case.
    """
    values = np.concatenate([case.values for case in cases]) if cases else np.empty(0)
    counts = np.concatenate([case.tenths for case in cases]) if cases else np.empty(0, dtype=np.int64)
    taken = np.flatnonzero(counts)
    if not len(taken):
        return None
    order = taken[np.argsort(values[taken], kind="stable")]
    values, counts = values[order], counts[order]
    ends = np.cumsum(counts)
    total = int(ends[-1])
    mean = fsum(values * counts) / total

    def percentile(q: float) -> float:
        rank = (total - 1) * q
        low, high = (values[np.searchsorted(ends, index, side="right")] for index in (floor(rank), ceil(rank)))
        return float(low + (high - low) * (rank - floor(rank)))

    return Intensity(
        mean=mean,
        median=percentile(MEDIAN),
        std=sqrt(fsum((values - mean) ** 2 * counts) / total),
        min=float(values[0]),
        max=float(values[-1]),
        percentile_00_5=percentile(LOW),
        percentile_99_5=percentile(HIGH),
    )


def _at_most(case: Histogram, value: float) -> int:
    """Voxels of a case that are at most this value."""
    return int(case.counts[: np.searchsorted(case.values, value, side="right")].sum())
