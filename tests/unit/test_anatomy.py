"""The head's box, against the plain rule written with scipy, on small volumes and real heads."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from hemoseg.anatomy import box_shape, head_box
from hemoseg.io import read_scan


def plain_box(hu: np.ndarray) -> tuple[slice, slice, slice]:
    """Largest component above -10 HU after an in-plane opening, without any of the code under test."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    numbered, count = ndimage.label(ndimage.binary_opening(hu > -10, structure=cross))
    if count == 0:
        return tuple(slice(0, size) for size in hu.shape)
    sizes = ndimage.sum_labels(np.ones(hu.shape), numbered, np.arange(1, count + 1))
    return ndimage.find_objects(numbered)[int(np.argmax(sizes))]


def test_a_thin_bridge_is_cut_and_the_larger_part_is_the_head() -> None:
    hu = np.full((2, 13, 12), -1000, dtype=np.int16)
    hu[:, 2:7, 3:9] = 35  # head: rows 2 to 6, columns 3 to 8
    hu[:, 7:10, 5] = 35  # a bridge to the table, rows 7 to 9
    hu[:, 10:13, 4:7] = 35
    # Row 7 stays, as the lowest arm of the cross around (6, 5), and row 9 as the highest of that around (10, 5);
    # no cross holds row 8.
    assert head_box(hu) == (slice(0, 2), slice(2, 8), slice(3, 9))
    assert box_shape(head_box(hu)) == (2, 6, 6)


def test_nothing_bright_is_the_whole_volume() -> None:
    assert head_box(np.full((2, 3, 4), -1000, dtype=np.int16)) == (slice(0, 2), slice(0, 3), slice(0, 4))
    thin = np.full((2, 1, 9), 40, dtype=np.float32)  # no cross fits
    assert head_box(thin) == (slice(0, 2), slice(0, 1), slice(0, 9))


def test_minus_ten_is_air_and_any_type_or_clamp_gives_the_same_box() -> None:
    hu = np.full((1, 9, 9), -10, dtype=np.int16)
    hu[0, 2:7, 2:6] = -9
    box = (slice(0, 1), slice(2, 7), slice(2, 6))
    assert head_box(hu) == head_box(hu.astype(np.float32)) == head_box(np.clip(hu, -20, 100)) == box


@pytest.mark.parametrize("seed", range(40))
def test_random_volumes_equal_the_plain_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 14, 3))
    hu = ndimage.gaussian_filter(rng.normal(0, 60, shape), rng.uniform(0, 1.2)).astype(np.float32) - 10
    assert head_box(hu) == plain_box(hu)
    turned = hu.transpose(2, 0, 1)[::-1]
    assert head_box(turned) == plain_box(turned)


@pytest.mark.data
def test_real_heads_equal_the_plain_rule(data: Path) -> None:
    scans = [*sorted((data / "phe-sich" / "imagesTr").glob("*.nii.gz")), data / "nifti" / "cranium.nii.gz"]
    assert len(scans) > 10
    for scan in scans:
        volume = read_scan(scan)
        hu = volume.grid.canonical_orientation().apply(volume.hu)
        assert head_box(hu) == plain_box(np.clip(hu, np.float32(-20), np.float32(100))), scan.name
