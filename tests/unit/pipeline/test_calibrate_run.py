"""The calibration of a run: which volumes it takes, and what its card says of them."""

import pytest

from hemoseg.labels import LabelTable
from hemoseg.pipeline.calibrate import calibrate_run
from hemoseg.pipeline.card import calibration_lines

TABLE = LabelTable(("background", "iph", "edema"))


def result(table, cases, *, total="any"):
    """An evaluation in which class number k of case i has 10 ml predicted and 10 + i * k in the reference."""
    names = [*table.members, *([total] if total else [])]
    return {
        "cases": [
            {
                "case": f"case{i}",
                "patient": f"patient{i}",
                "classes": {
                    name: {"volume_ml": 10.0, "reference_ml": 10.0 + i * (1 + names.index(name) % 2)} for name in names
                },
            }
            for i in range(cases)
        ]
    }


def test_each_class_and_all_blood_are_calibrated():
    found = calibrate_run(result(TABLE, 9), TABLE, folds=(0,), dataset_name="Heads")
    assert list(found.classes) == ["iph", "edema"]
    assert found.classes["iph"].interval(10.0).high_ml == pytest.approx(18.0)
    assert found.classes["edema"].interval(10.0).high_ml == pytest.approx(26.0)
    assert found.total == found.classes["iph"]
    assert (found.scans, found.patients, found.networks) == (9, 9, "same")
    assert found.calibrated_on == "9 held-out scans of 9 patients of Heads, fold 0"


def test_several_folds_prove_less():
    found = calibrate_run(result(TABLE, 9), TABLE, folds=(0, 2), dataset_name="Heads")
    assert found.networks == "of-folds"
    assert found.calibrated_on.endswith("folds 0, 2")


def test_without_bleeding_classes_there_is_no_total():
    table = LabelTable(("background", "edema"))
    assert calibrate_run(result(table, 9, total=None), table, folds=(0,), dataset_name="Heads").total is None


def test_a_class_that_is_called_any_is_no_total_of_others():
    table = LabelTable(("background", "any", "sdh"))
    assert calibrate_run(result(table, 9, total=None), table, folds=(0,), dataset_name="Heads").total is None


def test_the_card_shows_them_with_their_coverage_or_says_why_not():
    lines = calibration_lines(calibrate_run(result(TABLE, 12), TABLE, folds=(0,), dataset_name="Heads"))
    assert "| iph | 0 to 3.00 | 4.50 to 21.0 | 24.5 to 101.0 | 16.5 ml | 91.7 % |" in lines
    assert "Nominal coverage 90 %; 12 held-out scans of 12 patients of Heads, fold 0." in lines[-1]
    (line,) = calibration_lines(calibrate_run(result(TABLE, 8), TABLE, folds=(0,), dataset_name="Heads"))
    assert line == "None: 8 held-out patients are too few for intervals of 90 %: 9 are needed."
