"""Intervals around volumes: bounds by hand, coverage by simulation, too few cases."""

from math import exp, expm1, log, log1p

import numpy as np
import pytest

from hemoseg.models import Calibration, VolumeCalibration
from hemoseg.models.calibration import fewest_patients
from hemoseg.selection.calibrate import HeldOutVolume, calibrate, calibrate_volume, weighted_bound

LEVEL = 0.9


def volumes(errors, *, owners=None, predicted=9.0):
    """Held-out volumes with these errors on the scale of log(1 + ml)."""
    owners = owners or [f"p{number}" for number in range(len(errors))]
    return [
        HeldOutVolume(patient=owner, reference_ml=(1 + predicted) * exp(error) - 1, predicted_ml=predicted)
        for owner, error in zip(owners, errors, strict=True)
    ]


def calibrated(errors, **options):
    return calibrate(
        {"hemorrhage": volumes(errors, **options)}, None, is_one_fold=True, calibrated_on="test", level=LEVEL
    )


def test_nineteen_patients_have_their_extremes_as_bounds():
    """n = 2 / (1 - 0.9) - 1: a twentieth on either side is the share of the new patient alone."""
    found = calibrate_volume(volumes([number / 100 for number in range(-6, 13)]), LEVEL)
    assert (found.kind, found.low, found.high) == ("two-sided", pytest.approx(-0.06), pytest.approx(0.12))
    assert found.covered is None  # 18 are too few for such bounds


def test_with_fewer_both_bounds_are_the_largest_error():
    found = calibrate_volume(volumes([0.01, -0.3, 0.02, 0.1, 0.0, -0.05, 0.2, 0.03, 0.04]), LEVEL)
    assert (found.kind, found.low, found.high) == ("symmetric", pytest.approx(-0.3), pytest.approx(0.3))
    interval = found.interval(9.0)
    assert interval.low_ml == pytest.approx(10 * exp(-0.3) - 1)
    assert interval.high_ml == pytest.approx(10 * exp(0.3) - 1)
    assert found.median_width_ml == pytest.approx(10 * (exp(0.3) - exp(-0.3)))


def test_eight_patients_are_too_few_and_it_says_so():
    found = calibrated([0.1] * 8)
    assert found.classes["hemorrhage"].interval(3.0) is None
    assert found.too_few == "8 held-out patients are too few for intervals of 90 %: 9 are needed"
    assert found.intervals({"hemorrhage": 3.0}, 3.0).volume_ml == {"hemorrhage": None}
    assert calibrated([0.1] * 9).too_few is None
    assert [fewest_patients(miss) for miss in (0.1, 0.05, 0.2)] == [9, 19, 4]


def test_no_interval_ends_below_zero():
    found = VolumeCalibration(kind="symmetric", low=-1.0, high=1.0, covered=None, median_width_ml=None)
    assert found.interval(0.0).low_ml == 0
    assert found.interval(0.0).high_ml == pytest.approx(expm1(1.0))


def test_scans_of_one_patient_count_as_one():
    """Ten scans of a patient beside eight patients with one each: 9 patients, and a tenth weighs as much as one."""
    owners = ["many"] * 10 + [f"p{number}" for number in range(8)]
    found = calibrated([0.5] * 10 + [0.1] * 8, owners=owners)
    assert (found.scans, found.patients) == (18, 9)
    assert found.classes["hemorrhage"].high == pytest.approx(0.5)
    assert calibrated([0.5] * 10 + [0.1] * 7, owners=owners[:-1]).too_few is not None


def test_left_out_coverage_by_hand():
    """Of ten equal patients and one far off, that one alone lies outside the others' bounds."""
    found = calibrate_volume(volumes([0.1] * 10 + [3.0]), LEVEL)
    assert found.covered == pytest.approx(10 / 11)
    assert calibrate_volume(volumes([0.1] * 9), LEVEL).covered is None  # eight others are too few


@pytest.mark.parametrize("n", [9, 16, 19, 40])
def test_new_scans_are_inside_as_often_as_promised(n):
    """Errors that are skewed and biased: at least 90 % of new ones, and not all of them."""
    rng = np.random.default_rng(n)
    inside = []
    for _ in range(400):
        errors = rng.gamma(2.0, 0.2, n + 1) - 0.1
        found = calibrate_volume(volumes(errors[:n].tolist()), LEVEL)
        interval = found.interval(9.0)
        inside.append(interval.low_ml <= 10 * exp(errors[n]) - 1 <= interval.high_ml)
    assert 0.87 <= np.mean(inside) <= 0.97  # standard error 0.015


def test_a_bound_is_the_value_at_its_rank():
    assert weighted_bound(np.arange(20.0), [str(number) for number in range(20)], 0.1) == 18.0
    assert weighted_bound(np.arange(20.0)[::-1].copy(), [str(number) for number in range(20)], 0.5) == 10.0


def test_intervals_by_class_and_for_all_blood():
    iph, ivh = volumes([0.1] * 9), volumes([0.2] * 9)
    found = calibrate({"iph": iph, "ivh": ivh}, volumes([0.3] * 9), is_one_fold=False, calibrated_on="here")
    assert list(found.rows) == ["iph", "ivh", "all blood"]
    assert "one fold's" in found.caveat
    intervals = found.intervals({"iph": 1.0, "ivh": 2.0}, 3.0)
    assert intervals.volume_ml["iph"].high_ml == pytest.approx(2 * exp(0.1) - 1)
    assert intervals.hemorrhage_ml.high_ml == pytest.approx(4 * exp(0.3) - 1)
    again = Calibration.model_validate_json(found.model_dump_json())
    assert again == found


def test_the_scale_is_absolute_below_a_milliliter_and_relative_above():
    one = HeldOutVolume(patient="a", reference_ml=99.0, predicted_ml=49.0)
    assert one.error == pytest.approx(log(2))
    assert HeldOutVolume(patient="a", reference_ml=0.01, predicted_ml=0.0).error == pytest.approx(log1p(0.01))
