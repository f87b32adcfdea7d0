"""Dice, volume difference and volume error by hand."""

from math import inf, isnan

import numpy as np
import pytest

from hemoseg.evaluation.overlap import Counts, count_voxels, dice, rvd, volume_error_ml

EMPTY = Counts(reference=0, prediction=0, both=0)
MISSED = Counts(reference=8, prediction=0, both=0)
FALSE_ALARM = Counts(reference=0, prediction=8, both=0)


def test_counts_are_voxels_of_each_and_of_both():
    reference = np.zeros((2, 3, 4), dtype=bool)
    prediction = reference.copy()
    reference[0] = True
    prediction[:, 0] = True
    assert count_voxels(reference, prediction) == Counts(reference=12, prediction=8, both=4)


def test_dice_of_half_overlap():
    assert dice(Counts(reference=10, prediction=6, both=4), both_empty="nan") == 0.5


def test_dice_of_empty_masks_is_what_the_caller_says():
    assert dice(EMPTY, both_empty="one") == 1
    assert isnan(dice(EMPTY, both_empty="nan"))


@pytest.mark.parametrize("counts", [MISSED, FALSE_ALARM])
def test_dice_with_one_empty_mask_is_zero(counts):
    assert dice(counts, both_empty="one") == 0


@pytest.mark.parametrize(("predicted", "expected"), [(8, 0.0), (12, 0.5), (4, 0.5), (0, 1.0), (32, 3.0)])
def test_rvd_is_absolute(predicted, expected):
    assert rvd(Counts(reference=8, prediction=predicted, both=0), both_empty="nan") == expected


def test_rvd_without_reference():
    assert rvd(FALSE_ALARM, both_empty="zero") == inf
    assert rvd(EMPTY, both_empty="zero") == 0
    assert isnan(rvd(EMPTY, both_empty="nan"))


@pytest.mark.parametrize(("counts", "expected"), [(EMPTY, 0.0), (MISSED, -2.0), (FALSE_ALARM, 2.0)])
def test_volume_error_has_the_sign_of_the_prediction(counts, expected):
    assert volume_error_ml(counts, voxel_ml=0.25) == expected
