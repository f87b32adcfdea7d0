"""The choice among configurations and their averages."""

import numpy as np
import pytest

from hemoseg.selection import Scores, candidate_names, choose
from plans import tiny_configuration, tiny_plan

FLAT, FULL = ("2d",), ("3d_fullres",)
BOTH = ("2d", "3d_fullres")


def scores(dice, *, spread=0.0, patients=None):
    """Dice of 20 cases around a mean."""
    values = dice + spread * np.linspace(-1, 1, 20)
    names = patients or [f"p{i}" for i in range(20)]
    return Scores.of([{"hemorrhage": value} for value in values], names)


def plan():
    return tiny_plan(*(tiny_configuration(name=name) for name in BOTH))


def test_candidates_are_all_configurations_then_pairs_then_more_in_nnunets_order():
    trained = ["2d", "3d_lowres", "3d_fullres", "mine"]
    assert candidate_names(trained, largest=1) == [("2d",), ("3d_fullres",), ("3d_lowres",), ("mine",)]
    assert len(candidate_names(trained, largest=2)) == 4 + 6
    assert candidate_names(trained, largest=3)[-1] == ("3d_fullres", "3d_lowres", "mine")
    assert candidate_names(["2d"], largest=2) == [("2d",)]


def test_the_simpler_wins_within_noise_and_nnunet_takes_the_highest():
    """The pair gains 0.01 in half of the cases and loses 0.008 in the others: the interval of its gain holds 0."""
    single = scores(0.7, spread=0.1)
    noisy = Scores(
        values=single.values + np.where(np.arange(20) % 2, 0.01, -0.008)[:, None],
        classes=single.classes,
        patients=single.patients,
    )
    found = {FLAT: scores(0.5, spread=0.1), FULL: single, BOTH: noisy}
    chosen, reason, candidates = choose(plan(), found, "simplest")
    assert chosen == FULL
    assert reason == "the simplest within noise of: 2d 0.5000, 3d_fullres 0.7000, 2d + 3d_fullres 0.7010"
    assert choose(plan(), found, "nnunet")[0] == BOTH
    gap = candidates[1].short_of_best
    assert gap.value == pytest.approx(0.001)
    assert gap.low < 0 < gap.high
    assert candidates[0].short_of_best.low > 0.1


def test_a_pair_that_is_better_in_every_case_wins():
    found = {FLAT: scores(0.5, spread=0.1), FULL: scores(0.7, spread=0.1), BOTH: scores(0.71, spread=0.1)}
    assert choose(plan(), found, "simplest")[0] == BOTH


def test_few_patients_prove_nothing():
    """Twenty cases of four patients: the simplest with the highest score."""
    few = [f"p{i % 4}" for i in range(20)]
    found = {n: scores(d, patients=few) for n, d in ((FLAT, 0.5), (FULL, 0.7), (BOTH, 0.9))}
    assert choose(plan(), found, "simplest")[0] == FULL


def test_the_first_of_equals_wins():
    found = {FLAT: scores(0.5), FULL: scores(0.5)}
    assert choose(plan(), found, "simplest")[0] == FLAT
    assert choose(plan(), found, "nnunet")[0] == FLAT


def test_a_cascade_counts_its_first_stage():
    low = tiny_configuration(name="3d_lowres")
    cascade = tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres")
    found = {("3d_lowres",): scores(0.6), ("3d_cascade_fullres",): scores(0.7)}
    _, _, candidates = choose(tiny_plan(low, cascade), found, "nnunet")
    assert [one.networks for one in candidates] == [1, 2]


def test_without_any_value_the_first_is_taken():
    empty = Scores.of([{"hemorrhage": float("nan")}] * 6, list("abcdef"))
    chosen, _, candidates = choose(plan(), {FLAT: empty, FULL: empty}, "simplest")
    assert chosen == FLAT
    assert candidates[0].score is None
    assert candidates[0].short_of_best.value is None
