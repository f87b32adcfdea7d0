"""The reader and the data set checks on real scans."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from hemoseg.datasets import SplitCase, index_dataset, read_case, shuffled_splits
from hemoseg.io import read_scan
from hemoseg.pipeline import Silent
from hemoseg.pipeline.doctor import check_dataset

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
    rows = check_dataset(data / "phe-sich", Silent()).result.rows
    assert [row.code for row in rows] == ["clipped", "label-islands"]
    assert rows[0].where == "80 cases"
    assert "clipped to [-20, 100]" in rows[0].text
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


def test_single_voxels_of_the_cohort_are_there(data):
    """What the doctor says of them, by another program's connected components."""
    rows = check_dataset(data / "phe-sich", Silent()).result.rows
    told = {place.cases[0]: place.found for row in rows if row.code == "label-islands" for place in row.instances}
    for path in sorted((data / "phe-sich" / "labelsTr").glob("*.nii.gz")):
        labels = np.asanyarray(nib.load(path).dataobj)
        components, _ = ndimage.label(labels > 0, structure=np.ones((3, 3, 3)))
        count = np.count_nonzero(np.bincount(components.ravel())[1:] == 1)
        name = path.name.removesuffix(".nii.gz")
        assert told.get(name) == (f"single voxels: {count}" if count else None)
