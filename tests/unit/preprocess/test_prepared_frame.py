"""Where a prepared grid lies in its scan, by hand."""

import pytest

from hemoseg.preprocess.frame import Frame


def box(z, y, x):
    return slice(*z), slice(*y), slice(*x)


def test_a_crop_keeps_its_own_voxels():
    frame = Frame.of((10, 20, 30)).cropped(box((2, 9), (3, 13), (0, 30)))
    assert frame.kept() == box((2, 9), (3, 13), (0, 30))
    assert all(way.is_identity for way in frame.back())


def test_a_crop_of_a_coarser_grid_keeps_the_voxels_whose_centers_it_holds():
    """Voxels of 1.5: those from 1 up to 3 cover 1.5 to 4.5, which holds the centers 1.5, 2.5 and 3.5, and 4.5."""
    frame = Frame.of((1, 1, 12)).scaled((1, 1, 8), (1.0, 1.0, 1.5)).cropped(box((0, 1), (0, 1), (1, 3)))
    assert frame.kept()[2] == slice(1, 5)
    way = frame.back()[2]
    assert (way.size, way.new_size) == (2, 4)
    assert (way.low, way.ratio) == (pytest.approx(-1 / 3), pytest.approx(2 / 3))


def test_partial_blocks_reach_beyond_the_scan_but_keep_only_its_voxels():
    frame = Frame.of((1, 5, 5)).scaled((1, 3, 3), (1.0, 2.0, 2.0))
    assert frame.kept() == box((0, 1), (0, 5), (0, 5))
    way = frame.back()[1]
    assert way.centers().tolist() == [-0.25, 0.25, 0.75, 1.25, 1.75]


def test_two_resamplings_are_one_way_back():
    frame = Frame.of((30, 1, 1)).scaled((150, 1, 1), (0.2, 1.0, 1.0)).cropped(box((50, 100), (0, 1), (0, 1)))
    frame = frame.scaled((25, 1, 1), (2.0, 1.0, 1.0))
    assert frame.kept()[0] == slice(10, 20)
    way = frame.back()[0]
    assert (way.low, way.ratio) == (0.0, 2.5)


def test_another_order_of_axes_carries_everything_along():
    frame = Frame.of((10, 20, 30)).cropped(box((1, 9), (2, 18), (3, 27))).transposed((2, 0, 1))
    assert frame.axes == (2, 0, 1)
    assert frame.shape == (24, 8, 16)
    assert frame.kept() == box((3, 27), (1, 9), (2, 18))
