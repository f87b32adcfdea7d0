"""nnU-Net's counts by hand."""

import json
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from hemoseg.errors import InputError
from hemoseg.evaluation import dump_summary, evaluate_as_nnunet, find_patients, from_summary
from hemoseg.evaluation.nnunet import Labels
from nifti_files import save


@pytest.fixture
def folders(tmp_path):
    """One row of 10 voxels per case; `b` has no class 2 on either side, and its voxels 8 and 9 are ignored (3)."""
    rows = {"a": ([1, 1, 1, 2, 2, 0, 0, 0, 0, 0], [1, 1, 0, 2, 1, 0, 0, 0, 0, 0])}
    rows["b"] = ([1, 1, 0, 0, 0, 0, 0, 0, 3, 3], [1, 0, 0, 0, 0, 0, 0, 0, 1, 2])
    for side, folder in enumerate(("r", "p")):
        (tmp_path / folder).mkdir()
        for case, values in rows.items():
            save(tmp_path / folder / f"{case}.nii.gz", np.array(values[side], dtype=np.uint8).reshape(1, 1, 10))
    return tmp_path / "p", tmp_path / "r"


def describe(folders, **labels):
    path = folders[1] / "dataset.json"
    path.write_text(json.dumps({"labels": {"background": 0, **labels}}))


def test_counts(folders):
    describe(folders, iph=1, edema=2, ignore=3)
    summary = evaluate_as_nnunet(*folders, labels=None)
    first, second = (case["metrics"] for case in summary["metric_per_case"])
    assert first["1"] == {"Dice": 4 / 6, "IoU": 0.5, "TP": 2, "FP": 1, "FN": 1, "TN": 6, "n_pred": 3, "n_ref": 3}
    assert second["1"] == {"Dice": 2 / 3, "IoU": 0.5, "TP": 1, "FP": 0, "FN": 1, "TN": 6, "n_pred": 1, "n_ref": 2}
    assert isnan(second["2"]["Dice"])
    assert (second["2"]["TN"], second["2"]["n_pred"]) == (8, 0)
    assert summary["mean"]["2"]["Dice"] == first["2"]["Dice"] == 2 / 3
    assert summary["foreground_mean"]["TP"] == np.mean([1.5, 0.5])
    assert summary["metric_per_case"][0]["prediction_file"] == str(folders[0] / "a.nii.gz")


def test_regions(folders):
    describe(folders, whole=[1, 2], core=1)
    summary = evaluate_as_nnunet(*folders, labels=None)
    assert list(summary["mean"]) == ["(1, 2)", "1"]
    assert summary["metric_per_case"][0]["metrics"]["(1, 2)"]["TP"] == 4


def test_numbers_without_names(folders):
    assert list(evaluate_as_nnunet(*folders, labels=None)["mean"]) == ["1", "2", "3"]


def test_intervals_draw_the_patients_of_patients_csv(folders):
    """Two scans of one patient are one draw, so the interval has no width."""
    describe(folders, iph=1, edema=2, ignore=3)
    summary = evaluate_as_nnunet(*folders, labels=None)
    assert find_patients(folders[1], None) is None
    assert from_summary(summary)["mean"]["1"]["TP"] == {"value": 1.5, "low": 1.0, "high": 2.0, "n": 2}
    (folders[1] / "patients.csv").write_text("case,patient\na,P\nb,P\n")
    assert dump_summary(evaluate_as_nnunet(*folders, labels=None)) == dump_summary(summary)
    found = from_summary(summary, find_patients(folders[1], None))
    assert found["mean"]["1"]["TP"] == {"value": 1.5, "low": 1.5, "high": 1.5, "n": 2}
    assert [case["patient"] for case in found["cases"]] == ["P", "P"]
    (folders[1] / "patients.csv").write_text("case,patient\na,P\n")
    with pytest.raises(InputError, match="no patient for"):
        evaluate_as_nnunet(*folders, labels=None)


def test_text_and_the_form_of_metrics(folders):
    describe(folders, iph=1, edema=2, ignore=3)
    summary = evaluate_as_nnunet(*folders, labels=None)
    text = dump_summary(summary)
    assert text.startswith('{\n    "foreground_mean": {\n        "Dice"')
    assert "NaN" in text
    found = from_summary(json.loads(text))
    assert [case["case"] for case in found["cases"]] == ["a", "b"]
    assert found["cases"][1]["classes"]["2"]["Dice"] is None
    assert found["mean"]["2"]["Dice"]["n"] == 1
    assert set(found["rules"]) == set(found["mean"]["1"])


@pytest.mark.parametrize(
    "labels", [{"background": 0}, {"a": "1"}, {"a": [1, "2"]}, {"a": 1, "ignore": [2]}, {"a": True}]
)
def test_labels_that_say_nothing_are_refused(labels):
    with pytest.raises(InputError, match="labels"):
        Labels.from_mapping(labels, where=Path("dataset.json"))


def test_lists_of_one_number_each_are_labels(folders):
    describe(folders, core=[2], whole=[1], ignore=3)
    assert list(evaluate_as_nnunet(*folders, labels=None)["mean"]) == ["1", "2"]
