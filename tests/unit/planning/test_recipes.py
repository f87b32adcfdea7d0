"""Recipes: which one a planner takes, and what it costs."""

import pytest
from pydantic import ValidationError

from fingerprints import case_facts, make_fingerprint
from hemoseg.plan import Intensity, Recipe
from hemoseg.planning import DeviceTiming, make_plan, methods_text
from hemoseg.planning.recipes import departures
from hemoseg.settings import Settings


def planned(**settings):
    asked = Settings(iterations=1000, **settings)
    blood = Intensity(mean=60, median=60, std=9, min=0, max=99, percentile_00_5=30, percentile_99_5=90)
    fingerprint = make_fingerprint([case_facts()]).model_copy(update={"intensity": (blood,)})
    return make_plan(fingerprint, asked, DeviceTiming(device="cpu", threads=2, bf16=False)), fingerprint, asked


@pytest.mark.parametrize(
    ("settings", "name", "momentum"),
    [
        ({}, "headct", 0.95),
        ({"recipe": "nnunet"}, "nnunet", 0.99),
        ({"planner": "nnunet"}, "nnunet", 0.99),
        ({"planner": "nnunet-resenc-m"}, "nnunet", 0.99),
        ({"planner": "nnunet", "recipe": "headct"}, "headct", 0.95),
    ],
)
def test_the_planner_chooses_unless_the_user_does(settings, name, momentum):
    plan, fingerprint, asked = planned(**settings)
    assert (plan.recipe.name, plan.recipe.momentum) == (name, momentum)
    assert plan.recipe.validation_batches == {"nnunet": 50, "headct": 10}[name]
    (reason,) = [reason for reason in plan.reasons if reason.name == "recipe"]
    assert (reason.basis == "given") is ("recipe" in settings)
    text = methods_text(plan, fingerprint, asked)
    assert ("departs from nnU-Net's" in text) is (name == "headct")
    parts = departures(plan.recipe, plan.planner, plan.preparation).values()
    assert all((part in text) is (name == "headct") for part in parts)


@pytest.mark.parametrize(
    ("settings", "axes", "told"),
    [
        ({}, (2,), "slices, shift and noise in HU and mirroring from left to right, in place"),
        ({"recipe": "nnunet"}, (0, 1, 2), "nnU-Net's recipe"),
        ({"recipe": "nnunet", "config": "2d"}, (1, 2), "nnU-Net's recipe"),
        ({"planner": "nnunet", "recipe": "headct"}, (0, 1, 2), "within slices, in place of nnU-Net's table"),
    ],
)
def test_patches_are_mirrored_as_the_recipe_says_and_the_text_too(settings, axes, told):
    plan, fingerprint, asked = planned(**settings)
    assert plan.trained_configurations[-1].mirror_axes == axes
    text = methods_text(plan, fingerprint, asked)
    assert told in text
    assert ("from left to right" in text) is (axes == (2,))


@pytest.mark.parametrize("planner", ["headct", "nnunet"])
def test_the_departures_of_patches_are_told_where_they_are(planner):
    """Each is one of the sampler's: see `tests/unit/data/test_sampler.py`."""
    plan, fingerprint, asked = planned(planner=planner, recipe="headct")
    text = methods_text(plan, fingerprint, asked)
    (reason,) = [reason.why for reason in plan.reasons if reason.name == "recipe"]
    assert "batches of one (the patch always forced" in text
    assert "other patches (inside the scan, where nnU-Net's may reach over its borders" in text
    assert "half of a batch, rounded up" in text
    for told in (text, reason):
        assert ("all channels are -1" in told) is (plan.preparation.windowed == "last") is (planner == "headct")


def test_a_preset_keeps_its_recipe():
    with pytest.raises(ValidationError, match="nnU-Net's recipe"):
        Settings(preset="paper", recipe="headct")


def test_epochs_are_250_steps():
    assert Settings(epochs=3).asked_iterations == 750
    assert Settings().asked_iterations is None
    with pytest.raises(ValidationError, match="exclude"):
        Settings(epochs=3, iterations=3)


SHARES = ("even_lesions", "hard_negatives", "empty_cases")


@pytest.mark.parametrize("name", SHARES)
def test_shares_that_the_recipe_nnunet_would_ignore_are_refused(name):
    with pytest.raises(ValidationError, match=f"{name} 0.25 .*recipe nnunet.* headct"):
        Recipe(name="nnunet", **{name: 0.25})
    assert getattr(Recipe(name="nnunet", **{name: 0.0}), name) == 0


def test_methods_name_the_shares_that_are_set():
    plan, fingerprint, asked = planned()
    assert "drawn evenly" not in methods_text(plan, fingerprint, asked)
    shares = {"even_lesions": 0.5, "hard_negatives": 0.25, "empty_cases": 0.1}
    text = methods_text(plan.model_copy(update={"recipe": plan.recipe.model_copy(update=shares)}), fingerprint, asked)
    assert "50 % of them held a lesion drawn evenly among a case's, whatever its size" in text
    assert "Of the other patches, 25 % held bright background and 10 % came from cases without foreground." in text
    few = methods_text(
        plan.model_copy(update={"recipe": plan.recipe.model_copy(update={"empty_cases": 0.1})}), fingerprint, asked
    )
    assert "Of the other patches, 10 % came from cases without foreground." in few


def test_methods_tell_of_patience():
    plan, fingerprint, asked = planned(patience=7)
    text = methods_text(plan, fingerprint, asked, stopping="It could not act.")
    assert "A fold's training was to end early after 7 epochs without a better average loss" in text
    assert "It could not act." in text
    assert "end early" not in methods_text(plan, fingerprint, asked.model_copy(update={"patience": None}))
