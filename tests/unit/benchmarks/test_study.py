"""What the study's tables pool, checked by hand."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield import_module("study")
    for name in ("study", "study_rows", "threshold_rule"):
        sys.modules.pop(name, None)


def case(found: int, missed: int, false: int) -> dict:
    return {"edema": {"dice": 0.5, "lesions": {"found": found, "missed": missed, "false": false}}}


def row(*cases: dict, value: float = 0.5, n: int = 4, false: int = 3) -> dict:
    return {"cases": list(cases), "lesions": {"edema": {"recall": {"value": value, "n": n}, "false_positives": false}}}


def test_lesions_are_counted_over_all_rows_and_drawn_by_patient(study) -> None:
    recall, false = study.pooled_lesions([row(case(3, 0, 0)), row(case(0, 1, 4))], "edema")
    # two patients: both the one, both the other, or one of each
    assert recall == "0.750 [0.000, 1.000], 4"
    assert false == "2.000 [0.000, 4.000], 2"


def test_patients_that_are_alike_have_no_width(study) -> None:
    recall, false = study.pooled_lesions([row(case(1, 1, 2), case(1, 1, 2))], "edema")
    assert (recall, false) == ("0.500 [0.500, 0.500], 4", "2.000 [2.000, 2.000], 2")


def test_rows_with_sums_alone_have_no_interval(study) -> None:
    old = {"edema": {"dice": 0.5}}
    found = study.pooled_lesions([row(old, old), row(old, old, value=1.0, n=2, false=1)], "edema")
    assert found == ("0.667 (no interval kept), 6", "1.00 (no interval kept), 4")


def test_rows_are_compared_with_rows_that_are_there(study) -> None:
    rows = study.make_rows()
    assert {one.against for one in rows.values() if one.against} <= set(rows)
    for one in rows.values():
        if one.against and one.kind == "train" and rows[one.against].kind == "train":
            assert one.settings.folds == rows[one.against].settings.folds
            assert one.settings.seed == rows[one.against].settings.seed
