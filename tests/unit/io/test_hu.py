from pathlib import Path

import numpy as np
import pytest

from hemoseg.errors import InputError
from hemoseg.io.hu import check_hu
from nifti_files import head_hu

WHERE = Path("scan.nii.gz")


def checked(values, *, assume_hu=False):
    return check_hu(np.array(values, dtype=np.float32), assume_hu=assume_hu, where=WHERE)


def inverted_hu():
    """Air of 1000 and bone of -900, with fat that passes for brain."""
    values = -head_hu()
    values[:3, 12, 5:15] = 40
    return values


def test_true_hu_pass_without_a_word():
    assert checked(head_hu()) == ()


@pytest.mark.parametrize("padding", [-1025, -2000, -2048, -3024])
def test_padding_is_counted(padding):
    values = head_hu()
    values[0, 0, :3] = padding
    (warning,) = checked(values)
    assert warning.startswith("3 voxels below -1024 HU")
    assert str(padding) in warning


def test_clipped_hu_are_accepted_with_a_warning():
    (warning,) = checked(np.clip(head_hu(), -20, 100))
    assert "clipped to [-20, 100]" in warning


def test_brain_window_from_air_to_bone_is_not_called_clipped():
    assert checked(np.clip(head_hu(), -150, 100)) == ()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.full((2, 3, 4), -7), "the same value -7"),
        ((head_hu() + 1010) // 8, "none below 0"),
        (head_hu() + 1024, "none below 0"),
        ((head_hu() + 1010) / 2000, "none below 0"),
        (head_hu() / 700, "normalized"),
        (head_hu() - 1024 + 2000 * (head_hu() > 500), "no soft tissue"),
        (np.where(head_hu() < -990, -32768, head_hu()), "values from -32768"),
        (head_hu() * 1e4, "damaged or no CT"),
        (inverted_hu(), "at the borders of slices, where air should be"),
    ],
    ids=["constant", "8-bit", "raw", "unit range", "z-scored", "offset", "absurd padding", "huge", "inverted"],
)
def test_other_numbers_are_refused_unless_taken_as_hu(values, text):
    with pytest.raises(InputError, match=text) as caught:
        checked(values)
    assert "`hemoseg segment --assume-hu`" in caught.value.remedy  # no other command has it
    assert "a data set to learn from must hold HU" in caught.value.remedy
    warnings = checked(values, assume_hu=True)
    assert "taken as HU on request" in warnings[0]
    assert caught.value.found in warnings[0]


@pytest.mark.parametrize("first", [0, 5])
def test_soft_tissue_of_one_percent_in_whichever_slices_is_enough(first):
    values = np.where(np.arange(8000) % 2, -1000, 1000).reshape(8, 25, 40)
    values[first : first + 3, 7, :26] = 30
    values[first, 3, :2] = 30
    assert checked(values) == ()
    values[first, 3, 0] = -500
    with pytest.raises(InputError, match=r"0\.99 % of voxels from 5 to 80"):
        checked(values)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("assume_hu", [False, True])
def test_values_that_are_not_finite_are_counted_and_placed(value, assume_hu):
    values = head_hu().astype(np.float32)
    values[3, 4, 5] = values[5, 0, 0] = value
    with pytest.raises(InputError, match=r"2 voxels are NaN or infinite.*\(3, 4, 5\)"):
        checked(values, assume_hu=assume_hu)


def test_pseudo_hu_have_to_keep_to_their_bounds_alone():
    """A brain window alone is refused as HU, and taken where the data set says what it is."""
    values = np.clip(head_hu(), 0, 80).astype(np.float32)
    with pytest.raises(InputError, match="none below 0"):
        check_hu(values, assume_hu=False, where=WHERE)
    assert check_hu(values, assume_hu=False, where=WHERE, pseudo_hu=(0.0, 80.0)) == ()
    with pytest.raises(InputError, match=r"(?s)values from 0 to 80.*all in \[0, 70\]"):
        check_hu(values, assume_hu=False, where=WHERE, pseudo_hu=(0.0, 70.0))
    with pytest.raises(InputError, match="more than one value"):
        check_hu(np.full_like(values, 30), assume_hu=False, where=WHERE, pseudo_hu=(0.0, 80.0))
