"""Sensitivity, specificity and ROC by hand, and slice-level references."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemoseg.artifacts import dump_json
from hemoseg.datasets import Detection
from hemoseg.errors import GeometryError, InputError
from hemoseg.evaluation import detection, evaluate_detection
from hemoseg.evaluation.detection import Observation, auc, roc_points, summarize_detection
from hemoseg.labels import LabelTable
from nifti_files import save

TABLE = LabelTable(("background", "iph", "edema"))


def seen(patient, slices, areas):
    return Observation(
        patient=patient,
        seen=np.array(slices, dtype=bool),
        found_mm2=np.array(areas, dtype=float),
        found_ml=float(sum(areas)),
    )


def test_patients_and_slices():
    """Two of three bleeding patients found, one of two others left alone."""
    found = summarize_detection(
        [
            seen("a", [1, 1, 0], [4, 0, 0]),
            seen("b", [0, 1, 0], [0, 3, 2]),
            seen("c", [1, 0, 0], [0, 0, 0]),
            seen("d", [0, 0, 0], [0, 0, 0]),
            seen("e", [0, 0, 0], [1, 0, 0]),
        ]
    )
    assert found["patient"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert found["patient"]["specificity"]["value"] == 0.5
    assert (found["patient"]["sensitivity"]["n"], found["patient"]["specificity"]["n"]) == (3, 2)
    assert found["patient"]["auc"]["value"] == pytest.approx((2 * 2 + 0.5) / 6)  # c ties with d, is below e
    assert found["slice"]["sensitivity"]["value"] == 0.5
    assert found["slice"]["specificity"]["value"] == pytest.approx(9 / 11)
    for level in found.values():
        for share in ("sensitivity", "specificity", "auc"):
            assert 0 <= level[share]["low"] <= level[share]["value"] <= level[share]["high"] <= 1


def test_scans_of_one_patient_are_one_patient():
    found = summarize_detection([seen("a", [1], [0]), seen("a", [0], [2]), seen("b", [0], [0])])
    assert found["patient"]["sensitivity"]["n"] == 1
    assert found["patient"]["sensitivity"]["value"] == 1
    assert found["slice"]["specificity"]["n"] == 2


def test_the_scan_with_most_of_it_decides():
    found = summarize_detection([seen("a", [1], [2]), seen("a", [1], [0]), seen("b", [0], [1])])
    assert found["patient"]["roc"][0] == [0.0, 1.0, 2.0]
    assert found["patient"]["auc"]["value"] == 1


def test_without_negatives_there_is_no_curve():
    found = summarize_detection([seen("a", [1], [3])])
    assert found["patient"]["auc"]["value"] is None
    assert "note" in found["patient"]["auc"]
    assert found["patient"]["roc"] == []
    assert found["patient"]["specificity"]["note"] == "no negative in the reference"


def test_curve():
    points = roc_points(np.array([1, 0, 1, 0, 0], dtype=bool), np.array([3.0, 2.0, 2.0, 1.0, 0.0]))
    assert points == [[0.0, 0.5, 3.0], [pytest.approx(1 / 3), 1.0, 2.0], [1.0, 1.0, 0.0]]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12))
def test_area_is_the_share_of_pairs_in_order(scored):
    positive = [score for truth, score in scored if truth]
    negative = [score for truth, score in scored if not truth]
    area = auc(np.array([truth for truth, _ in scored]), np.array([score for _, score in scored], dtype=float))
    if positive and negative:
        wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
        assert area == pytest.approx(sum(wins) / len(wins))
    else:
        assert np.isnan(area)


def record(slices, patient="p"):
    return Detection(image="imagesTs/x_0000.nii.gz", patient=patient, source=0, slices=slices)


def mask(path, values):
    """A label map of one pixel of 0.5 x 0.5 mm² per slice of 5 mm."""
    array = np.array(values, dtype=np.uint8).reshape(-1, 1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, array, np.diag([-0.5, -0.5, 5.0, 1.0]))
    return path


def test_masks_against_slices(tmp_path):
    masks = {name: mask(tmp_path / f"{name}.nii.gz", values) for name, values in (("a", [0, 1, 2]), ("b", [1, 0, 0]))}
    records = {"a": record([("iph",), ("iph", "sdh"), None]), "b": record([(), (), ("edema",)], patient="q")}
    result = detection(masks, records, TABLE)
    assert result["protocol"] == "detection"
    assert list(result["mean"]) == ["iph", "edema", "any"]
    assert result["mean"]["iph"]["patient_sensitivity"]["value"] == 1
    assert result["mean"]["iph"]["patient_specificity"]["value"] == 0
    assert result["mean"]["iph"]["slice_sensitivity"] == pytest.approx({"value": 0.5, "low": 0.5, "high": 0.5, "n": 2})
    assert result["mean"]["iph"]["slice_specificity"]["value"] == pytest.approx(2 / 3)
    assert result["mean"]["edema"]["patient_sensitivity"]["value"] == 0  # what lies on an unknown slice counts nowhere
    assert result["cases"][0]["classes"]["edema"]["volume_ml"] == 0
    assert result["cases"][1]["classes"]["any"]["volume_ml"] == pytest.approx(0.5 * 0.5 * 5 / 1000)
    assert result["warnings"] == ["the predictions have no class sdh: counted in 'any' alone"]
    assert json.loads(dump_json(result))["detection"]["any"]["slice"]["roc"]


def test_blood_without_its_kind_tells_no_classes(tmp_path):
    result = detection({"a": mask(tmp_path / "a.nii.gz", [1, 0])}, {"a": record([("any",), ()])}, TABLE)
    assert list(result["mean"]) == ["any"]
    assert "without its kind" in result["warnings"][0]


def test_other_number_of_slices_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="2 slices, the reference speaks of 3"):
        detection({"a": mask(tmp_path / "a.nii.gz", [1, 0])}, {"a": record([(), (), ()])}, TABLE)


def dataset(root, **cases):
    root.mkdir()
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "iph": 1, "edema": 2}}))
    content = {"version": 1, "sources": [{"name": "x", "license": "", "citation": ""}]}
    content["detection"] = {name: record(slices).model_dump(mode="json") for name, slices in cases.items()}
    (root / "hemoseg.json").write_text(json.dumps(content))
    mask(root / "imagesTs" / "x_0000.nii.gz", [0, 0])
    return root


def test_a_data_set_with_slices(tmp_path):
    mask(tmp_path / "p" / "a_0000" / "mask.nii.gz", [1, 0])  # named after the file of the scan, as segment does
    result = evaluate_detection(tmp_path / "p", dataset(tmp_path / "d", a=[("iph",), ()]))
    assert result["mean"]["any"]["slice_auc"]["value"] == 1


def test_predictions_lie_where_the_scan_lies(tmp_path):
    """Slices stored from the other end would be taken for others."""
    (tmp_path / "p").mkdir()
    array = np.array([1, 0], dtype=np.uint8).reshape(-1, 1, 1)
    save(tmp_path / "p" / "a.nii.gz", array, np.array([[-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, -5, 5], [0, 0, 0, 1]]))
    with pytest.raises(GeometryError, match=r"5\.00 mm apart"):
        evaluate_detection(tmp_path / "p", dataset(tmp_path / "d", a=[("iph",), ()]))


def test_missing_and_surplus_predictions_are_named(tmp_path):
    mask(tmp_path / "p" / "b.nii.gz", [1, 0])
    with pytest.raises(InputError, match="no prediction for 1 case: a; no slice-level reference for 1 case: b"):
        evaluate_detection(tmp_path / "p", dataset(tmp_path / "d", a=[("iph",), ()]))


def test_a_data_set_without_slices_is_refused(tmp_path):
    mask(tmp_path / "p" / "b.nii.gz", [1, 0])
    with pytest.raises(InputError, match="nothing under detection"):
        evaluate_detection(tmp_path / "p", dataset(tmp_path / "d"))
    with pytest.raises(InputError, match=r"no hemoseg\.json"):
        evaluate_detection(tmp_path / "p", tmp_path / "p")
