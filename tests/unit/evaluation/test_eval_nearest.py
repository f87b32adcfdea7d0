"""Nearest cells against SciPy's distance transform: bit for bit where columns find them, to rounding by the tree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from hemoseg.evaluation import nearest
from hemoseg.evaluation.nearest import COLUMN_CELLS, column_distances, distances_mm

SPACINGS_MM = [(5.0, 0.47, 0.47), (1.0, 1.0, 1.0), (0.3, 5.0, 0.9), (0.6, 0.45, 2.5)]


def found(target, spacing_mm, points):
    return distances_mm([points], [np.flatnonzero(target)], column_distances(target[None]), spacing_mm)[0]


def expected(target, spacing_mm, points):
    return ndimage.distance_transform_edt(~target, sampling=spacing_mm).ravel()[points]


@settings(max_examples=60)
@given(st.tuples(*[st.integers(1, 8)] * 3).flatmap(lambda shape: arrays(bool, shape)), st.sampled_from(SPACINGS_MM))
def test_every_cell_of_small_arrays(target, spacing_mm):
    if target.any():
        points = np.arange(target.size)
        assert found(target, spacing_mm, points).tolist() == expected(target, spacing_mm, points).tolist()


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
@pytest.mark.parametrize("count", [1, 3, 300])
def test_cells_beyond_the_reach_of_columns(rng, spacing_mm, count):
    target = np.zeros((6, 3 * COLUMN_CELLS, 20), dtype=bool)
    target.ravel()[rng.choice(target.size, count, replace=False)] = True
    points = rng.choice(target.size, 400, replace=False)
    assert found(target, spacing_mm, points) == pytest.approx(expected(target, spacing_mm, points), rel=1e-14)


@settings(max_examples=60)
@given(
    st.tuples(*[st.integers(1, 8)] * 3).flatmap(lambda shape: arrays(bool, (2, *shape))), st.sampled_from(SPACINGS_MM)
)
def test_sets_do_not_see_the_cells_of_each_other(targets, spacing_mm):
    """Their rows lie beside each other in memory."""
    if targets.any(axis=(1, 2, 3)).all():
        points = [np.arange(targets[0].size), np.arange(1, targets[1].size)]
        cells = [np.flatnonzero(target) for target in targets]
        both = distances_mm(points, cells, column_distances(targets), spacing_mm)
        alone = [expected(target, spacing_mm, some) for target, some in zip(targets, points, strict=True)]
        assert [mm.tolist() for mm in both] == [mm.tolist() for mm in alone]


@pytest.mark.parametrize("width", [16, 17, 18, 80])
def test_columns_beyond_the_ends_of_rows_are_empty(rng, width):
    """Few cells, so that columns as far away as a row is long are visited; x is short, so that they are near."""
    targets = np.zeros((2, 3, 6, width), dtype=bool)
    for target in targets:
        target.ravel()[rng.choice(target.size, 2, replace=False)] = True
    points, cells = [np.arange(target.size) for target in targets], [np.flatnonzero(target) for target in targets]
    for mm, target in zip(
        distances_mm(points, cells, column_distances(targets), (1.0, 1.0, 0.125)), targets, strict=True
    ):
        assert mm.tolist() == expected(target, (1.0, 1.0, 0.125), np.arange(target.size)).tolist()


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 500.0), (500.0, 1.0, 500.0)])
def test_neighboring_columns_out_of_reach(spacing_mm):
    target = np.zeros((2, 3 * COLUMN_CELLS, 2), dtype=bool)
    target[1, 0, 1] = True
    points = np.arange(target.size)
    assert found(target, spacing_mm, points) == pytest.approx(expected(target, spacing_mm, points), rel=1e-14)


@pytest.mark.parametrize("always", [True, False])
def test_columns_and_tree_find_the_same(rng, monkeypatch, always):
    """Which of them looks is a matter of speed."""
    cost = 0 if always else 10**9
    monkeypatch.setattr(nearest, "TREE_POINT", cost)
    monkeypatch.setattr(nearest, "TREE_BUILD", cost)
    target = np.zeros((9, 40, 50), dtype=bool)
    target.ravel()[rng.choice(target.size, 25, replace=False)] = True
    points = rng.choice(target.size, 500, replace=False)
    assert found(target, (5.0, 0.47, 0.47), points).tolist() == expected(target, (5.0, 0.47, 0.47), points).tolist()


def test_distances_along_columns_are_capped():
    marked = np.zeros((1, 1, 200, 1), dtype=bool)
    marked[0, 0, 10] = True
    distances = column_distances(marked).ravel()
    assert distances.tolist() == [min(abs(y - 10), COLUMN_CELLS) for y in range(200)]


def test_no_points_have_no_distances():
    target = np.ones((1, 1, 1), dtype=bool)
    assert found(target, (1.0, 1.0, 1.0), np.zeros(0, dtype=np.int64)).size == 0
