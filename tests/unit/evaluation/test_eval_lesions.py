"""Lesions matched by hand."""

from math import isnan

import numpy as np
import pytest

from hemoseg.evaluation.lesions import EDGES_ML, Lesions, match_lesions, pool_lesions


def mask(*spans):
    """One row of 40 voxels, set in each [start, stop)."""
    row = np.zeros((1, 1, 40), dtype=bool)
    for start, stop in spans:
        row[0, 0, start:stop] = True
    return row


def test_one_found_one_missed_one_made_up():
    found = match_lesions(mask((0, 4), (10, 12)), mask((3, 6), (20, 21)), voxel_ml=0.5)
    assert found == Lesions(found_ml=(2.0,), missed_ml=(1.0,), false_ml=(0.5,), true_predicted=1)
    assert found.f1 == 2 / (2 + 1 + 1)
    assert found.recall == found.precision == 0.5


def test_a_prediction_over_two_lesions_finds_both():
    found = match_lesions(mask((0, 4), (6, 8)), mask((0, 8)), voxel_ml=1.0)
    assert (found.found_ml, found.false_ml, found.true_predicted) == ((4.0, 2.0), (), 1)
    assert found.f1 == 1


def test_diagonal_neighbors_are_one_lesion():
    corner = np.zeros((2, 2, 2), dtype=bool)
    corner[0, 0, 0] = corner[1, 1, 1] = True
    assert match_lesions(corner, corner, voxel_ml=1.0).found_ml == (2.0,)


def test_touching_is_not_sharing():
    assert match_lesions(mask((0, 4)), mask((4, 8)), voxel_ml=1.0).found_ml == ()


def test_empty_masks():
    nothing, made_up, missed = (match_lesions(*pair, voxel_ml=1.0) for pair in EMPTY_PAIRS)
    assert all(isnan(value) for value in (nothing.f1, nothing.recall, nothing.precision, made_up.recall))
    assert (made_up.f1, made_up.precision, missed.f1, missed.recall) == (0, 0, 0, 0)
    assert isnan(missed.precision)


EMPTY_PAIRS = [(mask(), mask()), (mask(), mask((0, 2))), (mask((0, 2)), mask())]


def test_pooled_by_size():
    cases = [
        Lesions(found_ml=(0.5, 20.0), missed_ml=(0.05,), false_ml=(0.1, 0.2), true_predicted=2),
        Lesions(found_ml=(1.0,), missed_ml=(0.9,), false_ml=(), true_predicted=1),
    ]
    pooled = pool_lesions(cases)
    assert [entry["from_ml"] for entry in pooled["recall_by_volume"]] == list(EDGES_ML)
    shares = [(entry["recall"]["value"], entry["recall"]["n"]) for entry in pooled["recall_by_volume"]]
    assert shares == [(0.0, 1), (0.5, 2), (1.0, 1), (1.0, 1), (None, 0)]
    assert pooled["recall_by_volume"][-1]["to_ml"] is None
    assert pooled["recall_by_volume"][-1]["recall"]["note"] == "no lesion of this size"
    assert pooled["recall"]["value"] == pytest.approx(3 / 5)
    assert pooled["false_positives_per_scan"] == 1
