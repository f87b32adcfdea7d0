"""Labels by shares: volumes are kept, equal shares favor nobody."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.preprocess import resample_labels
from hemoseg.preprocess.shares import assign


def ball(shape, radius, number=1):
    grid = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    return (sum(axis**2 for axis in grid) < radius**2).astype(np.uint8) * np.uint8(number)


@given(st.integers(5, 9), st.tuples(*[st.integers(10, 40)] * 3))
@settings(max_examples=40)
def test_every_class_keeps_its_volume_to_half_a_voxel(radius, shape):
    labels = ball((20, 20, 20), radius)
    labels[:, :10][labels[:, :10] > 0] = 2
    there = resample_labels(labels, shape)
    scale = np.prod(shape) / labels.size
    for number in (1, 2):
        due = np.count_nonzero(labels == number) * scale
        assert abs(np.count_nonzero(there == number) - due) <= 0.5 + 1e-9


def test_what_is_thinner_than_a_voxel_is_not_lost():
    labels = np.zeros((8, 40, 40), dtype=np.uint8)
    labels[2:6, 5:35, 20] = 1
    assert np.count_nonzero(resample_labels(labels, (8, 10, 10))) == 4 * 30 // 16 + 1


def test_half_of_equal_shares_is_won():
    """Every block is half full: majority with a fixed winner would give all blocks or none."""
    shares = np.full((2, 1, 40, 40), 0.5, dtype=np.float32)
    chosen = assign(shares, None)
    assert chosen.mean() == pytest.approx(0.5, abs=0.02)
    quarters = chosen.reshape(2, 20, 2, 20).mean(axis=(1, 3))
    assert quarters == pytest.approx(np.full((2, 2), 0.5), abs=0.05)


def test_of_equal_voxels_those_amid_their_class_are_won_first():
    shares = np.zeros((2, 1, 9, 9), dtype=np.float32)
    shares[1, 0, 1:8, 1:8] = 0.5
    shares[0] = 1 - shares[1]
    chosen = assign(shares, [25])
    assert np.count_nonzero(chosen) == 25
    assert chosen[0, 2:7, 2:7].all()


def test_nothing_is_given_to_a_class_that_is_not_there():
    shares = np.zeros((2, 1, 4, 4), dtype=np.float32)
    shares[0] = 1
    shares[:, 0, 0, 0] = 0.4, 0.6
    assert np.argwhere(assign(shares, [5])).tolist() == [[0, 0, 0]]


def test_a_class_that_only_neighbors_another_one_keeps_its_volume():
    """Background has to give to class 1 what class 1 gives to class 2."""
    labels = np.zeros((40, 41, 37), dtype=np.uint8)
    labels[18:20, 10:30, 10:30] = 1
    labels[20, 10:30, 10:30] = 2
    there = resample_labels(labels, (19, 41, 37))
    assert np.bincount(there.ravel())[1:].tolist() == [round(800 * 19 / 40), round(400 * 19 / 40)]
    back = resample_labels(there, labels.shape)
    assert np.bincount(back.ravel())[1:].tolist() == [800, 400]


@given(st.integers(0, 2**32 - 1), st.integers(8, 40), st.integers(8, 40), st.integers(2, 5))
@settings(max_examples=60)
def test_layers_of_any_thickness_keep_their_volumes(seed, slices, new_slices, classes):
    rng = np.random.default_rng(seed)
    labels = np.zeros((slices, 24, 24), dtype=np.uint8)
    labels[2:-2, 6:18, 6:18] = np.sort(rng.integers(0, classes + 1, slices - 4))[:, None, None]
    there = resample_labels(labels, (new_slices, 24, 24))
    due = np.bincount(labels.ravel(), minlength=classes + 1) * new_slices / slices
    found = np.bincount(there.ravel(), minlength=classes + 1)
    assert np.abs(found - due)[1:].max() <= 0.5 + 1e-9
