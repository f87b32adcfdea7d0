"""Whatever the bytes, the reader returns a volume or says what is wrong; what is written reads back."""

import gzip
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hemoseg.errors import InputError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io import read_labels, read_scan, write_mask, write_scan
from nifti_files import head_hu, random_rotation, save

patches = st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def good(folder):
    """A valid file, uncompressed, with sform and qform."""
    affine = np.diag([-0.5, -0.5, 5.0, 1.0])
    return save(folder / "good.nii", head_hu(), affine, qform=affine).read_bytes()


def volume_or_error(path):
    """Read as a scan and as labels: only our own errors may come out."""
    with suppress(InputError):
        read_labels(path)
    try:
        volume = read_scan(path, assume_hu=True)
    except InputError:
        return None
    assert np.all(np.isfinite(volume.hu))
    assert np.all(np.isfinite(volume.grid.affine_lps))
    assert volume.hu.shape == volume.grid.shape
    assert volume.grid.voxel_ml > 0
    return volume


@given(changes=patches, zipped=st.booleans())
@example(changes=[(42, 255), (43, 127)], zipped=False)  # dim[1] of 32767
@example(changes=[(0, 92), (1, 1), (2, 0), (3, 0)], zipped=True)  # sizeof_hdr of 348, as it is
@example(changes=[(0, 28), (1, 2)], zipped=False)  # sizeof_hdr of 540: NIfTI-2
@settings(max_examples=250)
def test_damaged_headers(folder, good, changes, zipped):
    data = bytearray(good)
    for place, value in changes:
        data[place] = value
    path = folder / "damaged.nii"
    path.write_bytes(gzip.compress(data, 1) if zipped else data)
    volume = volume_or_error(path)
    if volume is not None:  # what can be read can be written back
        write_mask(folder / "mask.nii", np.zeros(volume.grid.shape, dtype=np.uint8), volume)
        assert read_labels(folder / "mask.nii")[1] == volume.grid


@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4), kept=st.floats(0, 1))
@settings(max_examples=100)
def test_damaged_gzip_streams(folder, good, places, kept):
    data = bytearray(gzip.compress(good, 1))
    for share, change in places:
        data[int(share * (len(data) - 1))] ^= change
    path = folder / "damaged.nii.gz"
    path.write_bytes(data[: int(kept * len(data))])
    volume = volume_or_error(path)
    assert volume is None or volume.hu.shape == volume.grid.shape


@given(st.binary(max_size=2000))
@settings(max_examples=100)
def test_arbitrary_bytes(folder, data):
    path = folder / "noise.nii.gz"
    path.write_bytes(data)
    assert volume_or_error(path) is None


@given(
    seed=st.integers(0, 2**32),
    spacing=st.tuples(*[st.floats(0.2, 10.0)] * 3),
    origin=st.tuples(*[st.floats(-500.0, 500.0)] * 3),
    shear=st.floats(-0.5, 0.5),
    whole=st.booleans(),
)
@settings(max_examples=80)
def test_what_is_written_reads_back(folder, seed, spacing, origin, shear, whole):
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(rng) @ np.array([[1, 0, 0], [shear, 1, 0], [0, 0, 1]]) * spacing
    affine[:3, 3] = origin
    hu = head_hu(seed=seed).astype(np.float32) + (0 if whole else np.float32(0.125))
    grid = Grid.from_affine((6, 24, 20), affine)
    volume = Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name="scan")
    write_scan(folder / "scan.nii.gz", volume)
    again = read_scan(folder / "scan.nii.gz")
    np.testing.assert_array_equal(again.hu, hu)
    assert again.grid.corner_distance_mm(grid) < 1e-3
    assert again.grid.voxel_ml == pytest.approx(grid.voxel_ml, rel=1e-5)
    labels = rng.integers(0, 5, grid.shape).astype(np.uint8)
    write_mask(folder / "mask.nii.gz", labels, again)
    values, mask_grid = read_labels(folder / "mask.nii.gz")
    np.testing.assert_array_equal(values, labels)
    assert mask_grid == again.grid
