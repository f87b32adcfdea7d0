"""nnU-Net's resampling against SciPy's in whole volumes, and its rules by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from hemoseg.plan import Spline
from hemoseg.preprocess.resample import same_extent
from hemoseg.preprocess.spline import separate_axis, spline_image, spline_labels

CUBIC, LINEAR = Spline(order=3), Spline(order=1)


def zoomed(array, shape, order=3):
    factors = np.array(shape) / array.shape
    new = ndimage.zoom(array.astype(float), factors, order=order, mode="nearest", grid_mode=True)
    return np.clip(new, array.min(), array.max())


@pytest.mark.parametrize("shape", [(13, 17, 9), (5, 30, 22), (11, 13, 40)])
def test_three_axes_together(rng, shape):
    volume = rng.standard_normal((11, 13, 15)).astype(np.float32)
    ours = spline_image(volume[None], same_extent(volume.shape, shape), CUBIC, None)[0]
    assert ours == pytest.approx(zoomed(volume, shape), abs=1e-5)


@pytest.mark.parametrize("apart", [0, 1, 2])
def test_one_axis_apart_takes_the_nearest_plane_each_clipped_to_its_own_range(rng, apart):
    volume = np.moveaxis(rng.standard_normal((4, 13, 15)).astype(np.float32), 0, apart)
    shape = np.array([9, 21])
    planes = np.stack([zoomed(volume.take(i, axis=apart), shape) for i in range(4)])
    expected = np.moveaxis(planes[[0, 1, 1, 2, 3, 3]], 0, apart)  # centers at -0.17, 0.5, 1.17, 1.83, 2.5, 3.17
    ours = spline_image(volume[None], same_extent(volume.shape, expected.shape), CUBIC, apart)[0]
    assert ours == pytest.approx(expected, abs=1e-5)


def test_an_axis_apart_may_have_its_own_order(rng):
    volume = rng.standard_normal((4, 13, 15)).astype(np.float32)
    ours = spline_image(volume[None], same_extent(volume.shape, (7, 13, 15)), Spline(order=3, z_order=1), 0)[0]
    assert ours == pytest.approx(zoomed(volume, (7, 13, 15), order=1), abs=1e-5)


def test_the_largest_share_wins_and_of_equals_the_nearest():
    labels = np.array([[[3, 1, 1, 2, 2, 2]]], dtype=np.uint8)
    halved = spline_labels(labels, same_extent((1, 1, 6), (1, 1, 3)), LINEAR, None)
    assert halved.tolist() == [[[1, 2, 2]]]  # between 3 and 1 lies the center; the higher index is the nearest


def test_by_torch_the_lowest_of_equals_wins():
    labels = np.array([[[3, 1, 1, 2, 2, 2]]], dtype=np.uint8)
    halved = spline_labels(labels, same_extent((1, 1, 6), (1, 1, 3)), Spline(order=1, winner="first"), None)
    assert halved.tolist() == [[[1, 1, 2]]]  # between 1 and 2 lies the center


@pytest.mark.parametrize(("shape", "apart"), [((5, 30, 22), None), ((13, 7, 11), None), ((4, 31, 8), 0)])
def test_by_torch_is_what_torch_does(rng, shape, apart):
    """A share of a thousand in half precision, as `resample_torch_fornnunet` has it; of equals the first."""
    labels = rng.integers(-1, 4, (4, 13, 15)).astype(np.int8)
    ours = spline_labels(labels, same_extent(labels.shape, shape), Spline(order=1, winner="first"), apart)
    values = np.unique(labels)
    masks = torch.from_numpy(np.stack([labels == value for value in values])).float() * 1000
    if apart is None:
        shares = functional.interpolate(masks[None], shape, mode="trilinear")[0]
    else:
        shares = functional.interpolate(masks.flatten(0, 1)[None], shape[1:], mode="bilinear")[0]
        shares = shares.reshape(len(values), -1, *shape[1:])
    assert np.array_equal(ours, values[shares.half().float().argmax(0).numpy()])


def test_a_nearest_label_that_lost_does_not_win_a_tie():
    block = np.array([[[3, 1], [1, 1]], [[2, 2], [2, 3]]], dtype=np.uint8)
    assert spline_labels(block, same_extent((2, 2, 2), (1, 1, 1)), LINEAR, None).item() == 1


@pytest.mark.parametrize(
    ("block", "largest", "half"),
    [
        ([[1, 2], [3, 4]], 4, 0),  # a quarter each: the nearest, or none
        ([[1, 2], [3, 3]], 3, 3),
        ([[2, 2], [1, 1]], 1, 2),  # a half each: the nearest, or the highest
        ([[1, 1], [0, 0]], 0, 1),
        ([[-1, -1], [2, 3]], -1, -1),
        ([[-1, 1], [2, 3]], 3, 0),
    ],
)
def test_in_nnunet_v1_a_label_needs_half_a_voxel(block, largest, half):
    labels = np.array([block], dtype=np.int8)
    maps = same_extent((1, 2, 2), (1, 1, 1))
    assert spline_labels(labels, maps, LINEAR, 0).item() == largest
    assert spline_labels(labels, maps, Spline(order=1, winner="half"), 0).item() == half


def test_labels_apart_along_an_axis_of_order_one_need_more_than_half():
    labels = np.array([1, 1, 0, 2], dtype=np.uint8)[:, None, None]
    rule = Spline(order=1, z_order=1)
    assert spline_labels(labels, same_extent((4, 1, 1), (2, 1, 1)), rule, 0).ravel().tolist() == [1, 0]


def test_order_zero_takes_the_nearest_label(rng):
    labels = rng.integers(0, 4, (3, 6, 6)).astype(np.int8)
    ours = spline_labels(labels, same_extent(labels.shape, (3, 3, 3)), Spline(order=0), None)
    assert np.array_equal(ours, labels[:, 1::2, 1::2])


def test_labels_keep_type_and_what_lies_outside(rng):
    labels = np.full((4, 20, 20), -1, dtype=np.int8)
    labels[:, 4:16, 4:16] = 0
    labels[1, 8:12, 8:12] = 2
    ours = spline_labels(labels, same_extent(labels.shape, (4, 30, 30)), LINEAR, 0)
    assert ours.dtype == np.int8
    assert ours[0, 0, 0] == -1
    assert ours[0, 15, 15] == 0
    assert ours[1, 15, 15] == 2


@pytest.mark.parametrize(
    ("current", "new", "forced", "axis"),
    [
        ((5.0, 0.5, 0.5), (1.0, 1.0, 1.0), None, 0),
        ((1.5, 0.5, 0.5), (1.5, 0.5, 0.5), None, None),  # 3 is not above 3
        ((1.0, 1.0, 1.0), (0.5, 5.0, 0.5), None, 1),
        ((5.0, 5.0, 0.5), (5.0, 0.5, 0.5), None, None),  # the present spacing decides, and has two coarsest axes
        ((2.0, 1.0, 1.0), (1.0, 1.0, 1.0), True, 0),
        ((5.0, 0.5, 0.5), (5.0, 0.5, 0.5), False, None),
    ],
)
def test_which_axis_goes_apart(current, new, forced, axis):
    assert separate_axis(current, new, forced) == axis
