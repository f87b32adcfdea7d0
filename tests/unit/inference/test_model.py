"""A model at work: averages of configurations, a shared first stage, rules after the networks."""

from dataclasses import replace

import numpy as np
import pytest

from bundles import write_tiny_bundle
from hemoseg.inference import Extras, Model, load_model
from hemoseg.inference.predictor import NO_HEAD, Stage
from hemoseg.models import Selection, open_bundle, write_bundle
from hemoseg.plan import Channel, SplineResampling
from hemoseg.postprocess import KeepLargest, MinimumConfidence, apply_rules, mean_probabilities
from hemoseg.preprocess import give_back, prepare
from hemoseg.segmentation import ModelIdentity
from plans import head_volume, tiny_configuration, tiny_plan, tiny_preparation
from run_pages import REPORT

IDENTITY = ModelIdentity(name="fake", version="1", sha256="", notice="")
NOTHING = {"kind": None, "low": None, "high": None}
FINE, COARSE = "3d_fullres", "3d_lowres"


def rewritten(folder, **changes):
    """The bundle with another selection, beside it."""
    bundle = open_bundle(folder)
    target = folder.with_name(f"{folder.name}-changed")
    write_bundle(
        target,
        name="tiny",
        model_version="1",
        notice="Untrained. Research use only.",
        plan=bundle.plan,
        selection=Selection.model_validate(bundle.selection.model_dump() | changes),
        card="",
        license_text="",
        weights=[(path.name, path.read_bytes()) for path in sorted(folder.glob("*.safetensors"))],
    )
    return load_model(target)


@pytest.fixture
def two(tmp_path):
    """A bundle of two configurations on different grids."""
    fine, coarse = tiny_configuration(), tiny_configuration(name=COARSE, spacing_mm=(5.0, 4.0, 4.0))
    return write_tiny_bundle(tmp_path / "two", plan=tiny_plan(coarse, fine))


def test_a_scan_of_air_is_background_with_a_warning(two):
    volume = head_volume()
    air = replace(volume, hu=np.full_like(volume.hu, -1000))
    for model in (rewritten(two, configurations=[FINE]), rewritten(two, configurations=[FINE, COARSE])):
        found = model.segment(air)
        assert not found.labels.any()
        assert NO_HEAD in found.warnings
        assert not model.predict(air).probabilities.values.any()
        assert NO_HEAD not in model.segment(volume).warnings


@pytest.mark.parametrize("shape", [(1, 40, 36), (2, 40, 36), (3, 90, 20), (5, 7, 6), (60, 24, 24)])
@pytest.mark.parametrize("preparation", ["headct", "nnunet"])
def test_odd_sizes_are_segmented(tmp_path, shape, preparation):
    """Single slices, a few, scans smaller than a patch in every axis, and more slices than across."""
    if preparation == "nnunet":
        changes = {
            "orientation": "as-stored",
            "channels": (Channel(name="CT"),),
            "windowed": "first",
            "head_crop": False,
            "nonzero_crop": True,
            "resampling": SplineResampling(),
        }
        plan = tiny_plan(preparation=tiny_preparation(**changes))
    else:
        plan = tiny_plan()
    model = load_model(write_tiny_bundle(tmp_path / "tiny", plan=plan))
    found = model.segment(head_volume(shape))
    assert found.labels.shape == shape
    assert found.labels.any()


def test_configurations_are_averaged_as_probabilities(two):
    volume = head_volume()
    members = [rewritten(two, configurations=[name]).predict(volume).probabilities for name in (FINE, COARSE)]
    both = rewritten(two, configurations=[FINE, COARSE])
    mean = mean_probabilities(members)
    assert np.array_equal(both.segment(volume).labels, mean.labels())
    assert np.array_equal(both.predict(volume).probabilities.values, mean.values)
    assert not np.array_equal(mean.labels(), members[0].labels())


def test_one_configuration_keeps_the_largest_logit(two):
    volume = head_volume()
    model = rewritten(two, configurations=[FINE])
    found = model.predict(volume)
    assert np.array_equal(model.segment(volume).labels, found.labels)
    assert (found.labels != found.probabilities.labels()).mean() < 0.001


def test_rules_are_applied_to_the_result(two):
    volume = head_volume()
    table = tiny_plan().table
    rules = (
        KeepLargest(classes=("hemorrhage", "edema"), connectivity=26),
        MinimumConfidence(class_name="edema", probability=0.34),
    )
    model = rewritten(two, configurations=[FINE, COARSE], postprocessing=[rule.model_dump() for rule in rules])
    found = model.predict(volume)
    expected = apply_rules(rules, found.labels, found.probabilities, volume=volume, table=table)
    assert np.array_equal(model.segment(volume).labels, expected)


def test_volumes_have_the_intervals_of_the_calibration(tmp_path):
    calibration = REPORT.calibration
    volume = head_volume()
    found = load_model(write_tiny_bundle(tmp_path / "with", calibration=calibration)).segment(volume)
    assert found.intervals == calibration.intervals(found.volume_ml, found.hemorrhage_ml)
    assert found.intervals.volume_ml["edema"] == calibration.classes["edema"].interval(found.volume_ml["edema"])
    few = calibration.model_copy(
        update={
            "patients": 5,
            "classes": dict.fromkeys(calibration.classes, calibration.classes["edema"].model_copy(update=NOTHING)),
        }
    )
    found = load_model(write_tiny_bundle(tmp_path / "few", calibration=few)).segment(volume)
    assert (found.intervals, found.no_intervals[:24]) == (None, "5 held-out patients are ")
    found = load_model(write_tiny_bundle(tmp_path / "without")).segment(volume)
    assert (found.intervals, found.no_intervals) == (None, "the model has no calibration of its volumes")


def test_a_cascade_and_its_first_stage_share_one_run(tmp_path):
    low = tiny_configuration(name=COARSE)
    cascade = tiny_configuration(name="3d_cascade_fullres", previous_stage=COARSE)
    folder = write_tiny_bundle(tmp_path / "cascade", plan=tiny_plan(low, cascade))
    both = rewritten(folder, configurations=[COARSE, "3d_cascade_fullres"])
    assert [stage.configuration.name for stage in both.stages] == [COARSE, "3d_cascade_fullres"]
    volume = head_volume()
    members = [
        rewritten(folder, configurations=[name]).predict(volume).probabilities
        for name in (COARSE, "3d_cascade_fullres")
    ]
    assert np.array_equal(both.segment(volume).labels, mean_probabilities(members).labels())


def test_probabilities_are_the_softmax_of_the_logits_on_the_scans_grid(rng):
    """Against the formula, where the grid stays as it is but for the head's box."""
    volume, plan = head_volume(), tiny_plan()
    prepared = prepare(volume, plan.preparation, volume.grid.spacing_mm)
    logits = rng.normal(0, 2, (3, *prepared.shape)).astype(np.float32)
    returned = give_back(logits, prepared, with_shares=True)
    shares = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(axis=0)
    found = returned.shares
    assert found.shape == (2, *volume.hu.shape)
    assert found.sum() == pytest.approx(shares[1:].sum(), rel=1e-4)
    inside = found.sum(axis=0) > 0
    assert inside.sum() == np.prod(prepared.shape)
    stack = np.concatenate([1 - found.sum(axis=0, keepdims=True), found])
    assert np.array_equal(returned.labels[inside], stack.argmax(axis=0)[inside])
    assert not returned.labels[~inside].any()


def fake_model(probability, *, rules=(), **options):
    """A model whose one network sees blood with this probability where there is the bleed of `head_volume`."""
    plan = tiny_plan()

    def network(patches):
        is_bleed = np.abs(patches[:, 0] - 0.625) < 0.1  # 65 HU in a window from 0 to 80, taken to -1 to 1
        logits = np.zeros((len(patches), 3, *patches.shape[2:]), dtype=np.float32)
        logits[:, 1] = np.where(is_bleed, np.log(probability / (1 - probability)), -30)
        logits[:, 2] = -30
        return logits

    stage = Stage(configuration=plan.configurations[0].model_copy(update={"mirror_axes": ()}), networks=(network,))
    return Model(plan, (stage,), IDENTITY, mirror=False, postprocessing=rules, **options)


def test_an_empty_mask_comes_with_words_and_a_second_look_shows_why():
    volume = head_volume()
    bleed = volume.hu == 65
    found = fake_model(0.3).segment(volume)
    assert not found.labels.any()
    assert found.warnings[-1].startswith("the largest probability of blood is 0.30, in slice ")
    assert bleed[found.doubt.peak.slice].any()
    assert found.doubt.lower_ml == pytest.approx(bleed.sum() * volume.grid.voxel_ml, rel=0.3)
    assert f"it exceeds 0.2 in {found.doubt.lower_ml:.2f} ml: look there" in found.warnings[-1]
    looked = fake_model(0.3, extras=Extras(second_look=True), calibration=REPORT.calibration).segment(volume)
    assert looked.hemorrhage_ml == pytest.approx(found.doubt.lower_ml)
    assert (looked.labels[bleed] == 1).mean() > 0.7
    assert looked.warnings[-1].startswith("second look: no hemorrhage was segmented; the largest probability")
    assert (looked.intervals, looked.no_intervals) == (None, "volumes were calibrated without a second look")
    sure = fake_model(0.9, extras=Extras(second_look=True)).segment(volume)
    assert sure.hemorrhage_ml > 0
    assert not any("largest probability" in warning for warning in sure.warnings)


def test_below_the_second_threshold_the_mask_stays_empty():
    found = fake_model(0.15, extras=Extras(second_look=True)).segment(head_volume())
    assert not found.labels.any()
    assert found.warnings[-1].endswith("it exceeds 0.2 nowhere")


def test_what_rules_removed_is_said():
    rules = (MinimumConfidence(class_name="hemorrhage", probability=0.8),)
    found = fake_model(0.7, rules=rules).segment(head_volume())
    assert not found.labels.any()
    assert "rules after the networks removed " in found.warnings[-1]


def test_doubt_is_that_of_the_average(two):
    """Of one configuration as it streams by, of several from their mean: against sums of the probabilities."""
    volume = head_volume()
    for names in ([FINE], [FINE, COARSE]):
        model = rewritten(two, configurations=names)
        prediction, doubt = model.predict(volume), model.segment(volume).doubt
        for number, name in enumerate(("hemorrhage", "edema"), start=1):
            total = prediction.probabilities.of_class(number).sum(dtype=np.float64) * volume.grid.voxel_ml
            assert doubt.classes[name].expected_ml == pytest.approx(total, rel=1e-3)
        assert doubt.members == 2 * len(names)
        values = prediction.probabilities.of_class(1)
        assert doubt.classes["hemorrhage"].largest_probability == pytest.approx(values.max(), rel=1e-3)
        assert doubt.peak.probability == pytest.approx(values.max(), rel=1e-3)
