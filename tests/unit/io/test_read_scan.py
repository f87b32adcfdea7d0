import gzip
import hashlib

import nibabel as nib
import numpy as np
import pytest

from hemoseg.errors import GeometryError, InputError
from hemoseg.io import read_scan
from nifti_files import AFFINE_RAS, head_hu, save, set_field


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_voxels_frame_name_and_hash(tmp_path, ending):
    path = save(tmp_path / f"scan.v2{ending}", head_hu())
    volume = read_scan(path)
    np.testing.assert_array_equal(volume.hu, head_hu())
    assert volume.hu.dtype == np.float32
    assert volume.hu.flags.c_contiguous
    assert volume.name == "scan.v2"
    assert volume.grid.shape == (6, 24, 20)
    assert volume.grid.spacing_mm == (5.0, 0.5, 0.5)
    assert volume.grid.direction == ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    assert volume.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [part.source for part in volume.slices] == ["0", "1", "2", "3", "4", "5"]
    assert volume.warnings == ()


def test_path_may_be_text(tmp_path):
    assert read_scan(str(save(tmp_path / "a.nii", head_hu()))).name == "a"


def test_ras_becomes_lps(tmp_path):
    affine = np.array([[2.0, 0, 0, 7], [0, 3, 0, 11], [0, 0, 5, 13], [0, 0, 0, 1]])
    grid = read_scan(save(tmp_path / "a.nii", head_hu(), affine)).grid
    assert grid.world((0.0, 0.0, 0.0)) == (-7, -11, 13)
    assert grid.world((1.0, 2.0, 3.0)) == (-7 - 3 * 2, -11 - 2 * 3, 13 + 5)


@pytest.mark.parametrize("dtype", ["i2", ">i2", "i4", "f4", ">f4", "f8", "i8"])
def test_signed_types_in_both_byte_orders(tmp_path, dtype):
    path = save(tmp_path / "a.nii.gz", head_hu().astype(dtype))
    assert nib.load(path).header.endianness == (">" if dtype.startswith(">") else "<")
    np.testing.assert_array_equal(read_scan(path).hu, head_hu())


@pytest.mark.parametrize("dtype", ["u2", "u4", "u8", "i4", "f8"])
def test_slope_and_intercept_are_honored(tmp_path, dtype):
    stored = ((head_hu().astype(np.int64) + 1024) * 2).astype(dtype)
    path = save(tmp_path / "a.nii", stored)
    set_field(path, "scl_slope", 0.5)
    set_field(path, "scl_inter", -1024)
    np.testing.assert_array_equal(read_scan(path).hu, head_hu())


def test_wide_numbers_are_scaled_before_they_are_rounded(tmp_path):
    path = save(tmp_path / "a.nii", head_hu().astype(np.int32) + 2**26)  # float32 would keep every 8th value
    set_field(path, "scl_slope", 1)
    set_field(path, "scl_inter", -(2**26))
    np.testing.assert_array_equal(read_scan(path).hu, head_hu())


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_slope_that_says_nothing_is_no_slope(tmp_path, slope):
    path = save(tmp_path / "a.nii", head_hu())
    set_field(path, "scl_slope", slope)
    set_field(path, "scl_inter", 5)
    np.testing.assert_array_equal(read_scan(path).hu, head_hu())


def test_eight_bit_files_are_read_with_their_slope(tmp_path):
    path = save(tmp_path / "a.nii", np.clip(head_hu() / 8, -128, 127).astype(np.int8))
    set_field(path, "scl_slope", 8)
    set_field(path, "scl_inter", 0)
    assert read_scan(path).hu.min() == -1000


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_trailing_axes_of_one_are_dropped(tmp_path, shape):
    path = save(tmp_path / "a.nii.gz", head_hu().reshape(*shape, 6, 24, 20))
    assert nib.load(path).ndim == 3 + len(shape)
    np.testing.assert_array_equal(read_scan(path).hu, head_hu())


def test_nifti_2_is_read(tmp_path):
    path = save(tmp_path / "a.nii.gz", head_hu(), kind=nib.Nifti2Image)
    volume = read_scan(path)
    np.testing.assert_array_equal(volume.hu, head_hu())
    assert len(volume.nifti_header) == 540


def test_header_extensions_are_skipped(tmp_path):
    image = nib.Nifti1Image(head_hu().T, AFFINE_RAS)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 5000))
    image.to_filename(tmp_path / "a.nii.gz")
    volume = read_scan(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.hu, head_hu())
    assert volume.warnings == ()


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a.mha", "a.nii.bz2", ".nii", "..nii.gz", ".b.nii", "a"])
def test_other_files_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match=r"expected: a NIfTI file, NAME\.nii or NAME\.nii\.gz"):
        read_scan(tmp_path / name)


def test_absent_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_scan(tmp_path / "a.nii")
    with pytest.raises(InputError, match="a folder"):
        read_scan(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"hello", b"x" * 2000, b"\x1f\x8b" + b"x" * 2000])
def test_other_content_is_refused(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match="try: "):
        read_scan(tmp_path / "a.nii.gz")


def test_header_of_a_pair_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", head_hu())
    data = bytearray(path.read_bytes())
    data[344:348] = b"ni1\0"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"\.hdr/\.img pair"):
        read_scan(path)


def test_several_volumes_are_refused(tmp_path):
    path = save(tmp_path / "a.nii", np.stack([head_hu(), head_hu()]))
    with pytest.raises(InputError, match="2 volumes in one file"):
        read_scan(path)


def test_a_single_slice_is_read_where_it_is_asked_for(tmp_path):
    path = save(tmp_path / "a.nii", head_hu()[:1])
    volume = read_scan(path, least_slices=1)
    assert volume.hu.shape == (1, 24, 20)
    assert any("a single slice: volumes rest on the" in text for text in volume.warnings)
    with pytest.raises(InputError, match="single picture"):
        read_scan(save(tmp_path / "b.nii", head_hu()[:, :1]), least_slices=1)


def test_a_single_slice_may_be_stored_along_any_axis(tmp_path):
    """The file's first axis runs from slice to slice, 4 mm apart."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 4.0, 0.5, 0.5, 1.0
    path = save(tmp_path / "a.nii", np.moveaxis(head_hu()[:1], 0, 2), affine)
    volume = read_scan(path, least_slices=1)
    assert volume.hu.shape == (24, 20, 1)
    assert any("a single slice: volumes rest on the 4 mm" in text for text in volume.warnings)
    with pytest.raises(InputError, match="single picture"):
        read_scan(path)


@pytest.mark.parametrize("shape", [(24, 20), (1, 24, 20), (6, 1, 20)])
def test_pictures_are_refused(tmp_path, shape):
    path = save(tmp_path / "a.nii", np.zeros(shape, dtype=np.int16))
    with pytest.raises(InputError, match=r"dimensions|single picture"):
        read_scan(path)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]), "RGB"),
        (np.dtype("c8"), "complex"),
    ],
)
def test_colors_and_complex_numbers_are_refused(tmp_path, dtype, text):
    path = save(tmp_path / "a.nii", np.zeros((4, 5, 6), dtype=dtype))
    with pytest.raises(InputError, match=text):
        read_scan(path)


def test_size_cap_is_applied_to_the_header_alone(tmp_path):
    path = save(tmp_path / "a.nii.gz", head_hu())
    data = gzip.decompress(path.read_bytes())[:352]
    path.write_bytes(gzip.compress(data))  # no voxels at all: only the header can be the reason
    with pytest.raises(InputError, match=r"2,880 voxels.*\n.*at most 2,879"):
        read_scan(path, max_voxels=2879)


def test_a_scan_as_large_as_the_cap_is_read(tmp_path):
    path = save(tmp_path / "a.nii.gz", head_hu())
    assert read_scan(path, max_voxels=2880).hu.size == 2880


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = save(tmp_path / "a.nii", head_hu())
    set_field(path, "dim", [3, 600, 600, 700, 1, 1, 1, 1])
    with pytest.raises(InputError, match=r"at most 6,112 bytes\n.*504,000,352 bytes"):
        read_scan(path)
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match=r"504,000,352 bytes"):
        read_scan(path.with_suffix(".nii.gz"))


@pytest.mark.parametrize(
    "dim", [[3, -20, 24, 6], [3, 20, 0, 6], [0, 20, 24, 6], [8, 20, 24, 6], [-3, 20, 24, 6], [2, 20, 24, 6]]
)
def test_senseless_dimensions_are_refused(tmp_path, dim):
    path = save(tmp_path / "a.nii", head_hu())
    set_field(path, "dim", [*dim, 1, 1, 1, 1])
    with pytest.raises(InputError, match="dimensions"):
        read_scan(path)


@pytest.mark.parametrize("offset", [-352, 100, 1e12, np.nan, np.inf])
def test_senseless_start_of_voxels_is_refused(tmp_path, offset):
    path = save(tmp_path / "a.nii", head_hu())
    set_field(path, "vox_offset", offset)
    with pytest.raises(InputError, match="start at byte"):
        read_scan(path)


def test_start_of_voxels_may_be_left_out(tmp_path):
    path = save(tmp_path / "a.nii", head_hu())
    set_field(path, "vox_offset", 0)
    np.testing.assert_array_equal(read_scan(path).hu, head_hu())


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_files_cut_short_are_refused(tmp_path, ending, kept):
    path = save(tmp_path / f"a{ending}", head_hu())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=r"copy the file again|single-file NIfTI"):
        read_scan(path)


@pytest.mark.parametrize(("ending", "kept"), [(".nii", 347), (".nii", 1), (".nii.gz", 30), (".nii.gz", 12)])
def test_files_cut_within_their_header_are_told_so(tmp_path, ending, kept):
    path = save(tmp_path / f"a{ending}", head_hu())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="cut short") as caught:
        read_scan(path)
    assert "copy the file again" in str(caught.value.remedy)


def test_a_flipped_bit_is_found_by_the_check_sum(tmp_path):
    path = save(tmp_path / "a.nii.gz", head_hu())
    data = bytearray(path.read_bytes())
    data[-8] ^= 1  # in the stored CRC-32
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_scan(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_surplus_data_are_told(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    plain = save(tmp_path / "b.nii", head_hu()).read_bytes() + b"more"
    path.write_bytes(gzip.compress(plain) if ending.endswith("gz") else plain)
    volume = read_scan(path)
    np.testing.assert_array_equal(volume.hu, head_hu())
    assert any("surplus" in text for text in volume.warnings)


def test_scale_that_is_no_number_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", head_hu())
    set_field(path, "scl_slope", 1)
    set_field(path, "scl_inter", np.nan)
    with pytest.raises(InputError, match="scl_inter nan"):
        read_scan(path)


def test_geometry_errors_are_input_errors(tmp_path):
    with pytest.raises(GeometryError):
        read_scan(save(tmp_path / "a.nii", head_hu(), np.diag([1.0, 1.0, 0.0, 1.0])))


def test_nothing_is_logged_or_printed(tmp_path, caplog, capfd):
    path = save(tmp_path / "a.nii", head_hu())
    set_field(path, "bitpix", 77)
    set_field(path, "qform_code", 99)
    set_field(path, "quatern_b", 9)
    read_scan(path)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
