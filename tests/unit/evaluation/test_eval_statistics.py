"""Means and their bootstrap intervals."""

from math import inf, nan

import numpy as np
import pytest

from hemoseg.evaluation.statistics import MeanInterval, bootstrap_mean


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
