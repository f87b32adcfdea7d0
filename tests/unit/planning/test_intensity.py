"""Foreground statistics, with numbers to check by hand."""

import numpy as np
import pytest

from hemoseg.datasets import Histogram
from hemoseg.planning.intensity import Mixture, mixture_intensity, pooled_intensity


def histogram(*voxels: float) -> Histogram:
    return Histogram.of(np.array(voxels, dtype=np.int16))


def test_cases_weigh_the_same_whatever_their_size() -> None:
    # Case 1: 10 and 30, half each. Case 2: a hundred voxels of 50. Mixture: 10 and 30 a quarter each, 50 a half.
    found = mixture_intensity([histogram(10, 30), histogram(*[50] * 100)])
    assert found is not None
    assert found.mean == 35  # (20 + 50) / 2
    assert found.std == pytest.approx(np.sqrt((25**2 + 5**2 + 2 * 15**2) / 4))
    assert (found.min, found.max) == (10, 50)
    assert found.median == 40  # F(30) is 1/2 exactly: the middle between 30 and 50
    assert (found.percentile_00_5, found.percentile_99_5) == (10, 50)


@pytest.mark.parametrize(
    ("voxels", "q", "expected"),
    [
        ((1, 2), 0.5, 1.5),  # F(1) = 1/2: the gap's middle
        ((1, 2), 0.49, 1),
        ((1, 2), 0.51, 2),
        ((1, 2, 3), 0.5, 2),  # F(1) = 1/3, F(2) = 2/3
        ((1, 1, 1, 5), 0.75, 3),
        ((7,), 0.005, 7),
        ((*range(200),), 0.005, 0.5),  # 1 of 200 voxels is 0.005 of them
        ((*range(200),), 0.995, 198.5),
        ((*range(201),), 0.005, 1),
    ],
)
def test_percentiles_are_the_inverse_and_the_middle_of_gaps(voxels, q: float, expected: float) -> None:
    assert Mixture(cases=(histogram(*voxels),)).percentile(q) == expected


def test_rounding_of_thirds_is_no_gap_missed() -> None:
    # Shares 1/3 + 1/3 + 1/3 of three cases reach 1/2 at the second value of the middle one: 0.1666… + 0.3333… = 1/2.
    cases = (histogram(1), histogram(2, 9), histogram(9))
    assert Mixture(cases=cases).share(2.0) == pytest.approx(0.5, abs=1e-15)
    assert Mixture(cases=cases).percentile(0.5) == 5.5


def test_cases_without_foreground_add_nothing_and_none_of_any_is_none() -> None:
    one = histogram(3, 4, 4)
    assert mixture_intensity([one, histogram()]) == mixture_intensity([one])
    assert mixture_intensity([histogram(), histogram()]) is None
    assert pooled_intensity([histogram()]) is None
    assert pooled_intensity([]) is None


def test_every_tenth_voxel_is_pooled_in_scan_order() -> None:
    # Case 1 gives its voxels 0 and 10, values 0 and 100; case 2 its first alone.
    first = histogram(0, *[7] * 9, 100, 9)
    assert first.tenths.tolist() == [1, 0, 0, 1]  # of 0, 7, 9, 100
    found = pooled_intensity([first, histogram(50, 1, 1)])
    assert found is not None
    assert (found.mean, found.median, found.min, found.max) == (50, 50, 0, 100)
    assert found.std == pytest.approx(np.sqrt(5000 / 3))
    assert found.percentile_00_5 == pytest.approx(0.5)  # rank 2 · 0.005 between 0 and 50
    assert found.percentile_99_5 == pytest.approx(99.5)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_histogram_and_its_table_keep_every_voxel(dtype) -> None:
    voxels = np.array([5, 3, 5, 5, 9, 3, 3, 3, 3, 3, 5, 5], dtype=dtype)
    found = Histogram.from_table(Histogram.of(voxels).table)
    assert found.values.tolist() == [3, 5, 9]
    assert found.counts.tolist() == [6, 5, 1]
    assert found.tenths.tolist() == [0, 2, 0]  # voxels 0 and 10
    assert found.total == 12


def test_numbers_far_apart_are_sorted_and_fractions_kept() -> None:
    wide = Histogram.of(np.array([-(2**31), 2**31 - 1, 0, 0], dtype=np.int32))
    assert wide.values.tolist() == [-(2**31), 0, 2**31 - 1]
    assert wide.counts.tolist() == [1, 2, 1]
    assert Histogram.of(np.array([0.5, 0.25, 0.5], dtype=np.float32)).values.tolist() == [0.25, 0.5]
