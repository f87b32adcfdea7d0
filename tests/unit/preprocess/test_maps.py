"""Matrices of one axis: hand-checked rows, and SciPy's own interpolation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hemoseg.preprocess.maps import AxisMap, average_matrix, bands, spline_matrix

sizes = st.integers(2, 90)


def test_a_center_between_two_samples_takes_the_higher_one():
    assert AxisMap.same_extent(4, 2).nearest().tolist() == [1, 3]
    assert AxisMap.same_extent(2, 4).nearest().tolist() == [0, 0, 1, 1]


def test_averages_of_an_axis_that_begins_elsewhere():
    shifted = average_matrix(AxisMap(size=4, new_size=1, low=0.5, ratio=2.0)).toarray()
    assert shifted.tolist() == [[0.25, 0.5, 0.25, 0.0]]
    beyond = average_matrix(AxisMap(size=4, new_size=1, low=3.0, ratio=2.0)).toarray()[0]
    assert beyond.tolist() == [0.0, 0.0, 0.0, 1.0]


def test_linear_weights_of_pooled_pixels():
    """Three pixels in blocks of two: the second block reaches beyond the axis, centers stay where they are."""
    back = average_matrix(AxisMap(size=2, new_size=3, low=0.0, ratio=0.5)).toarray()
    assert back.tolist() == [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75]]


@given(sizes, sizes, st.sampled_from([1, 3]))
@settings(max_examples=40)
def test_splines_are_those_of_scipy(size, new_size, order):
    samples = np.random.default_rng(size).standard_normal(size)
    expected = ndimage.zoom(samples, new_size / size, order=order, mode="nearest", grid_mode=True)
    assert spline_matrix(AxisMap.same_extent(size, new_size), order) @ samples == pytest.approx(expected, abs=1e-6)


@given(sizes, sizes, st.sampled_from([1, 3]))
@settings(max_examples=40)
def test_bands_are_the_whole_matrix(size, new_size, order):
    way = AxisMap.same_extent(size, new_size)
    whole = np.zeros((new_size, size))
    for band in bands(way, order):
        whole[band.rows, band.columns] = band.weights
    assert whole == pytest.approx(spline_matrix(way, order), abs=1e-6)


def test_bands_leave_most_columns_out():
    widest = max(band.weights.shape[1] for band in bands(AxisMap.same_extent(512, 470), 3))
    assert widest < 110
