"""The paper's system, and nnU-Net's planners behind steps of the user's."""

from dataclasses import replace

import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.errors import ArtifactError, SettingsError
from hemoseg.plan import Intensity, Pooling, Slab
from hemoseg.planning import DeviceTiming, StepTiming, candidates, make_plan, needs_pass
from hemoseg.planning.nnunet import facts_from_fingerprint, make_nnunet_plan
from hemoseg.settings import Settings, Steps
from stepped import stepped_facts

CPU = DeviceTiming(device="cpu", threads=2, bf16=True)
BLOOD = Intensity(mean=55, median=56, std=9, min=0, max=110, percentile_00_5=25, percentile_99_5=85)
DATA = make_fingerprint([case_facts()] * 24, intensity=(BLOOD,), intensity_v1=(BLOOD,))


def planned(settings, **changes):
    return make_plan(DATA, settings, CPU, stepped_facts(DATA, settings, **changes))


def reasons(plan):
    return {reason.name: reason for reason in plan.reasons}


@pytest.mark.parametrize(("preset", "bounds"), [("paper", (66.5, 125.5)), ("paper-swapped", (11.0, 107.0))])
def test_a_preset_has_the_papers_steps(preset, bounds):
    plan = planned(Settings(preset=preset))
    preparation = plan.preparation
    (window,) = preparation.windows
    assert (window.low_hu, window.high_hu) == bounds
    assert preparation.windowed == "first"
    assert preparation.channels[0].scale == (0.0, 1.0)
    assert preparation.channels[0].normalization == "zscore"
    assert preparation.pooling == Pooling(kind="average", factor=2)
    assert preparation.slice_spacing_mm == 1.0
    assert preparation.slab == Slab(extend=1)
    assert preparation.nonzero_crop
    assert not preparation.head_crop
    assert (plan.preset, plan.planner, plan.trained) == (preset, "nnunet", ("3d_fullres",))
    assert plan.nnunet is None  # nnU-Net's files cannot hold the steps
    assert plan.recipe.momentum == 0.99
    assert [item.iterations for item in plan.configurations] == [250_000]
    assert ("window paper" in " ".join(plan.doubts)) is (preset == "paper")


def test_what_the_paper_does_not_print_is_assumed():
    basis = {name: reason.basis for name, reason in reasons(planned(Settings(preset="paper"))).items()}
    printed = (
        "resampling.image",
        "nonzero_crop",
        "encoder",
        "channels.0.normalization",
        "3d_fullres.batch_size",
        "3d_fullres.strides",
        "3d_fullres.features",
        "forced_foreground",
        "loss",
        "deep_supervision",
        "tile_overlap",
        "tile_weights",
        "windows",
        "slab.extend",
        "iterations",
        "learning_rate",
        "momentum",
        "spacing_mm",
        "3d_fullres.patch_size",
    )
    assert {basis[name] for name in printed} == {"rule"}
    gaps = (
        "channels.0.source",
        "channels.0.masked",
        "orientation",
        "transpose",
        "trained",
        "anisotropy",
        "resampling.labels",
        "resampling.logits",
        "3d_fullres.blocks",
        "3d_fullres.decoder_blocks",
        "learning_rate.exponent",
        "deep_supervision.weights",
        "weight_decay, clip_norm",
        "batch_dice",
        "mirror_axes",
        "augmentation",
        "mirrored_prediction",
        "initialization",
        "tile_weights.sigma",
        "early_stopping",
        "precision",
        "seed, folds",
        "windowed",
        "pooling.kind",
        "pooling.factor",
        "slice_spacing_mm",
        "slab.train_range",
        "planner",
        "memory_gb",
    )
    assert {basis[name] for name in gaps} == {"assumed"}
    assert set(basis) == {*printed, *gaps}
    assert reasons(planned(Settings(preset="paper-swapped")))["windows"].basis == "assumed"
    assert reasons(planned(Settings(preset="paper", iterations=9)))["iterations"].basis == "given"
    assert reasons(planned(Settings(preset="paper", memory_gb=24)))["memory_gb"].basis == "given"


def test_networks_are_nnunets_for_the_stepped_data():
    """The same planner on the same spacings and shapes, whatever came before."""
    plan = planned(Settings(preset="paper"))
    facts = replace(
        facts_from_fingerprint(DATA),
        channel_names=("paper",),
        spacings_mm=((1.0, 0.9, 0.9),) * 24,
        shapes=((150, 220, 190),) * 24,
        relative_size=0.6,
    )
    expected = make_nnunet_plan(
        facts,
        planner="nnunet",
        memory_gb=None,
        labels=DATA.labels,
        settings=Settings(),
        precision="bf16",
    )
    assert plan.configurations == expected.trained_configurations
    assert plan.preparation.channels[0].masked is expected.preparation.channels[0].masked is True


def test_without_windows_the_data_keep_their_channels():
    settings = Settings(planner="nnunet", steps=Steps(pooling=Pooling(kind="maximum", factor=2)))
    plan = planned(settings)
    (channel,) = plan.preparation.channels
    assert (channel.name, channel.window, channel.normalization, channel.intensity) == ("CT", None, "ct", BLOOD)
    assert plan.preparation.orientation == "canonical"
    assert reasons(plan)["pooling"].basis == "given"


def test_only_steps_before_nnunet_need_a_pass():
    steps = Steps(slice_spacing_mm=2.0)
    assert needs_pass(Settings(preset="paper"))
    assert needs_pass(Settings(planner="nnunet-v1", steps=steps))
    assert not needs_pass(Settings(planner="nnunet"))
    assert not needs_pass(Settings(steps=steps))


def test_a_missing_or_foreign_pass_is_refused():
    with pytest.raises(ArtifactError, match="is missing"):
        make_plan(DATA, Settings(preset="paper"), CPU)
    with pytest.raises(ArtifactError, match="other steps"):
        make_plan(DATA, Settings(preset="paper"), CPU, stepped_facts(DATA, Settings(preset="paper-swapped")))


def test_pooling_by_sums_needs_windows():
    settings = Settings(planner="nnunet", steps=Steps(pooling=Pooling(kind="summed-area", factor=2)))
    with pytest.raises(SettingsError, match="summed-area pooling of HU"):
        stepped_facts(DATA, settings)


def test_a_budget_buys_steps_of_the_one_network():
    settings = Settings(preset="paper", budget_s=3600, folds=(0, 1))
    stepped = stepped_facts(DATA, settings)
    ((item,),) = candidates(DATA, settings, precision="bf16", stepped=stepped)
    device = CPU.model_copy(update={"steps": (StepTiming.of(item, 6.0),)})
    plan = make_plan(DATA, settings, device, stepped)
    assert plan.configurations[0].iterations == int(
        300 / (1 + 50 / 3 / 250)
    )  # 3600 s over 2 folds of 6 s, with 50 validation batches of a third of a step per 250
    assert reasons(plan)["iterations"].basis == "measured"
    assert "3600 s pay for 281 optimizer steps of each network and fold, 0.11 % of the 250000 that nnU-Net" in str(
        plan.doubts
    )
    assert "exceeds the budget" not in str(plan.doubts)
    with pytest.raises(SettingsError, match="not timed"):
        make_plan(DATA, settings, CPU, stepped)


def test_a_budget_that_no_step_fits_is_exceeded_and_the_plan_says_so():
    settings = Settings(planner="nnunet", budget_s=60)
    ((item,),) = candidates(DATA, settings, precision="bf16")
    step = StepTiming.of(item, 118.4, timed_patch=(8, 64, 64))
    plan = make_plan(DATA, settings, CPU.model_copy(update={"steps": (step,)}))
    assert plan.configurations[0].iterations == 1
    assert "60 s pay for 1 optimizer step of each network and fold, 0.0004 % of the 250000" in str(plan.doubts)
    assert (
        "exceeds the budget of 60 s: one optimizer step of each network and fold and its validation take 631 s"
        in str(plan.doubts)
    )
    assert reasons(plan)["iterations"].why.endswith("by device.json, extrapolated from a patch of 8 x 64 x 64")
