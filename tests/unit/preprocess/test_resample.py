"""Resampling: hand-checked rows, and what holds for all sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.preprocess.resample import axis_operator, resample, resample_labels

sizes = st.integers(1, 40)


def test_going_coarser_averages_the_covered_interval():
    assert axis_operator(4, 2).toarray().tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    third = axis_operator(3, 2).toarray()
    assert third == pytest.approx(np.array([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]))


def test_going_finer_interpolates_linearly_and_holds_the_border():
    assert axis_operator(2, 4).toarray().tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]


@given(sizes, sizes)
@settings(max_examples=60)
def test_constants_stay_and_means_are_kept_going_coarser(size, new_size):
    rows = axis_operator(size, new_size).toarray()
    assert rows.sum(axis=1) == pytest.approx(np.ones(new_size), abs=1e-5)
    assert rows.min() >= 0
    if new_size <= size:
        assert rows.sum(axis=0) == pytest.approx(np.full(size, new_size / size), abs=1e-5)


def test_channels_are_resampled_alike(rng):
    stack = rng.standard_normal((2, 5, 6, 7)).astype(np.float32)
    both = resample(stack, (3, 12, 7))
    assert both.shape == (2, 3, 12, 7)
    assert np.array_equal(both[1], resample(stack[1], (3, 12, 7)))


def test_same_shape_changes_nothing(rng):
    array = rng.standard_normal((4, 5, 6)).astype(np.float32)
    assert np.array_equal(resample(array, (4, 5, 6)), array)


def test_labels_keep_their_values_and_large_regions_their_share(rng):
    labels = np.zeros((8, 32, 32), dtype=np.uint8)
    labels[2:6, 8:24, 8:24] = 2
    small = resample_labels(labels, (4, 16, 16))
    assert set(np.unique(small)) == {0, 2}
    assert (small == 2).sum() * 8 == (labels == 2).sum()


def test_a_tie_goes_to_background():
    labels = np.zeros((1, 1, 2), dtype=np.uint8)
    labels[0, 0, 1] = 1
    assert resample_labels(labels, (1, 1, 1)).item() == 0
