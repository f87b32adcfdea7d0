import gzip

import nibabel as nib
import numpy as np
import pytest

from hemoseg.errors import GeometryError, InputError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io import read_labels, read_scan, write_mask, write_scan
from nifti_files import AFFINE_RAS, head_hu, random_rotation, save

MASK = (head_hu() < 100).astype(np.uint8) * 2
FRAME = ("dim", "pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z")
QFORM = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units")


def plain_volume(direction=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), hu=None):
    hu = head_hu().astype(np.float32) if hu is None else hu
    grid = Grid(shape=hu.shape, spacing_mm=(5.0, 0.6, 0.4), origin_lps_mm=(-3.0, 4.0, 50.0), direction=direction)
    return Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name="made")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_mask_has_the_frame_of_its_scan_and_no_text(tmp_path, rng, kind, endianness):
    rotated = AFFINE_RAS.copy()
    rotated[:3, :3] = random_rotation(rng) * [0.5, 0.5, 5.0]
    source = save(
        tmp_path / "scan.nii.gz",
        head_hu()[None],
        rotated,
        qform=rotated,
        kind=kind,
        header=kind.header_class(endianness=endianness),
        descrip=b"Jane Doe",
        aux_file=b"Jane Doe",
        intent_name=b"Jane Doe",
        cal_max=80,
        cal_min=-5,
        xyzt_units=10,
    )
    write_mask(tmp_path / "mask.nii.gz", MASK, read_scan(source))
    scan, mask = nib.load(source), nib.load(tmp_path / "mask.nii.gz")
    assert mask.shape == (20, 24, 6, 1)
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(mask.dataobj).T[0], MASK)
    for name in FRAME + QFORM:
        np.testing.assert_array_equal(mask.header[name], scan.header[name], err_msg=name)
    assert b"Jane" not in gzip.decompress((tmp_path / "mask.nii.gz").read_bytes())
    assert (mask.header["cal_min"], mask.header["cal_max"]) == (0, 0)


def test_codes_and_disagreeing_frames_come_back_as_they_were(tmp_path):
    other = np.diag([0.5, 0.5, 4.0, 1.0])
    source = save(tmp_path / "scan.nii", head_hu(), qform=other, sform_code=4, qform_code=3)
    write_mask(tmp_path / "mask.nii.gz", MASK, read_scan(source))
    image = nib.load(tmp_path / "mask.nii.gz")
    sform, qform = image.get_sform(coded=True), image.get_qform(coded=True)
    assert (sform[1], qform[1]) == (4, 3)
    np.testing.assert_allclose(sform[0], AFFINE_RAS)
    np.testing.assert_allclose(qform[0], other)


def test_scaling_of_the_scan_does_not_reach_the_mask(tmp_path):
    source = save(tmp_path / "scan.nii", head_hu())
    data = bytearray(source.read_bytes())
    data[112:120] = np.array([2.0, 0.0], dtype="<f4").tobytes()  # scl_slope, scl_inter
    source.write_bytes(data)
    write_mask(tmp_path / "mask.nii", MASK, read_scan(source))
    np.testing.assert_array_equal(nib.load(tmp_path / "mask.nii").get_fdata().T, MASK)
    stored = (tmp_path / "mask.nii").read_bytes()[112:120]
    assert np.frombuffer(stored, dtype="<f4").tolist() == [1, 0]


def test_same_mask_same_bytes(tmp_path):
    volume = plain_volume()
    for name in ("a.nii.gz", "b.nii.gz"):
        write_mask(tmp_path / name, MASK, volume)
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert data == (tmp_path / "b.nii.gz").read_bytes()
    assert data[4:8] == bytes(4)  # no time
    assert not data[3] & 8  # no name


def test_frame_from_a_grid_alone(tmp_path):
    volume = plain_volume()
    write_mask(tmp_path / "mask.nii", MASK, volume)
    image = nib.load(tmp_path / "mask.nii")
    expected = np.array([[-0.4, 0, 0, 3], [0, -0.6, 0, -4], [0, 0, 5, 50], [0, 0, 0, 1]])
    for matrix, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(matrix, expected, atol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert read_labels(tmp_path / "mask.nii")[1].corner_distance_mm(volume.grid) < 1e-4


def test_sheared_grid_gets_an_sform_only(tmp_path):
    tilt = np.radians(20)
    volume = plain_volume(direction=((0.0, float(np.sin(tilt)), float(np.cos(tilt))), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)))
    write_mask(tmp_path / "mask.nii", MASK, volume)
    header = nib.load(tmp_path / "mask.nii").header
    assert (header["sform_code"], header["qform_code"]) == (1, 0)
    np.testing.assert_allclose(header["pixdim"][1:4], (0.4, 0.6, 5.0))
    assert read_labels(tmp_path / "mask.nii")[1].voxel_ml == pytest.approx(volume.grid.voxel_ml, rel=1e-6)


def test_mask_of_another_shape_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="a mask of"):
        write_mask(tmp_path / "mask.nii.gz", MASK[1:], plain_volume())
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file lies"):
        write_mask(tmp_path / "file" / "mask.nii.gz", MASK, plain_volume())


def test_scan_round_trip_in_whole_hu(tmp_path):
    volume = plain_volume()
    write_scan(tmp_path / "made.nii.gz", volume)
    again = read_scan(tmp_path / "made.nii.gz")
    np.testing.assert_array_equal(again.hu, volume.hu)
    assert again.grid.corner_distance_mm(volume.grid) < 1e-4
    assert again.name == "made"
    assert nib.load(tmp_path / "made.nii.gz").get_data_dtype() == np.int16


@pytest.mark.parametrize("value", [0.25, 40000.0])
def test_scan_that_int16_cannot_hold_is_float(tmp_path, value):
    hu = head_hu().astype(np.float32)
    hu[0, 0, 0] = value
    write_scan(tmp_path / "made.nii", plain_volume(hu=hu))
    assert nib.load(tmp_path / "made.nii").get_data_dtype() == np.float32
    np.testing.assert_array_equal(read_scan(tmp_path / "made.nii").hu, hu)
