"""ITK has its own NIfTI reader and writer and keeps LPS as we do: positions must agree.

Tolerance 0.001 mm: headers hold float32, so an offset of 500 mm is known to 0.00003 mm, and ITK takes the
direction from the sform or from a quaternion.
"""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.errors import InputError
from hemoseg.io import read_labels, read_raw, read_scan, write_mask
from hemoseg.io.frame import lps_to_nifti
from nifti_files import AFFINE_RAS, head_hu, random_rotation, save, set_field

TOLERANCE_MM = 1e-3


def itk_image(hu, seed, spacing, origin, *, mirrored):
    rotation = random_rotation(np.random.default_rng(seed))
    if mirrored:
        rotation = rotation * [1, 1, -1]
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(rotation.ravel().tolist())
    return image


def assert_same_places(grid, image):
    z, y, x = grid.shape
    assert image.GetSize()[:3] == (x, y, z)
    for index in ((0, 0, 0), (z - 1, 0, 0), (0, y - 1, 0), (0, 0, x - 1), (z - 1, y - 1, x - 1)):
        ours = grid.world([float(i) for i in index])
        theirs = image.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE_MM)
    np.testing.assert_allclose(grid.spacing_mm, image.GetSpacing()[2::-1], rtol=1e-5)


@given(
    seed=st.integers(0, 2**32),
    spacing=st.tuples(*[st.floats(0.2, 8.0)] * 3),
    origin=st.tuples(*[st.floats(-500.0, 500.0)] * 3),
    mirrored=st.booleans(),
    dtype=st.sampled_from([np.int16, np.float32]),
    ending=st.sampled_from([".nii", ".nii.gz"]),
)
@settings(max_examples=60)
def test_scan_written_by_itk(tmp_path_factory, seed, spacing, origin, mirrored, dtype, ending):
    folder = tmp_path_factory.getbasetemp()
    image = itk_image(head_hu(seed=seed).astype(dtype), seed, spacing, origin, mirrored=mirrored)
    sitk.WriteImage(image, folder / f"itk{ending}")
    volume = read_scan(folder / f"itk{ending}")
    np.testing.assert_array_equal(volume.hu, sitk.GetArrayFromImage(image))
    assert_same_places(volume.grid, image)
    assert not [text for text in volume.warnings if "sform" in text or "sheared" in text]


@pytest.mark.parametrize("mirrored", [False, True])
def test_mask_is_read_by_itk_in_the_place_of_its_scan(tmp_path, mirrored):
    hu = head_hu()
    image = itk_image(hu, 3, (0.45, 0.47, 5.0), (10.0, -20.0, 300.0), mirrored=mirrored)
    sitk.WriteImage(image, tmp_path / "scan.nii.gz")
    mask = (hu > 100).astype(np.uint8)
    write_mask(tmp_path / "mask.nii.gz", mask, read_scan(tmp_path / "scan.nii.gz"))
    again = sitk.ReadImage(tmp_path / "mask.nii.gz")
    assert again.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), mask)
    assert_same_places(read_labels(tmp_path / "mask.nii.gz")[1], image)
    np.testing.assert_allclose(again.GetOrigin(), image.GetOrigin(), atol=TOLERANCE_MM)
    np.testing.assert_allclose(again.GetDirection(), image.GetDirection(), atol=1e-5)


@pytest.mark.data
@pytest.mark.parametrize("name", ["nifti/cranium.nii.gz", "phe-sich/imagesTr/PHESICH_0001_0000.nii.gz"])
def test_real_scans(data, name):
    volume = read_scan(data / name)
    image = sitk.ReadImage(data / name)
    np.testing.assert_array_equal(volume.hu, sitk.GetArrayFromImage(image))
    assert_same_places(volume.grid, image)
    affine = volume.grid.affine_lps
    np.testing.assert_allclose(affine[:3, 3], image.GetOrigin(), atol=TOLERANCE_MM)
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, ::-1]
    np.testing.assert_allclose(np.array(volume.grid.direction).T, direction, atol=1e-6)


@given(
    spacing=st.tuples(*[st.floats(0.25, 8.0, width=32)] * 3),
    unit=st.sampled_from([0, 1, 2, 3]),
    scale=st.sampled_from([1.0, 1.01]),
    sign=st.sampled_from([1.0, -1.0]),
)
@settings(max_examples=40)
def test_stored_spacing_has_the_bits_that_itk_reads(tmp_path_factory, spacing, unit, scale, sign):
    path = tmp_path_factory.getbasetemp() / "spacing.nii"
    affine = np.diag([-spacing[0] * scale, -spacing[1] * scale, spacing[2] * scale, 1.0])
    save(path, head_hu(), affine)
    set_field(path, "xyzt_units", unit)
    factor = {1: 1e-3, 3: 1e3}.get(unit, 1.0)
    sizes = (np.float32(sign * spacing[0] * factor), np.float32(spacing[1] * factor), np.float32(spacing[2] * factor))
    set_field(path, "pixdim", [1.0, *sizes, 0, 0, 0, 0])
    set_field(path, "srow_x", [affine[0, 0] * factor, 0, 0, 0])
    set_field(path, "srow_y", [0, affine[1, 1] * factor, 0, 0])
    set_field(path, "srow_z", [0, 0, affine[2, 2] * factor, 0])
    expected = sitk.ReadImage(path).GetSpacing()[::-1]
    assert read_scan(path).stored_spacing_mm == read_raw(path).stored_spacing_mm == expected


@pytest.mark.parametrize("size", [0.0, float("nan"), float("inf")])
def test_voxel_sizes_that_are_none_are_1_as_in_itk(tmp_path, size):
    path = save(tmp_path / "scan.nii", head_hu(), AFFINE_RAS)
    set_field(path, "pixdim", [1.0, size, 0.5, 5.0, 0, 0, 0, 0])
    assert sitk.ReadImage(path).GetSpacing() == (1.0, 0.5, 5.0)
    assert read_scan(path).stored_spacing_mm == (5.0, 0.5, 1.0)


@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
@pytest.mark.parametrize("matrices", ["sform", "qform", "both"])
def test_voxel_sizes_below_0_lie_as_in_nibabel_and_mirrored_in_itk_with_their_mask(tmp_path, matrices, signs):
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(np.random.default_rng(5)) * [0.45, 0.47, 5.0]
    affine[:3, 3] = [10.0, -20.0, 300.0]
    sform, qform = (affine if matrices in (name, "both") else None for name in ("sform", "qform"))
    path = save(tmp_path / "scan.nii", head_hu(), sform, qform=qform)
    set_field(
        path, "pixdim", [nibabel.load(path).header["pixdim"][0], *np.multiply(signs, [0.45, 0.47, 5.0]), *[0] * 4]
    )
    volume = read_scan(path)
    np.testing.assert_allclose(lps_to_nifti(volume.grid), nibabel.load(path).affine, atol=TOLERANCE_MM)
    assert "programs built on ITK mirror such an axis" in volume.warnings[0]
    write_mask(tmp_path / "mask.nii", (volume.hu > 100).astype(np.uint8), volume)
    scan, mask = sitk.ReadImage(path), sitk.ReadImage(tmp_path / "mask.nii")
    steps = np.array(scan.GetDirection()).reshape(3, 3) * scan.GetSpacing()
    np.testing.assert_allclose(np.diag([-1, -1, 1]) @ steps, affine[:3, :3] * signs, atol=TOLERANCE_MM)
    assert (mask.GetDirection(), mask.GetSpacing()) == (scan.GetDirection(), scan.GetSpacing())
    assert mask.GetOrigin() == scan.GetOrigin()


def test_a_picture_of_two_dimensions_is_refused_with_what_makes_it_a_slice(tmp_path):
    """ITK writes a thickness of 1 mm that nobody gave; what the error says to try is done here."""
    path = tmp_path / "slice.nii"
    image = sitk.GetImageFromArray(head_hu()[3])
    sitk.WriteImage(image, path)
    with pytest.raises(InputError, match=r"slice\.nii: a picture without a third dimension, 20 x 24") as caught:
        read_scan(path, least_slices=1)
    assert "WriteImage(JoinSeries(image, 0.0, 5.0), FILE)" in caught.value.remedy
    sitk.WriteImage(sitk.JoinSeries(image, 0.0, 5.0), path)
    assert read_scan(path, least_slices=1).grid.spacing_mm == (5.0, 1.0, 1.0)
