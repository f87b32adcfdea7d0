from itertools import permutations, product

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hemoseg.geometry import Grid, Orientation
from nifti_files import random_rotation

ALL_48 = [
    Orientation(axes=axes, flips=flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)
]
INDEX_STEP = np.array([1.0, 10.0, 100.0])

shapes = st.tuples(*[st.integers(1, 6)] * 3)
spacings = st.tuples(*[st.floats(0.2, 8.0)] * 3)
origins = st.tuples(*[st.floats(-300.0, 300.0)] * 3)


@st.composite
def grids(draw, max_shear=0.5):
    """Grids in any rotation, mirrored or not, sheared by up to 30 degrees or so."""
    rotation = random_rotation(np.random.default_rng(draw(st.integers(0, 2**32))))
    if draw(st.booleans()):
        rotation = rotation * [1, 1, -1]
    shear = np.eye(3)
    shear[1, 0] = draw(st.floats(-max_shear, max_shear))
    affine = np.eye(4)
    affine[:3, :3] = rotation @ shear * draw(spacings)
    affine[:3, 3] = draw(origins)
    return Grid.from_affine(draw(shapes), affine)


def is_clear_cut(grid):
    """Whether one order of axes is better than all others, and no chosen axis is at a right angle to its goal."""
    toward = np.abs(np.array(grid.direction)[:, ::-1])
    sums = sorted((sum(toward[p[i], i] for i in range(3)), p) for p in permutations(range(3)))
    (second, _), (first, best) = sums[-2:]
    return first - second > 1e-6 and min(toward[best[i], i] for i in range(3)) > 1e-6


@given(grids(), st.integers(0, 1000))
@settings(max_examples=60)
def test_all_48_ways_to_store_a_scan_have_one_canonical_form(grid, seed):
    assume(is_clear_cut(grid))
    array = np.random.default_rng(seed).integers(0, 1000, grid.shape)
    canonical = grid.canonical_orientation()
    expected, expected_grid = canonical.apply(array), grid.reoriented(canonical)
    for stored in ALL_48:
        turned, turned_grid = stored.apply(array), grid.reoriented(stored)
        again = turned_grid.canonical_orientation()
        result, result_grid = again.apply(turned), turned_grid.reoriented(again)
        np.testing.assert_array_equal(result, expected)
        assert result_grid.shape == expected_grid.shape
        assert result_grid.corner_distance_mm(expected_grid) < 1e-6
        np.testing.assert_allclose(result_grid.spacing_mm, expected_grid.spacing_mm, atol=1e-6)
        np.testing.assert_allclose(result_grid.direction, expected_grid.direction, atol=1e-6)
        assert abs(turned_grid.voxel_ml - grid.voxel_ml) <= 1e-12


@given(grids())
@settings(max_examples=60)
def test_canonical_axes_run_to_superior_posterior_left(grid):
    assume(is_clear_cut(grid))
    canonical = grid.reoriented(grid.canonical_orientation())
    toward = np.array(canonical.direction)[:, ::-1]
    assert np.all(np.diag(toward) > 0)
    assert canonical.canonical_orientation() == Orientation(axes=(0, 1, 2), flips=(False, False, False))


@given(grids(), st.sampled_from(ALL_48))
@settings(max_examples=100)
def test_voxels_stay_where_they_are(grid, orientation):
    indices = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1).astype(float)
    numbered = indices @ INDEX_STEP
    turned, turned_grid = orientation.apply(numbered), grid.reoriented(orientation)
    assert turned.shape == turned_grid.shape
    for place in ((0, 0, 0), tuple(n - 1 for n in turned.shape)):
        (source,) = np.argwhere(numbered == turned[place])
        here = grid.world([float(i) for i in source])
        there = turned_grid.world([float(i) for i in place])
        np.testing.assert_allclose(here, there, atol=1e-9)


@given(shapes, st.sampled_from(ALL_48))
@settings(max_examples=100)
def test_undo_is_the_inverse_of_apply(shape, orientation):
    array = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(orientation.undo(orientation.apply(array)), array)
    np.testing.assert_array_equal(orientation.apply(orientation.undo(array)), array)


@given(grids())
@settings(max_examples=100)
def test_slices_times_area_is_the_volume(grid):
    """Sheared or not: projected interval times the area of a pixel is the volume of a voxel."""
    affine = grid.affine_lps
    area = np.linalg.norm(np.cross(affine[:3, 1], affine[:3, 2]))
    np.testing.assert_allclose(grid.slice_interval_mm * area / 1000, grid.voxel_ml, rtol=1e-9)
    assert grid.slice_interval_mm <= grid.spacing_mm[0] * (1 + 1e-9)


@given(grids())
@settings(max_examples=100)
def test_affine_round_trip(grid):
    assert Grid.from_affine(grid.shape, grid.affine_lps).corner_distance_mm(grid) < 1e-9
