"""A model at work: averages of configurations, a shared first stage, rules after the networks."""

from dataclasses import replace

import numpy as np
import pytest

from bundles import write_tiny_bundle
from hemoseg.inference import load_model
from hemoseg.inference.predictor import NO_HEAD
from hemoseg.models import Selection, open_bundle, write_bundle
from hemoseg.plan import Channel, SplineResampling
from hemoseg.postprocess import KeepLargest, MinimumConfidence, apply_rules, mean_probabilities
from hemoseg.preprocess import give_back, prepare
from plans import head_volume, tiny_configuration, tiny_plan, tiny_preparation
from run_pages import REPORT

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
