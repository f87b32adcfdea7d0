"""Plans in words."""

import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.plan import Pooling, Slab
from hemoseg.planning import DeviceTiming, StepTiming, explain_plan, make_plan, methods_text, summarize_plan
from hemoseg.planning.memory import plan_memory
from hemoseg.settings import Settings, Steps
from stepped import stepped_facts

CPU = DeviceTiming(device="cpu", threads=2, bf16=False)
DATA = make_fingerprint([case_facts()] * 24)


def headct(**changes):
    settings = Settings(iterations=4000, **changes)
    return make_plan(DATA, settings, CPU), settings


def paper(preset="paper"):
    settings = Settings(preset=preset)
    return make_plan(DATA, settings, CPU, stepped_facts(DATA, settings)), settings


def test_every_reason_is_told_within_80_columns():
    for plan in (headct()[0], paper()[0]):
        text = explain_plan(plan)
        assert max(map(len, text.splitlines())) <= 80
        joined = "".join(text.split())
        for reason in plan.reasons:
            assert "".join(reason.source.split()) in joined
            assert reason.name.split(",")[0] in joined
            assert reason.why.split()[0] in text
        assert all(basis in text for basis in {reason.basis for reason in plan.reasons})
        assert all("".join(doubt.split()) in joined for doubt in plan.doubts)


def test_memory_and_time_are_told():
    plan, _ = headct()
    item = plan.configurations[0]
    timed = CPU.model_copy(update={"steps": (StepTiming.of(item, 0.6),)})
    text = summarize_plan(plan, timed)
    assert f"{plan_memory(plan, item).total_mb / 1000:.1f} GB" in text
    assert "40 min" in text  # 4000 x 0.6 s
    assert "40 min" not in summarize_plan(plan)
    assert "configuration" not in text


def test_methods_follow_the_steps_of_the_preparation():
    text = methods_text(*_given(paper()))
    order = [
        "reoriented",
        "windows paper",
        "blocks of 2 x 2",
        "distance of 1 mm",
        "that show the head",
        "what is not 0",
    ]
    order += ["mean 0 and deviation 1", "splines of order 3"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "bounding box of the head" not in text
    assert "HU and, three in ten" not in text
    assert "blocks of 2 x 2 (assumed)" in text
    assert "distance of 1 mm (assumed)" in text
    assert "[66.5, 125.5] HU, each clamped" in text  # printed, so not assumed
    assert "## Assumed" in text
    assert "INSTANCE 2022 challenge report (team superembrace)" in text


@pytest.mark.parametrize("preset", ["paper", "paper-swapped"])
def test_every_assumption_is_marked_in_the_prose(preset):
    """Without one of them, the text has a mark less."""
    plan, settings = paper(preset)
    assumed = [reason for reason in plan.reasons if reason.basis == "assumed"]
    assert len(assumed) >= 28
    marks = _prose(plan, settings).count("(assumed)")
    for reason in assumed:
        surer = tuple(one.model_copy(update={"basis": "rule"}) if one == reason else one for one in plan.reasons)
        text = _prose(plan.model_copy(update={"reasons": surer}), settings)
        assert text.count("(assumed)") < marks, reason.name


def test_methods_of_the_default_claim_no_more_than_it_does():
    text = methods_text(*_given(headct()))
    assert "bounding box of the head" in text
    assert "shifted by up to ±4 HU" in text
    for absent in ("assumed", "what is not 0", "splines", "blocks of", "superembrace", "along z", "residual"):
        assert absent not in text.split("## Why")[0]


def test_methods_of_given_steps():
    steps = Steps(windows=("brain",), pooling=Pooling(kind="random-area", factor=3), slab=Slab(extend=2))
    text = methods_text(*_given(headct(steps=steps)))
    assert "blocks of 3 x 3 pixels became one: one value of each block" in text
    assert "arXiv:1301.3557" in text
    assert "scaled to [0, 1] before any further step" in text
    assert "and 2 beyond each end" in text
    assert "HU and, three in ten" not in text  # windows come first, so no HU are left to shift


def _prose(plan, settings):
    return methods_text(plan, DATA, settings).split("## Assumed")[0]


def _given(pair):
    plan, settings = pair
    return plan, DATA, settings
