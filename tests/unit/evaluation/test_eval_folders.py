"""Folders of label files: pairing, hygiene, the JSON value and the table."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from hemoseg.artifacts import dump_json
from hemoseg.errors import GeometryError, InputError, LabelError
from hemoseg.evaluation import (
    PairFiles,
    cases_csv,
    evaluate_as_nnunet,
    evaluate_challenge,
    evaluate_files,
    evaluate_folders,
    format_table,
    from_summary,
)
from hemoseg.labels import LabelTable
from hemoseg.report.metrics import metrics_page

AFFINE = np.diag([-0.5, -0.5, 5.0, 1.0])
LABELS = {"background": 0, "hemorrhage": 1, "edema": 2}


def write(path: Path, *, value: int = 1, rows: int = 2, affine: np.ndarray = AFFINE, slices: int = 3) -> None:
    """A label map (x, y, z) with a box of `rows` x 4 pixels in one slice; no box if the value is 0."""
    array = np.zeros((8, 8, slices), dtype=np.uint8)
    array[:4, :rows, 1] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and references of the cases a and b; b is predicted with half its rows."""
    predictions, references = tmp_path / "predictions", tmp_path / "data" / "labelsTr"
    write(predictions / "a.nii.gz")
    write(predictions / "b" / "mask.nii.gz", rows=1)
    write(references / "a.nii.gz")
    write(references / "b.nii")
    return predictions, references


def describe(path: Path, labels: object) -> Path:
    path.write_text(json.dumps({"labels": labels}))
    return path


def test_flat_and_nested_predictions(folders):
    result = evaluate_folders(*folders, labels=None)
    assert result["protocol"] == "extended"
    assert [case["case"] for case in result["cases"]] == ["a", "b"]
    assert [case["classes"]["1"]["dice"] for case in result["cases"]] == [1.0, pytest.approx(2 / 3)]
    assert result["cases"][1]["classes"]["1"]["volume_error_ml"] == pytest.approx(-4 * 1.25 / 1000)
    assert result["mean"]["1"]["rvd"] == {"value": 0.25, "low": 0.0, "high": 0.5, "n": 2}
    assert set(result["rules"]) == set(result["mean"]["1"]) == set(result["cases"][0]["classes"]["1"])


def test_value_is_strict_json_and_the_same_each_time(folders):
    describe(folders[1].parent / "dataset.json", LABELS)
    text = dump_json(evaluate_folders(*folders, labels=None))
    assert text == dump_json(evaluate_folders(*folders, labels=None))
    edema = json.loads(text)["mean"]["edema"]
    assert edema["dice"] == {"value": None, "low": None, "high": None, "n": 0, "note": "no case has a value"}
    assert edema["volume_error_ml"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 2}


@pytest.mark.parametrize("place", [".", ".."])
def test_class_names_are_found_near_the_references(folders, place):
    describe(folders[1] / place / "dataset.json", LABELS)
    assert list(evaluate_folders(*folders, labels=None)["mean"]) == ["hemorrhage", "edema", "any"]


def test_class_names_given_come_first(folders, tmp_path):
    describe(folders[1] / "dataset.json", LABELS)
    given = describe(tmp_path / "names.json", {"background": 0, "iph": 1})
    assert list(evaluate_folders(*folders, labels=given)["mean"]) == ["iph", "any"]


def test_numbers_found_are_names(folders):
    """A number that occurs in one case is a class of all cases."""
    write(folders[0] / "c.nii", value=7)
    write(folders[1] / "c.nii", value=7)
    result = evaluate_folders(*folders, labels=None)
    assert list(result["mean"]) == ["1", "7", "any"]
    assert result["mean"]["7"]["dice"]["n"] == 1
    assert result["cases"][2]["classes"]["7"]["dice"] == 1
    assert "both empty" in result["cases"][0]["classes"]["7"]["note"]


def test_false_alarms_on_references_without_any_class_are_measured(tmp_path):
    write(tmp_path / "p" / "a.nii")
    write(tmp_path / "r" / "a.nii", value=0)
    classes = evaluate_folders(tmp_path / "p", tmp_path / "r", labels=None)["cases"][0]["classes"]
    assert classes["1"]["dice"] == 0
    assert classes["1"]["rvd"] is None


def test_cases_named_are_the_only_ones(folders):
    write(folders[1] / "unpredicted.nii.gz")
    result = evaluate_folders(*folders, labels=None, cases=["b"])
    assert [case["case"] for case in result["cases"]] == ["b"]


def test_pairs_of_files(folders):
    files = PairFiles(case="x", patient="p", prediction=folders[0] / "a.nii.gz", reference=folders[1] / "a.nii.gz")
    result = evaluate_files([files], LabelTable(("background", "iph")))
    assert result["cases"][0]["case"] == "x"
    assert result["mean"]["iph"]["dice"]["value"] == 1


def refused(folders: tuple[Path, Path], kind: type[Exception], *parts: str, **options: object) -> None:
    with pytest.raises(kind) as caught:
        evaluate_folders(*folders, **{"labels": None, **options})
    for part in parts:
        assert part in str(caught.value)


def test_cases_on_one_side_only_are_all_named(folders):
    for number in range(10):
        write(folders[1] / f"case_{number}.nii.gz")
    write(folders[0] / "extra.nii.gz")
    refused(folders, InputError, "10 cases: case_0", "case_7, …", "no reference for 1 case: extra")
    refused(folders, InputError, "no prediction for 1 case: zz; no reference for 1 case: zz", cases=["a", "zz"])


def test_case_given_twice_is_refused(folders):
    write(folders[0] / "b.nii.gz")
    refused(folders, InputError, "two files for case b")


def test_results_named_after_the_file_of_a_scan_belong_to_its_case(folders):
    (folders[0] / "b").rename(folders[0] / "b_0000")
    assert [case["case"] for case in evaluate_folders(*folders, labels=None)["cases"]] == ["a", "b"]
    write(folders[1] / "b_0000.nii.gz")  # where a reference has that very name, it is meant
    refused(folders, InputError, "no prediction for 1 case: b")


def test_results_of_two_names_for_one_case_are_refused(folders):
    write(folders[0] / "b_0000" / "mask.nii.gz")
    refused(folders, InputError, "two files for case b", "b_0000")


def test_absent_or_empty_folders_are_refused(folders, tmp_path):
    refused((tmp_path / "nowhere", folders[1]), InputError, "no such folder")
    (tmp_path / "empty").mkdir()
    refused((tmp_path / "empty", tmp_path / "empty"), InputError, "no cases", "PREDICTIONS come first")


def test_hidden_and_other_files_are_passed_over(folders):
    for name in (".a.nii.gz", "report.html"):
        (folders[0] / name).write_text("")
    (folders[0] / "notes").mkdir()
    write(folders[1] / "deep" / "mask.nii.gz")
    assert len(evaluate_folders(*folders, labels=None)["cases"]) == 2


def test_other_shape_is_refused(folders):
    write(folders[0] / "a.nii.gz", slices=4)
    refused(folders, GeometryError, "a.nii.gz", "(4, 8, 8)", "(3, 8, 8)")


@pytest.mark.parametrize(("shift_mm", "accepted"), [(0.09, True), (0.11, False)])
def test_place_may_differ_by_a_tenth_of_a_millimeter(folders, shift_mm, accepted):
    moved = AFFINE.copy()
    moved[2, 3] += shift_mm
    write(folders[0] / "a.nii.gz", affine=moved)
    if accepted:
        assert evaluate_folders(*folders, labels=None)["cases"][0]["classes"]["1"]["dice"] == 1
    else:
        refused(folders, GeometryError, "a.nii.gz", "0.11 mm apart", "within 0.1 mm")


def test_values_outside_the_table_are_refused(folders):
    describe(folders[1] / "dataset.json", LABELS)
    write(folders[0] / "a.nii.gz", value=255)
    refused(folders, LabelError, "255", "a.nii.gz", "divide by 255")


def test_numbers_without_a_class_in_common_are_refused(folders):
    write(folders[0] / "a.nii.gz", value=255)
    write(folders[0] / "b" / "mask.nii.gz", value=255)
    refused(folders, LabelError, "predictions hold 255, references 1", "divide by 255")


@pytest.mark.parametrize("sides", [(0,), (0, 1)])
def test_one_mask_of_0_and_255_among_others_is_no_class_of_its_own(folders, sides):
    for side in sides:
        write(folders[side] / "a.nii.gz", value=255)
    refused(folders, LabelError, f"the value 255 in {len(sides)} file", "a.nii.gz", "divide by 255")


def test_a_folder_agrees_with_itself(folders):
    assert evaluate_folders(folders[1], folders[1], labels=None)["mean"]["1"]["dice"]["value"] == 1


def test_files_without_names_that_cannot_be_read_are_told_together(folders):
    for path in (folders[0] / "a.nii.gz", folders[1] / "a.nii.gz"):
        path.write_bytes(b"xx")
    refused(
        folders, InputError, *(f"{where}/a.nii.gz: a file cut short: 2 bytes" for where in ("predictions", "labelsTr"))
    )


def test_files_without_any_class_are_refused_if_none_is_named(tmp_path):
    write(tmp_path / "p" / "a.nii", value=0)
    write(tmp_path / "r" / "a.nii", value=0)
    refused((tmp_path / "p", tmp_path / "r"), LabelError, "1 label values from 0 to 0", "--labels")
    named = describe(tmp_path / "names.json", LABELS)
    result = evaluate_folders(tmp_path / "p", tmp_path / "r", labels=named)
    assert result["mean"]["hemorrhage"]["dice"]["n"] == 0


@pytest.mark.parametrize(
    ("content", "kind", "part"),
    [
        ("{", InputError, "cannot be read as JSON"),
        ("[]", InputError, "no labels"),
        ('{"labels": [0, 1]}', InputError, "no labels"),
        ('{"labels": {"background": 0, "iph": 2}}', LabelError, "without a gap"),
        ('{"labels": {"background": 0, "iph": 1, "ignore": 3}}', LabelError, "ignore after them"),
    ],
)
def test_labels_file_that_says_nothing_is_refused(folders, tmp_path, content, kind, part):
    path = tmp_path / "names.json"
    path.write_text(content)
    refused(folders, kind, "names.json", part, labels=path)


def test_labels_file_that_is_absent_is_refused(folders, tmp_path):
    refused(folders, InputError, "cannot be read", labels=tmp_path / "absent.json")


@pytest.fixture
def show() -> Callable[[object], list[list[str]]]:
    """The rows of a table as printed, each as its words."""

    def printed(table: object) -> list[list[str]]:
        console = Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(table)
        return [line.replace("│", " ").split() for line in capture.get().splitlines()]

    return printed


def test_table_shows_means_intervals_and_n(folders, show):
    describe(folders[1] / "dataset.json", {"background": 0, "[red]bleed": 1, "edema": 2})
    rows = show(format_table(evaluate_folders(*folders, labels=None)))
    assert rows[0] == ["Protocol", "extended,", "2", "cases"]
    assert ["[red]bleed", "dice", "0.833", "[0.667,", "1.000]", "2"] in rows
    assert ["rvd", "0.250", "[0.000,", "0.500]", "2"] in rows
    assert ["volume_error_ml", "-0.003", "[-0.005,", "0.000]", "2"] in rows
    assert ["edema", "dice", "–", "–", "0"] in rows


def test_ignored_voxels_count_neither_for_nor_against(tmp_path: Path) -> None:
    """A bleed of 2 x 4 pixels, a prediction of 4 x 4 over and beside it; what is beside it is ignored."""
    labels, path = {"background": 0, "hemorrhage": 1, "ignore": 2}, tmp_path / "references" / "a.nii.gz"
    reference = np.zeros((8, 8, 3), dtype=np.uint8)
    reference[:4, :2, 1], reference[:4, 2:4, 1] = 1, 2
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(reference, AFFINE), path)
    write(tmp_path / "predictions" / "a.nii.gz", rows=4)
    description = describe(tmp_path / "dataset.json", labels)
    result = evaluate_folders(tmp_path / "predictions", path.parent, labels=description)
    assert list(result["mean"]) == ["hemorrhage", "any"]
    assert result["cases"][0]["classes"]["hemorrhage"]["dice"] == 1
    assert result["cases"][0]["classes"]["hemorrhage"]["volume_error_ml"] == 0
    write(tmp_path / "predictions" / "a.nii.gz", value=2)
    with pytest.raises(LabelError, match=r"label values \[2\.0\]"):
        evaluate_folders(tmp_path / "predictions", path.parent, labels=description)


def test_several_defects_are_told_together(folders):
    write(folders[0] / "a.nii.gz", slices=4)
    write(folders[0] / "b" / "mask.nii.gz", slices=5)
    describe(folders[1] / "dataset.json", LABELS)
    refused(
        folders, GeometryError, "2 cases cannot be used", "a.nii.gz: the prediction has (4", "mask.nii.gz", "(5, 8, 8)"
    )
    write(folders[0] / "b" / "mask.nii.gz", value=255)
    refused(folders, InputError, "2 cases cannot be used", "(4, 8, 8)", "label values [255.0]", "divide by 255")


def test_soft_masks_are_refused(folders):
    describe(folders[1] / "dataset.json", LABELS)
    soft = np.full((8, 8, 3), 0.25, dtype=np.float32)
    nib.save(nib.Nifti1Image(soft, AFFINE), folders[0] / "a.nii.gz")
    refused(folders, LabelError, "a.nii.gz", "not whole numbers: 0.25", "turn probabilities into classes")


def test_patients_come_from_the_data_set(folders):
    write(folders[0] / "c.nii", rows=1)
    write(folders[1] / "c.nii")
    describe(folders[1].parent / "dataset.json", LABELS)
    alone = evaluate_folders(*folders, labels=None)
    (folders[1].parent / "patients.csv").write_text("case,patient\na,x\nb,y\nc,y\nunused,z\n")
    result = evaluate_folders(*folders, labels=None)
    assert [case["patient"] for case in result["cases"]] == ["x", "y", "y"]
    assert result["mean"]["hemorrhage"]["rvd"] == {"value": pytest.approx(1 / 3), "low": 0.0, "high": 0.5, "n": 3}
    assert result["mean"] != alone["mean"]
    assert result["detection"]["any"]["patient"]["sensitivity"]["n"] == 2
    (folders[1].parent / "patients.csv").write_text("case,patient\na,x\n")
    refused(folders, InputError, "no patient for 2 cases: b, c")


def test_cohort_summaries(folders):
    """b is found in part, c is missed, d is a false alarm, e has nothing on either side."""
    for name, rows, expected in (("c", 0, 2), ("d", 2, 0), ("e", 0, 0)):
        write(folders[0] / f"{name}.nii", rows=rows)
        write(folders[1] / f"{name}.nii", rows=expected)
    result = evaluate_folders(*folders, labels=describe(folders[1] / "dataset.json", LABELS))
    assert result["empty"]["hemorrhage"] == {"neither": 2, "both": 1, "reference": 1, "prediction": 1}
    assert result["detection"]["any"]["patient"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert result["detection"]["any"]["patient"]["specificity"]["value"] == 0.5
    assert result["detection"]["any"]["slice"]["specificity"]["value"] == pytest.approx(11 / 12)
    assert result["lesions"]["hemorrhage"]["recall"]["value"] == pytest.approx(2 / 3)
    assert result["lesions"]["hemorrhage"]["false_positives_per_scan"] == 0.2
    assert result["cases"][2]["lesions"]["hemorrhage"] == {
        "found_ml": [],
        "missed_ml": [pytest.approx(8 * 1.25 / 1000)],
        "false_ml": [],
    }
    assert result["agreement"]["hemorrhage"]["bias_ml"]["value"] == pytest.approx(-4 * 1.25 / 5000)


def test_cases_in_several_processes_are_the_same(folders, monkeypatch):
    alone = evaluate_folders(*folders, labels=None)
    monkeypatch.setattr("hemoseg.evaluation.many.CASES_PER_WORKER", 1)
    monkeypatch.setattr("hemoseg.evaluation.many.default_workers", lambda: 2)
    told: list[tuple[int, int]] = []
    result = evaluate_folders(*folders, labels=None, progress=lambda done, total, _: told.append((done, total)))
    assert dump_json(result) == dump_json(alone)
    assert told == [(1, 2), (2, 2)]


def test_csv_has_a_line_per_case_and_class(folders):
    write(folders[0] / "a.nii.gz", rows=0)
    lines = cases_csv(evaluate_folders(*folders, labels=None)).splitlines()
    header, first, _, second, _ = (line.split(",") for line in lines)
    assert header[:5] == ["case", "patient", "class", "dice", "iou"]
    assert first[:4] == ["a", "a", "1", "0.0"]
    assert first[header.index("hd_mm")] == ""
    assert "prediction is empty" in lines[1]
    assert float(second[3]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("made_by", [evaluate_folders, evaluate_challenge, evaluate_as_nnunet])
def test_page_of_every_protocol(folders, made_by):
    write(folders[0] / "a.nii.gz", rows=0)
    describe(folders[1] / "dataset.json", {"background": 0, "<b>iph": 1})
    result = made_by(*folders, labels=None)
    page = metrics_page(from_summary(result) if "metric_per_case" in result else result, title="Evaluation: <x>")
    assert "Research use only" in page
    assert "<x>" not in page
    assert "<b>iph" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "What the numbers mean" in page
    assert ("data:image/png" in page) == (made_by is evaluate_folders)
