"""A scan as it is stored: whole numbers stay, doubts and refusals are those of `read_scan`."""

from pathlib import Path

import numpy as np
import pytest

from hemoseg.errors import InputError
from hemoseg.io import read_raw, read_scan
from nifti_files import head_hu, save


@pytest.mark.parametrize("stored", [np.int16, ">i2", np.int32, np.float32])
def test_values_are_those_of_the_file(tmp_path: Path, stored) -> None:
    path = save(tmp_path / "a.nii", head_hu().astype(stored))
    raw = read_raw(path)
    assert raw.hu.dtype == (np.int16 if np.dtype(stored).itemsize == 2 else np.float32)
    np.testing.assert_array_equal(raw.hu, head_hu())
    assert raw.grid == read_scan(path).grid
    assert raw.slices == read_scan(path).slices


def test_a_scale_is_applied(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", head_hu(), scl_slope=1.0, scl_inter=3.0)
    np.testing.assert_array_equal(read_raw(path).hu, head_hu().astype(np.float32) + 3)


def test_padding_stays_and_is_told_in_the_same_words(tmp_path: Path) -> None:
    hu = head_hu()
    hu[:, 0, 0] = -3024
    path = save(tmp_path / "a.nii", hu)
    assert read_raw(path).hu.min() == -3024
    assert read_scan(path).hu.min() == -3024
    assert read_raw(path).warnings == read_scan(path).warnings
    assert "padding" in read_raw(path).warnings[0]


@pytest.mark.parametrize("bad", [np.abs(head_hu()), head_hu() // 100, np.full((3, 4, 5), -7, dtype=np.int16)])
def test_what_read_scan_refuses_is_refused_in_the_same_words(tmp_path: Path, bad) -> None:
    path = save(tmp_path / "a.nii", bad)
    with pytest.raises(InputError) as expected:
        read_scan(path)
    with pytest.raises(InputError) as found:
        read_raw(path)
    assert str(found.value) == str(expected.value)
