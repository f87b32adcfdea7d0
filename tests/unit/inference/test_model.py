"""A model at work: averages of configurations, a shared first stage, rules after the networks."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

import nnunet_models as small
from bundles import write_tiny_bundle
from hemoseg.errors import InputError, SettingsError
from hemoseg.geometry import Orientation, uniform_slices
from hemoseg.inference import Extras, Model, load_model
from hemoseg.inference.inputs import network_input
from hemoseg.inference.predictor import NO_HEAD, Stage
from hemoseg.interop import import_model
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


def constant(value, outputs=3):
    """A network whose logits of the last class are a number everywhere."""

    def network(patches):
        logits = np.zeros((len(patches), outputs, *patches.shape[2:]), dtype=np.float32)
        logits[:, -1] = value
        return logits

    return network


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_no_empty_mask(two, value):
    """NaN is below every threshold: the scan would be called free of blood."""
    model = rewritten(two, configurations=[FINE])
    model.stages = tuple(replace(stage, networks=(constant(value),)) for stage in model.stages)
    with pytest.raises(InputError, match="logits are infinite or no numbers") as caught:
        model.segment(head_volume())
    assert caught.value.where == head_volume().name


def test_sums_beyond_float16_end_an_exact_prediction_as_they_end_nnunets(tmp_path):
    import_model(small.write_results(tmp_path, "plain"), tmp_path / "bundle")
    for exact in (False, True):
        model = load_model(tmp_path / "bundle", exact=exact)
        (stage,) = model.stages
        model.stages = (replace(stage, networks=(constant(1e5, model.plan.outputs),) * len(stage.networks)),)
        if exact:
            with pytest.raises(InputError, match="as sums in float16"):
                model.segment(head_volume())
        else:
            assert model.segment(head_volume()).labels.any()


def plan_for(preparation, *configurations):
    """A plan that prepares scans in either way."""
    if preparation == "headct":
        return tiny_plan(*configurations)
    changes = {
        "orientation": "as-stored",
        "channels": (Channel(name="CT"),),
        "windowed": "first",
        "head_crop": False,
        "nonzero_crop": True,
        "resampling": SplineResampling(),
    }
    return tiny_plan(*configurations, preparation=tiny_preparation(**changes))


@pytest.mark.parametrize("shape", [(1, 40, 36), (2, 40, 36), (3, 90, 20), (5, 7, 6), (60, 24, 24)])
@pytest.mark.parametrize("preparation", ["headct", "nnunet"])
def test_odd_sizes_are_segmented(tmp_path, shape, preparation):
    """Single slices, a few, scans smaller than a patch in every axis, and more slices than across."""
    model = load_model(write_tiny_bundle(tmp_path / "tiny", plan=plan_for(preparation)))
    found = model.segment(head_volume(shape))
    assert found.labels.shape == shape
    assert found.labels.any()


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("preparation", ["headct", "nnunet"])
def test_pictures_of_1024_pixels_are_segmented(tmp_path, slices, preparation):
    """Networks see them at half their resolution, and the mask has all of it."""
    configuration = tiny_configuration(patch_size=(4, 128, 128), spacing_mm=(5.0, 0.5, 0.5))
    model = load_model(write_tiny_bundle(tmp_path / "tiny", plan=plan_for(preparation, configuration)))
    volume = head_volume((slices, 1024, 1024), (5.0, 0.25, 0.25))
    found = model.segment(volume)
    assert found.labels.shape == volume.hu.shape
    assert found.labels.any()
    assert sum(found.volume_ml.values()) == pytest.approx(np.count_nonzero(found.labels) * volume.grid.voxel_ml)


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


@pytest.mark.parametrize(("slices", "is_little"), [(1, True), (2, False)])
def test_a_scan_of_few_slices_is_doubted_and_has_no_interval(tmp_path, slices, is_little):
    whole = head_volume()
    grid = replace(whole.grid, shape=(slices, *whole.grid.shape[1:]))
    volume = replace(whole, hu=whole.hu[5 : 5 + slices], grid=grid, slices=uniform_slices(grid))
    found = load_model(write_tiny_bundle(tmp_path / "with", calibration=REPORT.calibration)).segment(volume)
    assert any("5 mm of the 20 mm that networks look at at once" in text for text in found.warnings) == is_little
    assert (found.intervals is None) == is_little
    assert not is_little or found.no_intervals == "volumes were calibrated on scans of more slices"


def test_a_scan_of_one_slice_is_seen_as_a_head_of_such_slices(tmp_path):
    whole = head_volume()
    model = load_model(write_tiny_bundle(tmp_path / "bundle"))

    def found(slices):
        grid = replace(whole.grid, shape=(slices, *whole.grid.shape[1:]))
        volume = replace(whole, hu=np.repeat(whole.hu[6:7], slices, axis=0), grid=grid, slices=uniform_slices(grid))
        return model.predict(volume).labels

    patch = model.stages[0].configuration.patch_size[0]
    head = found(patch)
    assert len(np.unique(head)) > 1
    assert np.array_equal(found(1)[0], head[(patch - 1) // 2])


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


def sees_blood(probability):
    """A network that sees blood with this probability where there is the bleed of `head_volume`."""

    def network(patches):
        is_bleed = np.abs(patches[:, 0] - 0.625) < 0.1  # 65 HU in a window from 0 to 80, taken to -1 to 1
        logits = np.zeros((len(patches), 3, *patches.shape[2:]), dtype=np.float32)
        logits[:, 1] = np.where(is_bleed, np.log(probability / (1 - probability)), -30)
        logits[:, 2] = -30
        return logits

    return network


def fake_model(*probabilities, rules=(), **options):
    """A model of such networks."""
    plan = tiny_plan()
    configuration = plan.configurations[0].model_copy(update={"mirror_axes": ()})
    stage = Stage(configuration=configuration, networks=tuple(map(sees_blood, probabilities)))
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


def test_doubt_by_voxel_changes_no_label(two):
    volume = head_volume()
    for names in ([FINE], [FINE, COARSE]):
        plain = rewritten(two, configurations=names).segment(volume)
        model = rewritten(two, configurations=names)
        model.extras = Extras(doubt=True, probabilities=True)
        found = model.segment(volume)
        assert np.array_equal(found.labels, plain.labels)
        assert (plain.maps, plain.probabilities) == (None, None)
        maps = found.maps
        assert maps.entropy.shape == maps.disagreement.shape == volume.hu.shape
        assert 0 < maps.disagreement.max() <= maps.entropy.max() <= 1
        assert found.doubt.disagreement_ml == pytest.approx(
            maps.disagreement.sum(dtype=float) * volume.grid.voxel_ml, rel=0.01
        )
        assert np.array_equal(found.probabilities, model.predict(volume).probabilities.dense())
        assert plain.doubt.disagreement_ml is None


def test_doubt_lies_where_it_is_in_a_scan_of_any_order_of_axes():
    volume = head_volume()
    model = fake_model(0.3, extras=Extras(doubt=True, low_vote=True))
    straight = model.segment(volume)
    for axes, flips in (((1, 2, 0), (True, False, False)), ((0, 2, 1), (False, True, True)), ((2, 1, 0), (True,) * 3)):
        turn = Orientation(axes=axes, flips=flips)
        grid = volume.grid.reoriented(turn)
        hu = np.ascontiguousarray(turn.apply(volume.hu))
        found = model.segment(replace(volume, hu=hu, grid=grid, slices=uniform_slices(grid)))
        assert found.doubt.peak.center_mm == pytest.approx(straight.doubt.peak.center_mm, abs=1e-3)
        assert np.array_equal(found.maps.entropy, turn.apply(straight.maps.entropy))
        assert found.maps.entropy[found.doubt.peak.slice].max() == found.maps.entropy.max()


def test_one_member_has_nobody_to_disagree_with():
    found = fake_model(0.3, extras=Extras(doubt=True)).segment(head_volume())
    assert found.maps.disagreement is None
    assert found.doubt.disagreement_ml is None
    bits = -(0.3 * np.log2(0.3) + 0.7 * np.log2(0.7)) / np.log2(3)
    assert found.maps.entropy.max() == pytest.approx(bits, rel=0.01)


def test_configurations_that_disagree_are_told_apart():
    """Two networks of one configuration, and the same two as configurations of their own, disagree as much."""
    volume, plan = head_volume(), tiny_plan(tiny_configuration(), tiny_configuration(name=COARSE))
    inside = fake_model(0.95, 0.05, extras=Extras(doubt=True)).segment(volume)
    stages = tuple(
        Stage(configuration=one.model_copy(update={"mirror_axes": ()}), networks=(sees_blood(probability),))
        for one, probability in zip(plan.configurations, (0.95, 0.05), strict=True)
    )
    model = Model(plan, stages, IDENTITY, mirror=False, averaged=(FINE, COARSE), extras=Extras(doubt=True))
    between = model.segment(volume)
    assert between.doubt.members == inside.doubt.members == 2
    assert inside.maps.disagreement.max() > 0.3
    assert np.abs(between.maps.disagreement.astype(float) - inside.maps.disagreement).max() < 0.02


def test_two_votes_are_enough_where_members_do_not_agree():
    volume = head_volume()
    extras = Extras(low_vote=True)
    found = fake_model(0.9, 0.9, *[0.01] * 8, extras=extras, calibration=REPORT.calibration).segment(volume)
    assert (found.labels[volume.hu == 65] == 1).mean() > 0.7
    assert found.warnings[-1] == (
        "low vote: of the voxels with a vote for blood only 0 % have those of half of the 10 members; the mask has "
        "blood where more than one votes for it"
    )
    assert found.no_intervals == "volumes were calibrated without the low-vote rule"
    assert not fake_model(0.9, 0.9, *[0.01] * 8).segment(volume).labels.any()
    assert not fake_model(0.9, *[0.01] * 9, extras=extras).segment(volume).labels.any()
    agreed = fake_model(*[0.9] * 7, *[0.2] * 3, extras=extras, calibration=REPORT.calibration).segment(volume)
    assert agreed.intervals is not None


def test_probabilities_can_be_averaged():
    """Two sure members and one that is much surer: the mean of logits is against blood, that of probabilities not."""
    volume, shares = head_volume(), (0.75, 0.75, 1e-6)
    assert not fake_model(*shares).segment(volume).labels.any()
    options = {"extras": Extras(average="probabilities"), "calibration": REPORT.calibration}
    found = fake_model(*shares, 0.75, **options).segment(volume)
    assert found.doubt.peak.probability == pytest.approx(0.5625, abs=1e-3)
    assert found.labels.any()
    assert found.no_intervals == "volumes were calibrated with logits averaged"


def test_what_members_cannot_say_is_refused(tmp_path):
    folder = write_tiny_bundle(tmp_path / "one")
    with pytest.raises(SettingsError, match="whose average has 2 members"):
        load_model(folder, extras=Extras(low_vote=True))
    load_model(write_tiny_bundle(tmp_path / "two", folds=(0, 1)), extras=Extras(low_vote=True))
    with pytest.raises(SettingsError, match="--exact with --average probabilities"):
        load_model(folder, exact=True, extras=Extras(average="probabilities"))


def test_a_prepared_scan_is_let_go_with_its_stage(two, monkeypatch):
    """Without the help of the garbage collector: it is as large as the scan, or several times that."""
    prepared = []

    def noted(*arguments):
        found = network_input(*arguments)
        prepared.extend([weakref.ref(found[0].image), weakref.ref(found[1])])
        return found

    monkeypatch.setattr("hemoseg.inference.predictor.network_input", noted)
    model = rewritten(two, configurations=[FINE, COARSE])
    gc.disable()
    try:
        model.segment(head_volume())
        assert [one() is None for one in prepared] == [True] * 4
    finally:
        gc.enable()
