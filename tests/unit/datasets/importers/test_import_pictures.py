"""Two windows joined, masks as pictures, the nominal grid."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from hemoseg.datasets.importers.core import WindowedScan, WindowedSlice
from hemoseg.datasets.importers.pictures import (
    BOUNDS_HU,
    fill_between,
    join_windows,
    nominal_grid,
    read_mask_picture,
    read_picture,
)
from hemoseg.datasets.importers.windowed import read_windowed
from hemoseg.errors import GeometryError, InputError, LabelError
from source_sets import picture, windowed, write_pictures


def joined(brain: int, bone: int) -> float:
    return float(join_windows(np.array([[brain]], dtype=np.uint8), np.array([[bone]], dtype=np.uint8))[0, 0])


def test_levels_by_hand():
    """Brain: -20 + 120 v / 255; bone: -900 + 3200 v / 255; rounded to whole HU."""
    assert BOUNDS_HU == (-900, 2300)
    assert joined(127, 70) == round(-20 + 127 * 120 / 255)  # 39.76: brain, not saturated
    assert joined(0, 0) == -900
    assert joined(255, 255) == 2300
    assert joined(255, 100) == round(-900 + 100 * 3200 / 255)  # 354.9: bone


@pytest.mark.parametrize(
    ("brain", "bone", "hu"),
    [
        (0, 71, -20),  # the bone window says -9: no lower than the brain window's end
        (255, 78, 100),  # and 79: no higher than its other end
        (3, 0, -900),  # air that JPEG shifted
        (248, 180, 1359),  # bone that JPEG shifted
        (9, 0, -16),  # further from the end than JPEG shifts: the brain window is believed
        (246, 180, 96),
        (3, 71, -19),  # near the end and the bone window disagrees: the finer window is believed
    ],
)
def test_what_jpeg_makes_of_saturated_pixels(brain: int, bone: int, hu: float):
    assert joined(brain, bone) == hu


@given(st.floats(-1200, 2500))
@example(98.0)  # level 251 of the brain window, from where the bone window is believed: it says 104
def test_hu_come_back_within_half_a_step(hu: float):
    """Without JPEG: half a step of the window that holds the value, and half a HU of rounding.

    Within eight levels of its ends the brain window may be saturated by JPEG, and either window holds the value.
    """
    levels = [np.array([[windowed(np.array(hu), *bounds)]], dtype=np.uint8) for bounds in ((-20, 100), (-900, 2300))]
    back = float(join_windows(levels[0], levels[1])[0, 0])
    step = 120 / 255 if -16 <= hu <= 96 else 3200 / 255
    assert abs(back - np.clip(hu, -900, 2300)) <= step / 2 + 0.5


def test_a_missing_slice_lies_on_the_line():
    below, above = np.full((2, 2), 10, np.float32), np.full((2, 2), 40, np.float32)
    assert fill_between(below, above, 1 / 3).tolist() == [[20, 20], [20, 20]]


def test_the_head_lies_in_the_radiological_frame():
    """Row 0 is anterior, column 0 the patient's right, slice 0 lowest; the picture's middle is the origin."""
    grid = nominal_grid((3, 5, 7), (5.0, 0.4, 0.4))
    assert grid.world((0.0, 2.0, 3.0)) == (0, 0, 0)
    x, y, z = grid.world((2.0, 4.0, 6.0))
    assert (x, y, z) == pytest.approx((1.2, 0.8, 10))  # LPS: left, posterior, superior
    assert grid.spacing_mm == pytest.approx((5, 0.4, 0.4))
    canonical = grid.canonical_orientation()
    assert (canonical.axes, canonical.flips) == ((0, 1, 2), (False, False, False))


def scan_of(folder: Path, numbers: range, *, masks: tuple[int, ...] = ()) -> WindowedScan:
    def there(path: Path) -> Path | None:
        return path if path.is_file() else None

    return WindowedScan(
        slices=tuple(
            WindowedSlice(
                brain=there(folder / "brain" / f"{number}.jpg"),
                bone=there(folder / "bone" / f"{number}.jpg"),
                mask=there(folder / "brain" / f"{number}_HGE_Seg.jpg"),
            )
            for number in numbers
        )
    )


def test_a_scan_of_pictures(tmp_path: Path):
    hu = write_pictures(tmp_path, 7, missing=(2, 3), masks=(4,))
    volume, labels = read_windowed(
        scan_of(tmp_path / "Patients_CT/007", range(1, 6)), name="a", spacing_mm=(5.0, 0.4, 0.4)
    )
    brain = (slice(None), slice(26, 38), slice(18, 30))  # away from edges, which JPEG blurs
    assert volume.hu.shape == hu.shape
    assert np.abs(volume.hu[brain][[0, 3, 4]] - hu[brain][[0, 3, 4]]).max() <= 2
    assert volume.hu[1][brain[1:]].mean() == pytest.approx(25 + 5, abs=1)  # between 25 and 40
    assert volume.hu[2][brain[1:]].mean() == pytest.approx(25 + 10, abs=1)
    assert volume.hu[0, 0, 0] == pytest.approx(-900, abs=30)
    assert volume.hu[0, 6, 20] == pytest.approx(900, abs=30)
    assert labels is not None
    assert labels.sum(axis=(1, 2)).tolist() == [0, 0, 0, 64, 0]
    assert labels[3, 16:24, 8:16].all()


def test_a_scan_without_masks_has_no_labels(tmp_path: Path):
    write_pictures(tmp_path, 7)
    _, labels = read_windowed(scan_of(tmp_path / "Patients_CT/007", range(1, 6)), name="a", spacing_mm=(5.0, 1.0, 1.0))
    assert labels is None


def test_pictures_of_two_sizes_are_refused(tmp_path: Path):
    write_pictures(tmp_path, 7)
    picture(tmp_path / "Patients_CT/007/bone/3.jpg", np.zeros((48, 41)))
    with pytest.raises(GeometryError, match=r"3\.jpg.*\(48, 41\) pixels"):
        read_windowed(scan_of(tmp_path / "Patients_CT/007", range(1, 6)), name="a", spacing_mm=(5.0, 1.0, 1.0))


def test_what_is_no_gray_picture_is_refused(tmp_path: Path):
    color = tmp_path / "color.jpg"
    Image.new("RGB", (8, 8)).save(color)
    with pytest.raises(InputError, match="8 x 8 pixels of kind RGB"):
        read_picture(color)
    cut = picture(tmp_path / "cut.jpg", np.arange(4096).reshape(64, 64) % 256)
    cut.write_bytes(cut.read_bytes()[:700])
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(cut)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path / "text.jpg")
    wide = tmp_path / "wide.jpg"
    Image.new("L", (5000, 1)).save(wide)
    with pytest.raises(InputError, match="5000 x 1 pixels"):
        read_picture(wide)


def test_a_mask_is_black_and_white(tmp_path: Path):
    levels = np.zeros((40, 40))
    levels[10:30, 10:30] = 255
    assert read_mask_picture(picture(tmp_path / "mask.jpg", levels)).sum() == 400
    levels[10:30, 10:16] = 128
    with pytest.raises(LabelError, match="gray pixels"):
        read_mask_picture(picture(tmp_path / "gray.jpg", levels))
    assert not read_mask_picture(picture(tmp_path / "empty.jpg", np.zeros((8, 8)))).any()
