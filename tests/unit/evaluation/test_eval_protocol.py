"""Metrics of one case, and what they do with empty masks."""

import numpy as np
import pytest

from hemoseg.errors import GeometryError
from hemoseg.evaluation import evaluate_pair
from hemoseg.evaluation.protocol import EXTENDED
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable

NAMES = ["dice", "rvd", "nsd_0.42mm", "nsd_1mm", "volume_error_ml"]
TABLE = LabelTable(("background", "hemorrhage", "edema"))
GRID = Grid.from_affine((4, 10, 10), np.diag([5.0, 0.5, 0.5, 1.0]))


def labels(**boxes):
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for name, count in boxes.items():
        array[1:3, :count, :5] = TABLE.names.index(name)
    return array


def test_names_are_those_on_disk():
    assert [metric.name for metric in EXTENDED.metrics] == NAMES
    assert list(EXTENDED.rules) == NAMES


def test_every_class_is_measured_on_its_own():
    reference, prediction = labels(hemorrhage=4), labels(hemorrhage=2)
    prediction[0, 5:, :] = reference[0, 5:, :] = 2
    scores = evaluate_pair(reference, prediction, GRID, TABLE)
    assert list(scores) == ["hemorrhage", "edema"]
    assert list(scores["hemorrhage"]) == NAMES
    assert scores["hemorrhage"]["dice"] == pytest.approx(2 * 20 / 60)
    assert scores["hemorrhage"]["rvd"] == 0.5
    assert scores["hemorrhage"]["volume_error_ml"] == pytest.approx(-20 * 1.25 / 1000)
    assert 0 < scores["hemorrhage"]["nsd_0.42mm"] < scores["hemorrhage"]["nsd_1mm"] == 1
    assert scores["edema"] == {
        "dice": 1.0,
        "rvd": 0.0,
        "nsd_0.42mm": 1.0,
        "nsd_1mm": 1.0,
        "volume_error_ml": 0.0,
    }


def test_both_empty():
    assert evaluate_pair(labels(), labels(), GRID, TABLE)["edema"] == {
        "dice": None,
        "rvd": None,
        "nsd_0.42mm": None,
        "nsd_1mm": None,
        "volume_error_ml": 0.0,
        "note": "reference and prediction are both empty: dice, rvd, nsd_0.42mm and nsd_1mm are undefined",
    }


def test_reference_alone_empty():
    scores = evaluate_pair(labels(), labels(hemorrhage=2), GRID, TABLE)["hemorrhage"]
    assert [scores[name] for name in NAMES[:4]] == [0.0, None, 0.0, 0.0]
    assert scores["volume_error_ml"] == pytest.approx(0.025)
    assert scores["note"] == "reference is empty: rvd is undefined"


def test_prediction_alone_empty():
    scores = evaluate_pair(labels(hemorrhage=2), labels(), GRID, TABLE)["hemorrhage"]
    assert [scores[name] for name in NAMES[:4]] == [0.0, 1.0, 0.0, 0.0]
    assert scores["volume_error_ml"] == pytest.approx(-0.025)
    assert "note" not in scores


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
