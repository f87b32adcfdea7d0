"""Nearest cells against SciPy's distance transform: bit for bit where columns find them, to rounding by the tree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from hemoseg.evaluation import nearest
from hemoseg.evaluation.nearest import COLUMN_CELLS, Target, column_distances, distances_mm

SPACINGS_MM = [(5.0, 0.47, 0.47), (1.0, 1.0, 1.0), (0.3, 5.0, 0.9), (0.6, 0.45, 2.5)]


def found(target, spacing_mm, points):
    z, y, x = target.shape
    columns = column_distances(target[None])[0]
    cells = Target(shape=(z, y, x), columns=columns, points=np.flatnonzero(target))
    return distances_mm(points, cells, spacing_mm)


def expected(target, spacing_mm, points):
    return ndimage.distance_transform_edt(~target, sampling=spacing_mm).ravel()[points]


@settings(deadline=None, max_examples=60)
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
