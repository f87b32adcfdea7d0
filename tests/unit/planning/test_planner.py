"""Decisions of the head-CT planner."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from fingerprints import case_facts, make_fingerprint
from hemoseg.errors import SettingsError
from hemoseg.interop import write_dataset_json
from hemoseg.plan import MOST_ITERATIONS, Intensity, Pooling, Region, Slab
from hemoseg.planning import DeviceTiming, StepTiming, candidates, make_plan, methods_text
from hemoseg.planning.headct import folds_of
from hemoseg.planning.ladder import ENOUGH_ITERATIONS, configuration_names
from hemoseg.planning.memory import plan_memory
from hemoseg.settings import DEFAULT_ITERATIONS, Settings, Steps
from plans import tiny_configuration, tiny_plan

CPU = DeviceTiming(device="cpu", threads=2, bf16=True)
HEADCT_STEP = 1 + 10 / 3 / 250
"""A step with its share of 10 validation batches per 250 steps, each a third of a step."""


def fingerprint(spacing=(5.0, 0.94, 0.94), head=(30, 200, 176), hu=(-1024.0, 3071.0), labels=("hemorrhage", "edema")):
    case = case_facts(spacing_mm=spacing, head=head, hu=hu)
    return make_fingerprint((case,) * 3, labels=("background", *labels))


def timed(settings, seconds):
    """A device on which the rungs take these seconds per step."""
    rungs = candidates(fingerprint(), settings, precision="bf16")
    steps = tuple(StepTiming.of(c, s) for rung, s in zip(rungs, seconds, strict=False) for c in rung)
    return CPU.model_copy(update={"steps": steps})


def test_thick_slices_get_three_dimensions_on_their_own_spacing():
    item = make_plan(fingerprint(), Settings(iterations=10), CPU).configurations[0]
    assert item.name == "3d_fullres"
    assert item.spacing_mm == (5.0, 0.94, 0.94)
    assert item.patch_size == (16, 96, 96)
    assert item.iterations == 10


def test_fine_pixels_are_pooled_and_thin_slices_averaged():
    item = make_plan(fingerprint((0.6, 0.45, 0.45), (250, 400, 350)), Settings(iterations=1), CPU).configurations[0]
    assert item.spacing_mm == (2.5, 0.9, 0.9)


def test_a_single_slab_gets_two_dimensions():
    plan = make_plan(fingerprint(head=(4, 200, 176)), Settings(iterations=1), CPU)
    item = plan.configurations[0]
    assert item.name == "2d"
    assert item.patch_size[0] == 1
    assert all(kernel[0] == 1 for kernel in item.kernels)
    assert all(stride[0] == 1 for stride in item.strides)


def test_windows_stay_within_clipped_data():
    windows = make_plan(fingerprint(hu=(-10.0, 90.0)), Settings(iterations=1), CPU).preparation.windows
    assert min(w.low_hu for w in windows) == -10
    assert max(w.high_hu for w in windows) == 90
    assert max(w.high_hu for w in make_plan(fingerprint(), Settings(iterations=1), CPU).preparation.windows) == 100


def test_the_budget_buys_the_largest_network_with_enough_steps():
    settings = Settings(budget_s=timedelta(minutes=45).total_seconds(), folds=(0,))
    item = make_plan(fingerprint(), settings, timed(settings, (0.2, 0.5, 1.0, 2.0))).configurations[0]
    assert item.features[0] == 16
    assert item.iterations == int(2700 / (0.5 * HEADCT_STEP))
    slower = make_plan(fingerprint(), settings, timed(settings, (0.2, 5.0, 10.0, 20.0))).configurations[0]
    assert slower.features[0] == 8
    assert slower.iterations == int(2700 / (0.2 * HEADCT_STEP))


def test_all_folds_share_the_budget():
    one = Settings(budget_s=2700, folds=(0,))
    five = Settings(budget_s=2700, folds=(0, 1, 2, 3, 4))
    a = make_plan(fingerprint(), one, timed(one, (0.1,))).configurations[0]
    b = make_plan(fingerprint(), five, timed(five, (0.1,))).configurations[0]
    assert a.iterations // 5 == b.iterations


def test_a_budget_too_small_is_said():
    settings = Settings(budget_s=60, folds=(0,))
    plan = make_plan(fingerprint(), settings, timed(settings, (0.5, 1.0)))
    assert plan.configurations[0].features[0] == 8
    assert plan.configurations[0].iterations == 118 < ENOUGH_ITERATIONS
    assert any("too small" in reason.why for reason in plan.reasons)
    assert "60 s pay for 118 optimizer steps of each network and fold, 3.4 % of the 3500 that a network needs" in str(
        plan.doubts
    )


def test_a_budget_without_an_end_buys_the_longest_training():
    settings = Settings(budget_s=1e300, folds=(0,))
    plan = make_plan(fingerprint(), settings, timed(settings, (1e-3, 2e-3, 3e-3, 4e-3)))
    assert plan.configurations[0].iterations == MOST_ITERATIONS
    with pytest.raises(ValidationError, match="iterations"):
        tiny_configuration(iterations=MOST_ITERATIONS + 1)


def test_without_a_limit_it_is_nnunets_schedule():
    plan = make_plan(fingerprint(), Settings(), CPU)
    assert plan.configurations[0].iterations == DEFAULT_ITERATIONS


def test_with_iterations_no_clock_decides():
    settings = Settings(iterations=100)
    assert make_plan(fingerprint(), settings, CPU) == make_plan(fingerprint(), settings, timed(settings, (9.0, 9.0)))


def test_a_cascade_trains_its_first_stage_on_all_folds():
    settings = Settings(config="cascade", iterations=5, folds=(1,))
    plan = make_plan(fingerprint(), settings, CPU)
    low, full = plan.configurations
    assert (low.name, full.name) == ("3d_lowres", "3d_cascade_fullres")
    assert low.spacing_mm == (5.0, 1.88, 1.88)
    assert full.previous_stage == "3d_lowres"
    assert plan.input_channels(full) == plan.input_channels(low) + 2
    names = configuration_names(fingerprint(), settings)
    assert folds_of(low, names, settings) == (0, 1, 2, 3, 4)
    assert folds_of(full, names, settings) == (1,)


def test_without_native_bf16_it_is_fp32():
    plan = make_plan(fingerprint(), Settings(iterations=1), CPU.model_copy(update={"bf16": False}))
    assert plan.configurations[0].precision == "fp32"


def test_methods_name_the_plans_values():
    settings = Settings(iterations=123, folds=(0,))
    data = fingerprint()
    text = methods_text(make_plan(data, settings, CPU), data, settings)
    for value in ("16 x 96 x 96", "123 steps", "momentum 0.95", "[0, 80] HU", "doi:10.1038/s41592-020-01008-z"):
        assert value in text


@pytest.mark.parametrize(
    "changes", [{"budget_s": 1.0, "iterations": 1}, {"folds": (0, 0)}, {"folds": (5,)}, {"folds": ()}]
)
def test_settings_that_contradict_each_other(changes):
    with pytest.raises(ValidationError):
        Settings.model_validate(changes)


def test_the_difference_of_settings_names_each():
    assert Settings(seed=1).difference(Settings(seed=2, iterations=3)) == ["seed: 1 → 2", "iterations: None → 3"]


def test_little_memory_shrinks_features_first_and_then_the_patch():
    sizes = []
    for memory_gb in (8.0, 0.85, 0.66, 0.55):
        plan = make_plan(fingerprint(), Settings(iterations=1, memory_gb=memory_gb), CPU)
        item = plan.configurations[0]
        assert plan.memory_gb == memory_gb
        assert plan_memory(plan, item).total_mb <= 1000 * memory_gb
        sizes.append((item.features[0], item.patch_size))
    assert sizes == [(16, (16, 96, 96)), (8, (16, 96, 96)), (8, (16, 64, 64)), (8, (16, 32, 32))]


def test_a_memory_that_nothing_fits_is_refused_with_the_need():
    with pytest.raises(SettingsError, match=r"the smallest network needs an estimated 0\.\d\d GB") as refusal:
        make_plan(fingerprint(), Settings(iterations=1, memory_gb=0.1), CPU)
    need = float(str(refusal.value).rsplit("--memory-gb ", 1)[1].split()[0])
    assert make_plan(fingerprint(), Settings(iterations=1, memory_gb=need), CPU).configurations[0].features[0] == 8


def test_time_buys_larger_patches_where_memory_allows():
    seconds = (0.2, 0.5, 1.0, 2.0, 3.0, 6.0)
    day = Settings(budget_s=timedelta(days=1).total_seconds(), folds=(0,))
    large = make_plan(fingerprint(), day, timed(day, seconds)).configurations[0]
    assert (large.features[0], large.patch_size) == (32, (16, 192, 192))
    tight = day.model_copy(update={"memory_gb": 1.5})
    small = make_plan(fingerprint(), tight, timed(tight, seconds)).configurations[0]
    assert (small.features[0], small.patch_size) == (32, (16, 96, 96))
    hours = Settings(budget_s=timedelta(hours=4).total_seconds(), folds=(0,))
    middle = make_plan(fingerprint(), hours, timed(hours, seconds)).configurations[0]
    assert (middle.patch_size, middle.iterations) == ((16, 128, 128), int(4800 / HEADCT_STEP))


def test_timings_of_other_networks_say_nothing():
    settings = Settings(budget_s=2700, folds=(0,))
    with pytest.raises(SettingsError, match="no candidate network was timed"):
        make_plan(fingerprint(), settings, CPU)


def test_steps_that_are_asked_for_are_taken():
    steps = Steps(
        windows=("blood", "80/40"),
        pooling=Pooling(kind="average", factor=2),
        slice_spacing_mm=1.5,
        slab=Slab(extend=2),
    )
    plan = make_plan(fingerprint(), Settings(iterations=1, steps=steps), CPU)
    preparation = plan.preparation
    assert [(w.low_hu, w.high_hu) for w in preparation.windows] == [(30, 110), (0, 80)]
    assert (preparation.pooling, preparation.slice_spacing_mm, preparation.slab) == (steps.pooling, 1.5, steps.slab)
    assert preparation.windowed == "last"
    assert plan.configurations[0].spacing_mm == (1.5, 1.88, 1.88)
    given = {reason.name for reason in plan.reasons if reason.basis == "given"}
    assert given >= {"windows", "pooling", "slice_spacing_mm", "slab", "iterations"}


@pytest.mark.parametrize("kind", ["summed-area", "random-area"])
def test_pooling_of_values_from_0_up_puts_windows_first(kind):
    settings = Settings(iterations=1, steps=Steps(pooling=Pooling(kind=kind, factor=2)))
    plan = make_plan(fingerprint(), settings, CPU)
    assert plan.preparation.windowed == "first"
    assert {channel.scale for channel in plan.preparation.channels} == {(0.0, 1.0)}
    assert (plan.recipe.shift_hu, plan.recipe.noise_hu) == (0.0, 0.0)


def test_windows_that_clipped_data_cannot_fill_are_left_out():
    plan = make_plan(fingerprint(hu=(50.0, 90.0)), Settings(iterations=1), CPU)
    assert [window.name for window in plan.preparation.windows] == ["brain", "tissue"]
    assert any("cuts into 40 to 90 HU" in doubt for doubt in plan.doubts)


def test_windows_stay_within_pseudo_hu_and_the_plan_says_so():
    data = fingerprint().model_copy(update={"pseudo_hu": (10.0, 90.0)})
    plan = make_plan(data, Settings(iterations=1), CPU)
    windows = plan.preparation.windows
    assert (min(w.low_hu for w in windows), max(w.high_hu for w in windows)) == (10, 90)
    reasons = {reason.name: reason for reason in plan.reasons}
    assert "bounds of the data's pseudo-HU" in reasons["windows"].why
    assert (reasons["intensity"].value, reasons["intensity"].basis) == ("pseudo-HU [10, 90]", "given")
    assert any("pseudo-HU" in doubt for doubt in plan.doubts)
    true_hu = make_plan(fingerprint(), Settings(iterations=1), CPU)
    assert not {"intensity", "ignore"} & {reason.name for reason in true_hu.reasons}


@pytest.mark.parametrize("planner", ["headct", "nnunet"])
def test_ignore_is_told_and_is_no_output(planner):
    intensity = (Intensity(mean=60, median=60, std=9, min=0, max=99, percentile_00_5=30, percentile_99_5=90),)
    plain = fingerprint().model_copy(update={"intensity": intensity})
    cases = tuple(case.model_copy(update={"ignored_share": 0.2}) for case in plain.cases)
    data = plain.model_copy(update={"ignore": 3, "cases": cases})
    plan = make_plan(data, Settings(planner=planner, iterations=1), CPU)
    assert plan.labels == ("background", "hemorrhage", "edema")
    assert {reason.name: reason.value for reason in plan.reasons}["ignore"] == "3"
    assert any("foreground" in doubt for doubt in plan.doubts) == (planner == "nnunet")
    assert "Voxels that nobody labeled" in methods_text(plan, data, Settings(planner=planner, iterations=1))
    assert write_dataset_json(data)["labels"] == {"background": 0, "hemorrhage": 1, "edema": 2, "ignore": 3}
    assert (data.label_count, plain.label_count) == (4, 3)


def test_all_configurations_on_request():
    settings = Settings(config="all", iterations=10)
    assert make_plan(fingerprint(), settings, CPU).trained == ("2d", "3d_fullres")
    blood = Intensity(mean=55, median=56, std=9, min=0, max=110, percentile_00_5=25, percentile_99_5=85)
    data = fingerprint().model_copy(update={"intensity": (blood,)})
    nnunet = make_plan(data, settings.model_copy(update={"planner": "nnunet"}), CPU)
    assert nnunet.trained == tuple(item.name for item in nnunet.configurations)
    assert len(nnunet.trained) >= 2


@pytest.mark.parametrize("planner", ["headct", "nnunet"])
def test_regions_are_planned_with_one_output_each(planner):
    intensity = (Intensity(mean=60, median=60, std=9, min=0, max=99, percentile_00_5=30, percentile_99_5=90),)
    regions = (Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2))
    data = fingerprint().model_copy(update={"intensity": intensity, "regions": regions, "ignore": 3})
    settings = Settings(planner=planner, iterations=1)
    plan = make_plan(data, settings, CPU)
    assert (plan.regions, plan.outputs, plan.table.paint) == (regions, 2, (1, 2))
    described = write_dataset_json(data)
    assert described["labels"] == {"background": 0, "hemorrhage": [1, 2], "edema": [2], "ignore": 3}
    assert described["regions_class_order"] == [1, 2]
    assert "regions_class_order" not in write_dataset_json(fingerprint())
    assert data.label_count == 4  # nnU-Net's memory estimate counts the entries
    text = methods_text(plan, data, settings)
    assert "may overlap: hemorrhage of 1 and 2, edema of 2." in text
    assert "binary cross-entropy of each region" in text
    assert "region" not in methods_text(make_plan(fingerprint(), Settings(iterations=1), CPU), fingerprint(), settings)


def test_stages_that_cannot_follow_each_other_are_no_plan():
    fine = tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres")
    coarse = tiny_configuration(name="3d_lowres")
    assert tiny_plan(coarse, fine).trained == ("3d_lowres", "3d_cascade_fullres")
    with pytest.raises(ValueError, match="3d_cascade_fullres is trained before 3d_lowres, which it needs"):
        tiny_plan(fine, coarse)
    with pytest.raises(ValueError, match="3d_lowres is trained before 3d_lowres"):
        tiny_plan(tiny_configuration(name="3d_lowres", previous_stage="3d_lowres"))
    with pytest.raises(ValueError, match="needs 3d_lowres, planned"):
        tiny_plan(fine, configurations=(fine,))
    with pytest.raises(ValueError, match="not named once each"):
        tiny_plan(coarse, trained=("3d_lowres", "3d_lowres"))
