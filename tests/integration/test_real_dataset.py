"""The reader and the data set checks on real scans."""

import numpy as np
import pytest

from hemoseg.datasets import SplitCase, check_dataset, index_dataset, read_case, shuffled_splits
from hemoseg.io import read_scan

pytestmark = pytest.mark.data


def test_near_normal_head(data):
    volume = read_scan(data / "nifti" / "cranium.nii.gz")
    assert volume.grid.shape == (108, 256, 256)
    assert volume.grid.spacing_mm == pytest.approx((1.5, 0.957, 0.957), abs=1e-3)
    assert volume.hu.min() == -1024
    assert volume.hu.max() > 1500
    assert volume.warnings == ()


def test_clipped_cohort_is_indexed_and_has_no_errors(data):
    dataset = index_dataset(data / "phe-sich")
    assert len(dataset.cases) == 80
    assert dataset.table.names == ("background", "hemorrhage", "edema")
    findings = check_dataset(dataset)
    assert [finding for finding in findings if finding.severity == "error"] == []
    (clipped,) = [finding for finding in findings if "clipped to [-20, 100]" in finding.found]
    assert clipped.case == "80 cases"
    cases = [SplitCase(name=case.name, patient=case.patient, class_ml={}) for case in dataset.cases]
    held_out = [name for split in shuffled_splits(cases, folds=5, seed=0) for name in split.held_out]
    assert sorted(held_out) == [case.name for case in dataset.cases]


def test_case_of_the_cohort(data):
    dataset = index_dataset(data / "phe-sich")
    volume, labels = read_case(dataset.cases[0], dataset.table)
    assert volume.grid.spacing_mm == pytest.approx((5.0, 0.94, 0.94))
    assert np.unique(labels).tolist() == [0, 1, 2]
    blood = volume.hu[labels == 1]
    assert 40 < blood.mean() < 80
