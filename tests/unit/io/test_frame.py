from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hemoseg.errors import GeometryError
from hemoseg.io.frame import is_orthogonal, lps_to_nifti, read_grid
from nifti_files import AFFINE_RAS, random_rotation

SHAPE = (6, 24, 20)
OTHER_RAS = np.array([[-0.5, 0, 0, 9], [0, -0.5, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1.0]])


def header(sform=None, qform=None, **fields):
    made = nib.Nifti1Header()
    made.set_data_shape(SHAPE[::-1])
    made.set_sform(sform, code=0 if sform is None else 1)
    made.set_qform(qform, code=0 if qform is None else 1)
    for name, value in fields.items():
        made[name] = value
    return made


def read(*args, **kwargs):
    return read_grid(header(*args, **kwargs), SHAPE, where=Path("scan.nii"))


def test_sform_goes_before_qform_and_a_difference_is_told():
    grid, (warning,) = read(AFFINE_RAS, OTHER_RAS)
    np.testing.assert_allclose(lps_to_nifti(grid), AFFINE_RAS)
    assert "9.0 mm apart: the sform is used" in warning


def test_small_differences_of_sform_and_qform_are_no_news():
    near = AFFINE_RAS.copy()
    near[:3, 3] += 0.2
    assert read(AFFINE_RAS, near)[1] == ()


def test_qform_is_used_where_there_is_no_sform(rng):
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(rng) * [0.4, 0.6, 3.0]
    affine[:3, 3] = [1, 2, 3]
    grid, warnings = read(None, affine)
    np.testing.assert_allclose(lps_to_nifti(grid), affine, atol=1e-5)
    assert warnings == ()


def test_left_handed_qform(rng):
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(rng) * [0.4, 0.6, -3.0]
    np.testing.assert_allclose(lps_to_nifti(read(None, affine)[0]), affine, atol=1e-5)


def test_qfac_of_zero_counts_as_one():
    made = header(None, AFFINE_RAS)
    assert made["pixdim"][0] == 1
    made["pixdim"][0] = 0
    np.testing.assert_allclose(lps_to_nifti(read_grid(made, SHAPE, where=Path("a"))[0]), AFFINE_RAS)


def test_quaternion_a_rounding_error_too_long_is_read():
    grid, _ = read(None, AFFINE_RAS, quatern_b=0, quatern_c=0, quatern_d=1.0001)
    np.testing.assert_allclose(lps_to_nifti(grid), AFFINE_RAS, atol=1e-6)


@pytest.mark.parametrize("fields", [{"quatern_b": 2}, {"quatern_b": np.nan}, {"pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}])
def test_qform_without_a_rotation_is_refused(fields):
    with pytest.raises(GeometryError, match="qform"):
        read(None, AFFINE_RAS, **fields)


def test_bad_qform_beside_a_good_sform_does_no_harm():
    grid, warnings = read(AFFINE_RAS, AFFINE_RAS, quatern_b=2)
    np.testing.assert_allclose(lps_to_nifti(grid), AFFINE_RAS)
    assert warnings == ()


@pytest.mark.parametrize("size", [np.nan, np.inf, 0.0])
def test_voxel_sizes_that_are_none_beside_a_good_sform_are_told(size):
    """nnU-Net, and models imported from it, take 1 in their place; others the sform's."""
    made = header(AFFINE_RAS)
    made["pixdim"][1] = size
    grid, (warning,) = read_grid(made, SHAPE, where=Path("scan.nii"))
    np.testing.assert_allclose(lps_to_nifti(grid), AFFINE_RAS)
    assert f"voxel sizes are {size:g} x 1 x 1 (x, y, z)" in warning
    assert "nnU-Net take 1" in warning


@pytest.mark.parametrize(("sform", "qform"), [(AFFINE_RAS, None), (None, AFFINE_RAS), (AFFINE_RAS, AFFINE_RAS)])
def test_the_sign_of_a_voxel_size_is_left_out_and_told(sform, qform):
    made = header(sform, qform)
    made["pixdim"][1:4] = [-0.5, 0.5, -5]
    grid, (warning,) = read_grid(made, SHAPE, where=Path("scan.nii"))
    np.testing.assert_allclose(lps_to_nifti(grid), AFFINE_RAS)
    assert "voxel sizes are -0.5 x 0.5 x -5 (x, y, z): signs are left out" in warning


def test_a_qform_of_other_sizes_is_told_to_differ_whatever_their_sign():
    made = header(AFFINE_RAS, AFFINE_RAS)
    made["pixdim"][1:4] = [-0.5, 0.5, 4]
    assert "5.0 mm apart: the sform is used" in read_grid(made, SHAPE, where=Path("scan.nii"))[1][0]


@pytest.mark.parametrize(("code", "factor"), [(2, 1), (3, 0.001)])
def test_voxel_sizes_that_are_not_the_sforms_are_told(code, factor):
    """By them volumes are others: nnU-Net and ITK measure so."""
    in_unit = AFFINE_RAS / factor
    in_unit[3, 3] = 1
    made = header(in_unit, xyzt_units=code)
    made["pixdim"][1:4] = np.array([0.5, 0.5, 4.0]) / factor
    grid, warnings = read_grid(made, SHAPE, where=Path("scan.nii"))
    np.testing.assert_allclose(lps_to_nifti(grid), AFFINE_RAS, rtol=1e-6)
    assert f"x {4 / factor:g} (x, y, z), its sform's 0.5 x 0.5 x 5 mm: volumes are by the sform" in warnings[-1]


def test_voxel_sizes_that_are_the_sforms_but_for_a_hundredth_are_no_news():
    made = header(AFFINE_RAS)
    made["pixdim"][1:4] = [0.5, 0.504, 4.96]
    assert read_grid(made, SHAPE, where=Path("scan.nii"))[1] == ()


def test_voxel_sizes_alone_leave_the_orientation_unknown():
    grid, (warning,) = read(pixdim=[1, 0.5, 0.6, 5, 0, 0, 0, 0])
    assert grid.spacing_mm == pytest.approx((5, 0.6, 0.5))
    assert "orientation is unknown" in warning


@pytest.mark.parametrize(("code", "factor"), [(1, 1000), (3, 0.001)])
def test_other_units_become_millimeters(code, factor):
    in_unit = AFFINE_RAS / factor
    in_unit[3, 3] = 1
    sizes = np.array([0.5, 0.5, 5.0]) / factor
    grid, (warning,) = read(in_unit, xyzt_units=code | 8, pixdim=[1, *sizes, 0, 0, 0, 0])  # 8: seconds
    np.testing.assert_allclose(lps_to_nifti(grid), AFFINE_RAS, rtol=1e-6)
    assert "millimeters" in warning


def test_sheared_frame_keeps_its_volume_and_is_told():
    tilt = np.radians(18.5)
    affine = AFFINE_RAS.copy()
    affine[:3, 2] = [0, 5 * np.sin(tilt), 5 * np.cos(tilt)]
    grid, (warning,) = read(affine)
    assert grid.voxel_ml == pytest.approx(0.5 * 0.5 * 5 * np.cos(tilt) / 1000, rel=1e-6)
    assert grid.spacing_mm[0] == pytest.approx(5)
    assert "sheared by 18.5 degrees" in warning
    assert not is_orthogonal(grid)


@pytest.mark.parametrize(
    ("affine", "text"),
    [
        (np.diag([1.0, 1.0, 0.0, 1.0]), "voxels of 0 x 1 x 1 mm"),
        (np.diag([1e-4, 1.0, 1.0, 1.0]), "voxels of"),
        (np.diag([1.0, 1.0, 450.0, 1.0]), "voxels of 450"),
        (np.diag([np.nan, 1.0, 1.0, 1.0]), "not finite"),
        (np.array([[1, 0, 0, np.inf], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "not finite"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
    ],
)
def test_senseless_matrices_are_refused(affine, text):
    made = header()
    made["sform_code"] = 1
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        made[name] = affine[row]
    with pytest.raises(GeometryError, match=text):
        read_grid(made, SHAPE, where=Path("scan.nii"))
