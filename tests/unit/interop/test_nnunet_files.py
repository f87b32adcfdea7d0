"""Files of nnU-Net: read, written, and refused with a reason."""

import json
import re

import pytest

from hemoseg.datasets import CaseFacts
from hemoseg.errors import InputError, SettingsError
from hemoseg.interop import (
    parse_dataset_json,
    plan_from_files,
    read_dataset_json,
    read_facts,
    read_plans,
    read_plans_file,
    write_dataset_json,
    write_fingerprint_json,
    write_plans,
)
from hemoseg.plan import Intensity
from hemoseg.planning import Fingerprint
from hemoseg.planning.nnunet import facts_from_fingerprint
from planner_peer import intensity

DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "hemorrhage": 1},
    "numTraining": 20,
    "file_ending": ".nii.gz",
}
FINGERPRINT = {
    "spacings": [[1.0, 0.45, 0.45]] * 20,
    "shapes_after_crop": [[160, 512, 512]] * 20,
    "foreground_intensity_properties_per_channel": {"0": intensity(0)},
    "median_relative_size_after_cropping": 1.0,
}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}


@pytest.fixture
def files(tmp_path):
    """Write the two files, with changes, and return their paths."""

    def write(fingerprint=FINGERPRINT, dataset=DATASET):
        folder = tmp_path / "Dataset001_Head"
        folder.mkdir(exist_ok=True)
        paths = folder / "dataset_fingerprint.json", folder / "dataset.json"
        for path, content in zip(paths, (fingerprint, dataset), strict=True):
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return paths

    return write


def planned(paths, out=None, planner="nnunet", memory_gb=None):
    return plan_from_files(*paths, planner=planner, memory_gb=memory_gb, out=out)


def test_a_plan_is_made_from_files_and_written(files, tmp_path):
    paths, out = files(), tmp_path / "new" / "plans.json"
    plan = planned(paths, out)
    content = json.loads(out.read_text())
    assert content["dataset_name"] == "Dataset001_Head"
    assert content["plans_name"] == "nnUNetPlans"
    assert list(content["configurations"]) == ["2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres"]
    assert content["configurations"]["3d_lowres"]["next_stage"] == "3d_cascade_fullres"
    assert content["configurations"]["3d_cascade_fullres"] == {
        "inherits_from": "3d_fullres",
        "previous_stage": "3d_lowres",
    }
    read = read_plans_file(out, paths[1])
    assert read.configurations == plan.configurations
    assert read.preparation == plan.preparation
    assert read.memory_gb is None


def test_a_memory_target_changes_the_plan_and_not_its_name(files, tmp_path):
    small, large = (planned(files(), memory_gb=target) for target in (4.0, 40.0))
    assert small.configuration("3d_fullres").patch_size < large.configuration("3d_fullres").patch_size
    assert small.nnunet.plans_name == large.nnunet.plans_name == "nnUNetPlans"


@pytest.mark.parametrize(
    ("planner", "message"), [("headct", "needs what a run measures"), ("nnunet-v1", "v1 keeps its plans as a pickle")]
)
def test_planners_that_have_no_plans_json(files, tmp_path, planner, message):
    with pytest.raises(SettingsError, match=message):
        planned(files(), tmp_path / "plans.json", planner=planner)
    assert not (tmp_path / "plans.json").exists()


def test_v1_is_planned_without_a_file(files):
    assert planned(files(), planner="nnunet-v1").planner == "nnunet-v1"


@pytest.mark.parametrize(
    ("labels", "more", "classes"),
    [
        ({"background": 0, "b": 2, "a": 1}, {}, ("background", "a", "b")),
        ({"background": 0, "a": [1]}, {}, ("background", "a")),
        ({"background": 0, "a": 1, "ignore": 2}, {}, ("background", "a")),
        (REGIONS, {"regions_class_order": [1, 2]}, ("background", "whole", "core")),
        (REGIONS | {"ignore": 3}, {"regions_class_order": [1, 2]}, ("background", "whole", "core")),
        ({"background": "0", "b": "2", "a": "1"}, {}, ("background", "a", "b")),
        ({"1": "a", "0": "background"}, {}, ("background", "a")),
        ({"b": "two", "background": "zero", "a": None}, {}, ("background", "b", "a")),
        ({"b": 2, "a": 1}, {}, ("a", "b")),
        ({}, {}, ()),
    ],
)
def test_class_names(labels, more, classes):
    assert parse_dataset_json(DATASET | {"labels": labels} | more, where="d").classes == classes


def test_every_entry_of_labels_counts(files):
    paths = files(dataset=DATASET | {"labels": REGIONS | {"ignore": 3}, "regions_class_order": [1, 2]})
    assert read_facts(*paths, dataset_name="d").label_count == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "labels"),
        ({"channel_names": {}}, "channel_names"),
        ({"channel_names": {"0": 3}}, "channel_names.0"),
        ({"channel_names": ["CT"]}, "channel_names"),
        ({"labels": ["background", "a"]}, "labels"),
        ({"numTraining": "10"}, "numTraining: .*should be a number, found '10'"),
        ({"numTraining": None}, "no numTraining"),
        ({"numTraining": 10**400}, "numTraining: .*finite number"),
        ({"file_ending": "nii.gz"}, "file_ending"),
        ({"file_ending": None}, "file_ending"),
        ({"overwrite_image_reader_writer": None}, "overwrite_image_reader_writer"),
    ],
)
def test_dataset_json_that_is_refused(files, change, message):
    with pytest.raises(InputError, match=rf"(?s)dataset.json: .*{message}.*expected: .*try: "):
        planned(files(dataset=DATASET | change))


@pytest.mark.parametrize(
    ("labels", "doubt"),
    [
        ({"a": 0, "b": 1}, '"background": 0'),
        ({"background": 1, "a": 0}, "background is 1"),
        ({"background": [0], "a": 1}, '"background": 0'),
        ({"background": 0, "a": 2}, r"\[0, 2\] are not 0, 1, 2, … without a gap"),
        ({"background": 0, "a": "one"}, "no numbers"),
        ({"background": 0, "a": None}, "no numbers"),
        ({"background": 0, "ignore": 0}, "ignore is 0, must be one number, the one after the last: 1"),
        ({"background": 0, "ignore": [1]}, "ignore is"),
        ({"background": 0, "whole": [1, 2]}, "regions_class_order needs 1 numbers"),
        ({"0": "background", "1": "a"}, '"background": 0'),
        ({"background": "0", "a": "1"}, None),
        ({"background": 0.0, "a": 1.0}, None),
        ({"background": 0, "a": []}, None),
    ],
)
def test_labels_of_any_kind_are_planned_with_as_nnunet_does_and_doubted(files, tmp_path, labels, doubt):
    """nnU-Net's planners count the entries and look no further; its training does."""
    plain, odd = tmp_path / "plain.json", tmp_path / "odd.json"
    assert planned(files(), plain).doubts == ()
    doubts = " ".join(planned(files(dataset=DATASET | {"labels": labels}), odd).doubts)
    assert odd.read_text() == plain.read_text()
    assert re.search(doubt, doubts) if doubt else doubts == ""


@pytest.mark.parametrize(("number", "batch"), [(20.0, 12), (19.5, 12), (1, 8), (True, 8), (1.25, 10), (0, 2), (-3, 2)])
def test_any_number_of_cases_is_reckoned_with(files, number, batch):
    """A batch is limited to a twentieth of the data set, of 160 slices a case, and is never below 2."""
    few = planned(files(dataset=DATASET | {"numTraining": number}))
    assert few.configuration("2d").batch_size == batch


def test_an_ending_of_any_kind_with_a_reader_of_its_own(files):
    changes = {"file_ending": "nii.gz", "overwrite_image_reader_writer": "SimpleITKIO"}
    assert planned(files(dataset=DATASET | changes)).nnunet.reader == "SimpleITKIO"


@pytest.mark.parametrize("key", DATASET)
def test_dataset_json_needs_every_key(files, key):
    with pytest.raises(InputError, match=rf"{key}: Field required|no {key}"):
        planned(files(dataset={name: value for name, value in DATASET.items() if name != key}))


@pytest.mark.parametrize("key", FINGERPRINT)
def test_fingerprint_needs_every_key(files, key):
    with pytest.raises(InputError, match=rf"{key}: Field required"):
        planned(files({name: value for name, value in FINGERPRINT.items() if name != key}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacings": [[1.0, 0.45, 0.45]] * 19}, "19 spacings for 20 shapes_after_crop"),
        ({"spacings": [], "shapes_after_crop": []}, "spacings"),
        ({"spacings": [[1.0, -0.45, 0.45]] * 20}, r"spacings.0.1: .*greater than 0, found -0.45 \(and \d+ more\)"),
        ({"spacings": [[1.0, 0.0, 0.45]] * 20}, "spacings.0.1"),
        ({"spacings": [[1.0, 0.45]] * 20}, "spacings.0"),
        ({"spacings": [[1.0, None, 0.45]] * 20}, "spacings.0.1"),
        ({"spacings": "thin"}, "spacings"),
        ({"spacings": [["1.0", "0.45", "0.45"]] * 20}, "spacings.0.0: .*should be a number, found '1.0'"),
        ({"shapes_after_crop": [[160, 512, 0]] * 20}, "shapes_after_crop.0.2"),
        ({"shapes_after_crop": [[160, "512", 512]] * 20}, "shapes_after_crop.0.1"),
        ({"shapes_after_crop": [[160, 512]] * 20}, "shapes_after_crop.0"),
        ({"median_relative_size_after_cropping": -1}, "median_relative_size_after_cropping"),
        ({"median_relative_size_after_cropping": "1"}, "should be a number, found '1'"),
    ],
)
def test_fingerprints_that_are_refused(files, change, message):
    with pytest.raises(InputError, match=rf"(?s){message}.*expected: .*try: "):
        planned(files(FINGERPRINT | change))


def test_voxels_may_be_written_as_floats_and_halves(files, tmp_path):
    floats, whole, halves = (tmp_path / f"{name}.json" for name in ("floats", "whole", "halves"))
    planned(files(), whole)
    planned(files(FINGERPRINT | {"shapes_after_crop": [[160.0, 512.0, 512.0]] * 20}), floats)
    assert floats.read_text() == whole.read_text()
    plan = planned(files(FINGERPRINT | {"shapes_after_crop": [[160, 509.5, 512]] * 20}), halves)
    assert plan.configuration("3d_fullres").median_shape == (160, 510, 512)  # 509.5, half to even


@pytest.mark.parametrize(
    ("said", "is_known"),
    [
        ({"0": intensity(0), "1": intensity(1)}, True),
        ({"0": intensity(0) | {"note": ["x", 1]}}, True),
        ({"0": dict.fromkeys(intensity(0), 50)}, True),
        ({"0": dict.fromkeys(intensity(0), 50.0)}, True),
        ({"0": dict.fromkeys(intensity(0), "50")}, False),
        ({"0": intensity(0) | {"std": -1}}, False),
        ({"0": {"mean": 1}}, False),
        ({"CT": intensity(0)}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_intensities_are_repeated_to_the_letter_and_missed_only_where_needed(files, tmp_path, said, is_known):
    out = tmp_path / "plans.json"
    plan = planned(files(FINGERPRINT | {"foreground_intensity_properties_per_channel": said}), out)
    written = json.loads(out.read_text())["foreground_intensity_properties_per_channel"]
    assert json.dumps(written, sort_keys=True) == json.dumps(said, sort_keys=True)  # 50 is not 50.0
    assert (plan.preparation.channels[0].intensity is not None) is is_known
    assert ("channel 0 (CT) has no foreground intensities" in " ".join(plan.doubts)) is not is_known


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/", "a\nb", "a\0b", "a" * 256])
def test_a_data_set_has_the_name_of_a_folder(files, tmp_path, name):
    with pytest.raises(SettingsError, match="--dataset-name"):
        plan_from_files(*files(), planner="nnunet", memory_gb=None, dataset_name=name, out=tmp_path / "plans.json")
    assert not (tmp_path / "plans.json").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", "{'a': 1}", '{"spacings": NaN}', '{"a": Infinity}', "[" * 100_000, "\ufeff{}"]
)
def test_what_is_no_json_object_is_refused(files, text):
    with pytest.raises(InputError, match=r"(?s)dataset_fingerprint.json: .*expected: .*try: "):
        planned(files(text))
    with pytest.raises(InputError, match=r"(?s)dataset.json: .*expected: .*try: "):
        planned(files(dataset=text))


def test_bytes_and_folders_are_no_json(tmp_path, files):
    fingerprint, dataset = files()
    with pytest.raises(InputError, match="No such file"):
        planned((tmp_path / "none.json", dataset))
    with pytest.raises(InputError, match="No such file"):
        planned((fingerprint, tmp_path / "none.json"))
    dataset.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no strict JSON"):
        read_dataset_json(dataset)
    with pytest.raises(InputError, match="Is a directory"):
        read_dataset_json(tmp_path)


def test_numbers_beyond_floats_are_refused(files):
    text = json.dumps(FINGERPRINT).replace("0.45", "1e999")
    with pytest.raises(InputError, match=r"spacings\.0\.1"):
        planned(files(text))


def test_a_headct_plan_has_no_plans_json(files):
    plan = planned(files())
    changed = plan.model_copy(update={"nnunet": None, "planner": "headct"})
    with pytest.raises(SettingsError, match="cannot hold: planner headct"):
        write_plans(changed)
    v1 = planned(files(), planner="nnunet-v1")
    with pytest.raises(SettingsError, match="cannot hold: planner nnunet-v1"):
        write_plans(v1)


def measured(name, spacing_mm, shape, share):
    """A case whose stored axes are not its canonical ones."""
    return CaseFacts(
        name=name,
        patient=name,
        source_sha256="0",
        shape=shape[::-1],
        spacing_mm=spacing_mm[::-1],
        slice_interval_mm=(5.0, 5.0, 5.0),
        stored_shape=shape,
        stored_spacing_mm=spacing_mm,
        nonzero_shape=shape,
        nonzero_share=share,
        head_box=((0, 1), (0, 1), (0, 1)),
        head_shape=(1, 1, 1),
        hu_min=-1024.0,
        hu_max=2000.0,
        brain_mode_hu=None,
        class_ml={},
        class_mean_hu={},
        lesions_ml={},
        warnings=(),
    )


def test_files_are_written_from_a_fingerprint_and_read_back(tmp_path):
    blood = Intensity(**intensity(0))
    fingerprint = Fingerprint(
        dataset="d",
        dataset_name="Dataset001_Head",
        digest="0",
        channel_names=("CT",),
        file_ending=".nii.gz",
        labels=("background", "hemorrhage"),
        cases=(
            measured("a", (0.4882810115814209, 0.5, 5.0), (512, 512, 30), 0.5),
            measured("b", (0.5, 0.5, 4.0), (512, 512, 40), 1.0),
        ),
        intensity=(blood,),
        intensity_v1=(None,),
    )
    facts = facts_from_fingerprint(fingerprint)
    assert (facts.relative_size, facts.shapes[1], facts.spacings_mm[0][0]) == (0.75, (512, 512, 40), 0.4882810115814209)
    assert facts_from_fingerprint(fingerprint, v1=True).intensities == (None,)
    (tmp_path / "dataset.json").write_text(json.dumps(write_dataset_json(fingerprint)))
    (tmp_path / "dataset_fingerprint.json").write_text(json.dumps(write_fingerprint_json(fingerprint)))
    paths = tmp_path / "dataset_fingerprint.json", tmp_path / "dataset.json"
    assert read_facts(*paths, dataset_name=fingerprint.dataset_name) == facts_from_fingerprint(fingerprint)


def test_plans_without_configurations_are_refused():
    with pytest.raises(InputError, match="plans_name"):
        read_plans({"dataset_name": "d"}, DATASET)
