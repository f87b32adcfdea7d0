"""Parts of the page of a run, from rows counted by hand."""

import pytest

from hemoseg.errors import ArtifactError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.page import _read_extended
from hemoseg.pipeline.page_failures import scan_bins
from hemoseg.pipeline.page_pictures import extreme_cases
from hemoseg.report import CaseRow


def row(name, dice, *, reference_ml=5.0, volume_ml=5.0):
    metrics = {"dice": dice, "reference_ml": reference_ml, "volume_ml": volume_ml}
    return CaseRow(case=name, patient=name, fold=0, classes={"hemorrhage": metrics})


def test_scans_by_volume():
    cases = [
        row("empty", None, reference_ml=0.0, volume_ml=0.0),
        row("false", 0.0, reference_ml=0.0, volume_ml=3.0),
        row("speck", 0.2, reference_ml=0.05, volume_ml=0.1),
        row("edge", 0.4, reference_ml=1.0),
        row("missed", 0.0, reference_ml=9.9, volume_ml=0.0),
        row("large", 0.9, reference_ml=30.0),
    ]
    bins = scan_bins(cases, "hemorrhage")
    assert [(one.from_ml, one.to_ml) for one in bins] == [
        (0.0, 0.1), (0.1, 1.0), (1.0, 10.0), (10.0, 30.0), (30.0, None),
    ]  # fmt: skip
    assert [one.cases for one in bins] == [1, 0, 2, 0, 1]
    assert [one.missed for one in bins] == [0, 0, 1, 0, 0]
    assert [one.dice["value"] for one in bins] == [0.2, None, pytest.approx(0.2), None, 0.9]


def test_best_median_and_worst_are_each_shown_once():
    cases = [row(name, dice) for name, dice in zip("abcde", (0.5, 0.9, 0.1, None, 0.7), strict=True)]
    assert list(extreme_cases(cases).items()) == [("b", "best"), ("e", "median"), ("c", "worst")]
    assert list(extreme_cases(cases[:2]).items()) == [("b", "best"), ("a", "worst")]
    assert list(extreme_cases(cases[:1]).values()) == ["best"]
    assert extreme_cases([row("a", None)]) == {}


def test_an_evaluation_without_lesions_is_to_be_made_again(tmp_path):
    (tmp_path / "evaluation.json").write_text('{"mean": {}, "cases": []}')
    with pytest.raises(ArtifactError, match="lacks definitions, empty, lesions"):
        _read_extended(RunFolder(tmp_path))
