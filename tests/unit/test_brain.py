"""Where the brain can be: in heads, heads without a piece of bone, clipped heads, air."""

from dataclasses import replace

import numpy as np
import pytest

from hemoseg.brain import find_brain
from hemoseg.geometry import Orientation, uniform_slices
from hemoseg.io import read_labels, read_scan
from hemoseg.phantom import PhantomSpec, make_phantom
from plans import head_volume


def everywhere(volume):
    """The region of every voxel, as stored."""
    return find_brain(volume).at([np.arange(size) for size in volume.hu.shape])


def head(shape=(20, 160, 160), spacing_mm=(5.0, 1.5, 1.5)):
    """An ellipsoid of scalp, bone and brain of 170 x 140 mm in 240 mm of air."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    hu = np.full(shape, -1000.0, dtype=np.float32)
    for size, value in (((70, 95, 80), 30), ((62, 87, 72), 900), ((57, 82, 67), 35)):
        hu[(z / size[0]) ** 2 + (y / size[1]) ** 2 + (x / size[2]) ** 2 < 1] = value
    volume = head_volume(shape, spacing_mm)
    return replace(volume, hu=hu), hu == 35


def test_all_of_the_brain_is_in_and_most_of_the_air_is_not():
    volume, brain = head()
    region = everywhere(volume)
    assert region[brain].all()
    assert region.mean() < 0.7
    assert not region[:, :8].any()


def test_blood_in_phantoms_is_in():
    for seed, site in enumerate(("deep", "lobar")):
        phantom = make_phantom(
            PhantomSpec(
                site=site,
                side="left",
                volume_ml=20.0,
                edema_ml=15.0,
                seed=seed,
                shape=(14, 64, 64),
                spacing_mm=(10.0, 3.2, 3.2),
            )
        )
        assert everywhere(phantom.volume)[phantom.reference > 0].all()


@pytest.mark.parametrize(("low_hu", "high_hu"), [(-20, 100), (0, 80)])
def test_scans_clipped_to_a_window_tell_as_much(low_hu, high_hu):
    volume, brain = head()
    clipped = replace(volume, hu=np.clip(volume.hu, low_hu, high_hu))
    if low_hu < 0:
        assert np.array_equal(everywhere(clipped), everywhere(volume))
    assert everywhere(clipped)[brain].all()


def test_where_a_piece_of_bone_is_missing_all_around_is_in():
    volume, brain = head()
    hu = volume.hu.copy()
    hu[8:12, :, 100:][hu[8:12, :, 100:] == 900] = 30
    opened = everywhere(replace(volume, hu=hu))
    assert opened[brain].all()
    assert opened[9].sum() > everywhere(volume)[9].sum()


def test_a_head_without_bone_is_its_box():
    volume, _ = head()
    soft = replace(volume, hu=np.minimum(volume.hu, 35).astype(np.float32))
    region = everywhere(soft)
    assert region[soft.hu > 0].all()
    assert region.mean() < 0.8


def test_air_has_no_brain_and_single_slices_do():
    volume, _ = head()
    air = replace(volume, hu=np.full_like(volume.hu, -1000))
    assert find_brain(air).is_empty
    one = head_volume((1, 40, 36))
    assert everywhere(one)[one.hu > 0].all()


@pytest.mark.parametrize(("axes", "flips"), [((1, 2, 0), (True, False, True)), ((2, 0, 1), (False, True, False))])
def test_the_order_of_axes_does_not_matter(axes, flips):
    volume, _ = head()
    orientation = Orientation(axes=axes, flips=flips)
    grid = volume.grid.reoriented(orientation)
    turned = replace(
        volume, hu=np.ascontiguousarray(orientation.apply(volume.hu)), grid=grid, slices=uniform_slices(grid)
    )
    assert np.array_equal(everywhere(turned), orientation.apply(everywhere(volume)))


@pytest.mark.data
def test_no_labeled_voxel_of_real_scans_is_out(data):
    shares = []
    for path in sorted((data / "phe-sich" / "imagesTr").glob("*_0000.nii.gz")):
        volume = read_scan(path)
        labels, _ = read_labels(data / "phe-sich" / "labelsTr" / path.name.replace("_0000", ""))
        region = everywhere(volume)
        assert region[labels > 0].all(), path.name
        shares.append(region.mean())
    assert len(shares) == 80
    assert np.median(shares) < 0.5
