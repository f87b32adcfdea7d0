"""Scores of predictions, and differences with their intervals."""

import numpy as np
import pytest

from hemoseg.selection import Scores
from hemoseg.selection.scores import difference, is_beyond_noise

NAN = float("nan")


def scores(rows, patients=None):
    cases = [{"a": first, "b": second} for first, second in rows]
    return Scores.of(cases, patients or [f"p{i}" for i in range(len(rows))])


def test_a_score_is_the_mean_over_classes_of_means_over_cases():
    found = scores([(0.2, NAN), (0.4, 0.9), (NAN, 0.5)])
    assert found.by_class == pytest.approx({"a": 0.3, "b": 0.7})
    assert found.score == pytest.approx(0.5)
    assert scores([(0.2, NAN), (0.4, NAN)]).by_class == {"a": pytest.approx(0.3), "b": None}


def test_a_difference_counts_classes_that_both_have():
    first, second = scores([(0.5, 0.9)] * 6), scores([(0.4, NAN)] * 6)
    found = difference(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert is_beyond_noise(found)


def test_a_false_positive_removed_from_an_empty_case_counts():
    """Dice 0 becomes undefined: the case no longer pulls the mean down."""
    before, after = scores([(0.8, 0.8)] * 5 + [(0.0, 0.8)]), scores([(0.8, 0.8)] * 5 + [(NAN, 0.8)])
    assert difference(after, before).value == pytest.approx((0.8 - 4 / 6) / 2)


def test_the_interval_is_that_of_the_paired_bootstrap():
    """Against a plain loop over resamples: the mean of differences of one class."""
    rng = np.random.default_rng(1)
    first, second = rng.random(12), rng.random(12)
    ours = difference(
        Scores.of([{"a": v} for v in first], [f"{i:02d}" for i in range(12)]),
        Scores.of([{"a": v} for v in second], [f"{i:02d}" for i in range(12)]),
    )
    draw = np.random.default_rng(7)
    loop = [np.mean((first - second)[draw.integers(12, size=12)]) for _ in range(10_000)]
    width = ours.high - ours.low
    assert (ours.low, ours.high) == pytest.approx(np.percentile(loop, [2.5, 97.5]), abs=0.03 * width)
    assert ours == difference(
        Scores.of([{"a": v} for v in first], [f"{i:02d}" for i in range(12)]),
        Scores.of([{"a": v} for v in second], [f"{i:02d}" for i in range(12)]),
    )


def test_cases_of_a_patient_are_drawn_together():
    """Ten copies of six patients make the interval no narrower."""
    rng = np.random.default_rng(2)
    first, second = rng.random(6), rng.random(6)
    once = difference(
        Scores.of([{"a": v} for v in first], list("abcdef")), Scores.of([{"a": v} for v in second], list("abcdef"))
    )
    owners = [name for name in "abcdef" for _ in range(10)]
    copies = difference(
        Scores.of([{"a": v} for v in np.repeat(first, 10)], owners),
        Scores.of([{"a": v} for v in np.repeat(second, 10)], owners),
    )
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high))


def test_few_patients_have_no_interval():
    found = difference(scores([(1.0, 1.0)] * 4), scores([(0.0, 0.0)] * 4))
    assert (found.value, found.low, found.high) == (1.0, None, None)
    assert not is_beyond_noise(found)
