"""Metrics of one case, and what they do with empty masks."""

import numpy as np
import pytest

from hemoseg.errors import GeometryError, SettingsError
from hemoseg.evaluation import evaluate_pair
from hemoseg.evaluation.protocol import extended
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable

NAMES = [
    *("dice", "iou", "nsd_0.42mm", "nsd_1mm", "nsd_2mm", "hd95_mm", "hd_mm", "assd_mm"),
    *("volume_ml", "reference_ml", "volume_error_ml", "absolute_volume_error_ml", "rvd", "relative_volume_error"),
    *("lesion_f1", "lesion_recall", "lesion_precision", "false_positives_per_scan"),
]
DISTANCES = ["hd95_mm", "hd_mm", "assd_mm"]
DEFINED = ["volume_ml", "reference_ml", "volume_error_ml", "absolute_volume_error_ml", "false_positives_per_scan"]
TABLE = LabelTable(("background", "hemorrhage", "edema"))
GRID = Grid.from_affine((4, 10, 10), np.diag([5.0, 0.5, 0.5, 1.0]))


def labels(**boxes):
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for name, count in boxes.items():
        array[1:3, :count, :5] = TABLE.names.index(name)
    return array


def test_names_are_those_on_disk():
    assert [metric.name for metric in extended().metrics] == NAMES
    assert list(extended().rules) == NAMES


def test_every_class_is_measured_on_its_own():
    reference, prediction = labels(hemorrhage=4), labels(hemorrhage=2)
    prediction[0, 5:, :] = reference[0, 5:, :] = 2
    scores = evaluate_pair(reference, prediction, GRID, TABLE)
    assert list(scores) == ["hemorrhage", "edema", "any"]
    assert list(scores["hemorrhage"]) == NAMES
    found = scores["hemorrhage"]
    assert found["dice"] == pytest.approx(2 * 20 / 60)
    assert found["iou"] == 0.5
    assert found["rvd"] == 0.5
    assert found["relative_volume_error"] == -0.5
    assert found["volume_ml"] == pytest.approx(20 * 1.25 / 1000)
    assert found["reference_ml"] == pytest.approx(40 * 1.25 / 1000)
    assert found["volume_error_ml"] == -found["absolute_volume_error_ml"] == pytest.approx(-20 * 1.25 / 1000)
    assert 0 < found["nsd_0.42mm"] < found["nsd_1mm"] == 1
    assert found["hd_mm"] == found["hd95_mm"] == 1.0  # two rows of 0.5 mm
    assert 0 < found["assd_mm"] < 1
    assert found["lesion_f1"] == found["lesion_recall"] == found["lesion_precision"] == 1
    assert found["false_positives_per_scan"] == 0
    perfect = {"hd95_mm": 0, "hd_mm": 0, "assd_mm": 0, "volume_error_ml": 0, "absolute_volume_error_ml": 0, "rvd": 0}
    perfect |= {"relative_volume_error": 0, "false_positives_per_scan": 0}
    volumes = dict.fromkeys(("volume_ml", "reference_ml"), pytest.approx(50 * 1.25 / 1000))
    assert scores["edema"] == {**dict.fromkeys(NAMES, 1), **perfect, **volumes}


def test_any_is_every_bleeding_class_together():
    table = LabelTable(("background", "iph", "ivh", "edema"))
    reference, prediction = labels(), labels()
    reference[1, :4, :4], reference[1, :4, 4:8], reference[3] = 1, 2, 3
    prediction[1, :4, :4], prediction[1, :4, 4:8] = 2, 1
    scores = evaluate_pair(reference, prediction, GRID, table)
    assert scores["iph"]["dice"] == scores["ivh"]["dice"] == 0
    assert scores["any"]["dice"] == 1
    assert evaluate_pair(reference, prediction, GRID, LabelTable(("background", "a", "any", "b")))["any"]["dice"] == 0


def undefined(scores):
    return [name for name in NAMES if scores[name] is None]


def test_both_empty():
    scores = evaluate_pair(labels(), labels(), GRID, TABLE)["edema"]
    lost = [name for name in NAMES if name not in DEFINED]
    assert undefined(scores) == lost
    assert all(scores[name] == 0 for name in DEFINED)
    assert scores["note"] == (
        f"reference and prediction are both empty: {', '.join(lost[:-1])} and {lost[-1]} are undefined"
    )


def test_reference_alone_empty():
    scores = evaluate_pair(labels(), labels(hemorrhage=2), GRID, TABLE)["hemorrhage"]
    assert undefined(scores) == [*DISTANCES, "rvd", "relative_volume_error", "lesion_recall"]
    assert (
        scores["dice"] == scores["iou"] == scores["nsd_1mm"] == scores["lesion_f1"] == scores["lesion_precision"] == 0
    )
    assert scores["false_positives_per_scan"] == 1
    assert scores["volume_error_ml"] == pytest.approx(0.025)
    assert scores["note"].startswith("reference is empty: hd95_mm, hd_mm,")


def test_prediction_alone_empty():
    scores = evaluate_pair(labels(hemorrhage=2), labels(), GRID, TABLE)["hemorrhage"]
    assert undefined(scores) == [*DISTANCES, "lesion_precision"]
    assert scores["dice"] == scores["iou"] == scores["nsd_1mm"] == scores["lesion_f1"] == scores["lesion_recall"] == 0
    assert (scores["rvd"], scores["relative_volume_error"]) == (1, -1)
    assert scores["volume_error_ml"] == pytest.approx(-0.025)
    assert scores["note"] == "prediction is empty: hd95_mm, hd_mm, assd_mm and lesion_precision are undefined"


@pytest.mark.parametrize("tolerances", [(-1.0,), (float("nan"),), (1.0, 1.0), (1.0, 1.0000001)])
def test_tolerances_that_are_none_are_refused(tolerances):
    with pytest.raises(SettingsError, match="tolerances"):
        extended(tolerances)


def test_any_tolerance_can_be_asked_for():
    scores = evaluate_pair(labels(hemorrhage=4), labels(hemorrhage=2), GRID, TABLE, tolerances_mm=(0.25, 3.0))
    assert [name for name in scores["any"] if name.startswith("nsd")] == ["nsd_0.25mm", "nsd_3mm"]


def test_sheared_grid_keeps_its_volume():
    """A gantry tilt moves slices sideways; a voxel stays 5 x 0.5 x 0.5 mm³ though its z axis gets longer."""
    affine = np.diag([5.0, 0.5, 0.5, 1.0])
    affine[1, 0] = 2.0
    grid = Grid.from_affine(GRID.shape, affine)
    scores = evaluate_pair(labels(), labels(hemorrhage=2), grid, TABLE)["hemorrhage"]
    assert grid.spacing_mm[0] > 5.3
    assert scores["volume_error_ml"] == pytest.approx(20 * 1.25 / 1000)


def test_other_shape_than_the_grid_is_refused():
    other = np.zeros((4, 10, 9), dtype=np.uint8)
    with pytest.raises(GeometryError, match=r"\(4, 10, 9\)"):
        evaluate_pair(other, other, GRID, TABLE)


def test_regions_are_measured_with_all_their_numbers():
    table = LabelTable(("background", "lesion", "hemorrhage"), regions=((1, 2), (1,)))
    reference, prediction = np.zeros(GRID.shape, dtype=np.uint8), np.zeros(GRID.shape, dtype=np.uint8)
    reference[1, :4, :5], reference[1, :2, :5] = 2, 1  # 10 and 10 voxels
    prediction[1, :4, :5], prediction[1, :1, :5] = 2, 1  # 15 and 5
    scores = evaluate_pair(reference, prediction, GRID, table)
    assert list(scores) == ["lesion", "hemorrhage", "any"]
    assert (scores["lesion"]["dice"], scores["hemorrhage"]["dice"]) == (1, pytest.approx(2 * 5 / 15))
    assert scores["any"]["volume_ml"] == scores["lesion"]["volume_ml"] == pytest.approx(20 * 1.25 / 1000)
