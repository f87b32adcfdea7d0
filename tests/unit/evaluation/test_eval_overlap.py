"""Dice, volume difference and volume error by hand."""

from math import inf, isnan

import numpy as np
import pytest

from hemoseg.evaluation.overlap import dice, rvd, volume_error_ml


def row(start, stop):
    """One row of 40 voxels, set in [start, stop)."""
    mask = np.zeros((1, 1, 40), dtype=bool)
    mask[0, 0, start:stop] = True
    return mask


EMPTY, SOME = row(0, 0), row(0, 8)


def test_dice_of_half_overlap():
    assert dice(row(0, 10), row(6, 12), both_empty="nan") == 0.5


def test_dice_of_empty_masks_is_what_the_caller_says():
    assert dice(EMPTY, EMPTY, both_empty="one") == 1
    assert isnan(dice(EMPTY, EMPTY, both_empty="nan"))


@pytest.mark.parametrize("both_empty", ["one", "nan"])
def test_dice_with_one_empty_mask_is_zero(both_empty):
    assert dice(SOME, EMPTY, both_empty=both_empty) == dice(EMPTY, SOME, both_empty=both_empty) == 0


@pytest.mark.parametrize(("predicted", "expected"), [(8, 0.0), (12, 0.5), (4, 0.5), (0, 1.0), (32, 3.0)])
def test_rvd_is_absolute(predicted, expected):
    assert rvd(SOME, row(0, predicted), both_empty="nan") == expected


def test_rvd_looks_at_volumes_alone():
    assert rvd(SOME, row(20, 28), both_empty="nan") == 0


def test_rvd_without_reference():
    assert rvd(EMPTY, SOME, both_empty="zero") == inf
    assert rvd(EMPTY, EMPTY, both_empty="zero") == 0
    assert isnan(rvd(EMPTY, EMPTY, both_empty="nan"))


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [(EMPTY, EMPTY, 0.0), (SOME, EMPTY, -2.0), (EMPTY, SOME, 2.0), (SOME, row(4, 13), 0.25)],
)
def test_volume_error_has_the_sign_of_the_prediction(reference, prediction, expected):
    assert volume_error_ml(reference, prediction, voxel_ml=0.25) == expected
