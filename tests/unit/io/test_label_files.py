import numpy as np
import pytest

from hemoseg.errors import InputError, LabelError
from hemoseg.io import read_labels
from nifti_files import save, set_field

LABELS = (np.arange(6 * 5 * 4) % 3).reshape(6, 5, 4)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "u2", "i4", "i8", "f4", "f8"])
def test_whole_numbers_of_any_type(tmp_path, dtype):
    labels, grid = read_labels(save(tmp_path / "a.nii.gz", LABELS.astype(dtype)))
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype.kind in "iu"
    assert labels.dtype.isnative
    assert grid.shape == (6, 5, 4)


def test_values_are_kept_as_they_are(tmp_path):
    labels, _ = read_labels(save(tmp_path / "a.nii", (LABELS * 255).astype(np.int16)))
    assert np.unique(labels).tolist() == [0, 255, 510]


def test_slope_is_honored(tmp_path):
    path = save(tmp_path / "a.nii", (LABELS * 50).astype(np.uint8))
    set_field(path, "scl_slope", 0.02)
    labels, _ = read_labels(path)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e20])
def test_soft_masks_are_refused(tmp_path, value):
    labels = LABELS.astype(np.float32)
    labels[0, 0, 0] = value
    with pytest.raises(LabelError, match=r"1 voxels are not whole numbers: "):
        read_labels(save(tmp_path / "a.nii", labels))


def test_one_slice_is_a_label_map_too(tmp_path):
    assert read_labels(save(tmp_path / "a.nii", LABELS[:1].astype(np.uint8)))[0].shape == (1, 5, 4)


def test_map_shorter_than_the_longest_header(tmp_path):
    path = save(tmp_path / "a.nii", LABELS[:2].astype(np.uint8))
    path.write_bytes(path.read_bytes() + b"more" * 100)
    np.testing.assert_array_equal(read_labels(path)[0], LABELS[:2])


def test_absent_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "a.nii")
