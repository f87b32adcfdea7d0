"""Means and their bootstrap intervals."""

from math import inf, nan

import numpy as np
import pytest

from hemoseg.evaluation.agreement import bland_altman
from hemoseg.evaluation.statistics import MeanInterval, bootstrap_mean, wilson


def test_no_finite_value_gives_nothing():
    nothing = MeanInterval(value=None, low=None, high=None, n=0)
    assert bootstrap_mean([], seed=0) == nothing
    assert bootstrap_mean([None, nan, inf], seed=0) == nothing


def test_one_value_has_an_interval_without_width():
    assert bootstrap_mean([0.5], seed=0) == MeanInterval(value=0.5, low=0.5, high=0.5, n=1)


def test_values_that_are_not_finite_are_left_out():
    assert bootstrap_mean([1.0, None, 3.0, nan, -inf], seed=3) == bootstrap_mean([1.0, 3.0], seed=3)


def test_two_values_are_drawn_in_all_four_ways():
    """A quarter of the resamples holds the low value alone and a quarter the high one: more than 2.5 %."""
    assert bootstrap_mean([0.0, 1.0], seed=0) == MeanInterval(value=0.5, low=0.0, high=1.0, n=2)


def test_seed_decides():
    values = np.random.default_rng(1).normal(size=30).tolist()
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_interval_of_many_values_is_that_of_theory():
    """Mean plus or minus 1.96 standard errors, as the central limit theorem has it."""
    values = np.random.default_rng(2).uniform(size=400)
    result = bootstrap_mean(values.tolist(), seed=0)
    error = values.std() / 20
    assert result.value == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert result.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_patients_are_drawn_with_all_their_cases():
    """Two patients of constant value: resampled means are 0, 1, or 2/3 as one has twice the cases."""
    found = bootstrap_mean([0.0, 1.0, 1.0], seed=0, patients=["a", "b", "b"])
    assert found == MeanInterval(value=2 / 3, low=0.0, high=1.0, n=3)
    one = bootstrap_mean([0.0, 1.0], seed=0, patients=["a", "a"])
    assert one.low == one.high == 0.5


def test_cases_of_drawn_patients_weigh_as_cases():
    """One of five patients has four cases of 1, the others one of 0. Drawn three times (more is rarer than 2.5 %), its
    twelve cases stand beside two."""
    found = bootstrap_mean([1.0] * 4 + [0.0] * 4, seed=0, patients=[*"aaaa", *"bcde"])
    assert found.high == pytest.approx(12 / 14)


def test_names_of_patients_do_not_matter():
    values = np.random.default_rng(3).normal(size=12).tolist()
    plain = bootstrap_mean(values, seed=0)
    assert bootstrap_mean(values, seed=0, patients=[f"p{9 * n % 13}" for n in range(12)]) == plain


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0), (81, 263, 0.25528, 0.36621)],
)
def test_wilson(successes, n, low, high):
    """The last is from Newcombe, Stat. Med. 17:857–872 (1998), table I."""
    found = wilson(successes, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert found.value == successes / n


def test_wilson_of_nothing():
    assert wilson(0, 0) == MeanInterval(value=None, low=None, high=None, n=0)


def test_bland_altman_by_hand():
    found = bland_altman([0.0, 10.0, 20.0], [1.0, 13.0, 18.0], ["a", "b", "c"])
    assert found["bias_ml"]["value"] == pytest.approx(2 / 3)
    assert found["sd_ml"] == pytest.approx((19 / 3) ** 0.5)
    assert found["limits_ml"] == pytest.approx([2 / 3 - 1.959964 * (19 / 3) ** 0.5, 2 / 3 + 1.959964 * (19 / 3) ** 0.5])
    assert bland_altman([1.0], [2.0], ["a"])["limits_ml"] is None
