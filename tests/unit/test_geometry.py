import numpy as np
import pytest

from hemoseg.geometry import Grid, Orientation, uniform_slices

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
TILT = np.radians(30)


def grid(**changes):
    values = {
        "shape": (4, 5, 6),
        "spacing_mm": (5.0, 0.5, 0.4),
        "origin_lps_mm": (10.0, 20.0, 30.0),
        "direction": AXES,
    }
    return Grid(**(values | changes))


def test_voxel_volume_is_the_product_of_right_angled_spacings():
    assert grid().voxel_ml == pytest.approx(5.0 * 0.5 * 0.4 / 1000)


def test_sheared_voxel_shrinks_by_the_cosine():
    tilted = grid(direction=((0.0, np.sin(TILT), np.cos(TILT)), AXES[1], AXES[2]))
    assert tilted.voxel_ml == pytest.approx(5.0 * 0.5 * 0.4 * np.cos(TILT) / 1000)
    assert tilted.slice_interval_mm == pytest.approx(5.0 * np.cos(TILT))


def test_world_position_of_an_index_is_lps_in_xyz():
    assert grid().world((1.0, 2.0, 3.0)) == pytest.approx((10 + 3 * 0.4, 20 + 2 * 0.5, 30 + 1 * 5.0))


def test_affine_round_trip():
    again = Grid.from_affine((4, 5, 6), grid().affine_lps)
    assert again.spacing_mm == pytest.approx(grid().spacing_mm)
    assert again.origin_lps_mm == grid().origin_lps_mm
    np.testing.assert_allclose(again.direction, AXES)


def test_corner_distance_is_that_of_the_worst_corner():
    wider = grid(spacing_mm=(5.0, 0.5, 0.5))
    assert grid().corner_distance_mm(grid()) == 0
    assert grid().corner_distance_mm(wider) == pytest.approx(5 * 0.1)
    assert grid().corner_distance_mm(grid(origin_lps_mm=(13.0, 24.0, 30.0))) == pytest.approx(5.0)


def test_orientation_apply_and_undo_by_hand():
    array = np.arange(24).reshape(2, 3, 4)
    turn = Orientation(axes=(2, 0, 1), flips=(True, False, False))
    turned = turn.apply(array)
    assert turned.shape == (4, 2, 3)
    assert turned[0, 1, 2] == array[1, 2, 3]
    np.testing.assert_array_equal(turn.undo(turned), array)


def test_ras_orientation_by_hand():
    """A canonical grid runs to superior, posterior, left; RAS to superior, anterior, right."""
    assert grid().ras_orientation() == Orientation(axes=(0, 1, 2), flips=(False, True, True))
    turned = grid().reoriented(Orientation(axes=(2, 0, 1), flips=(True, False, True)))
    back = turned.reoriented(turned.ras_orientation())
    assert np.allclose(np.array(back.direction), [(0, 0, 1), (0, -1, 0), (-1, 0, 0)])
    assert turned.ras_orientation() == Orientation(axes=(1, 2, 0), flips=(False, False, False))


def test_canonical_orientation_of_a_canonical_grid_changes_nothing():
    assert grid().canonical_orientation() == Orientation(axes=(0, 1, 2), flips=(False, False, False))


def test_feet_first_stack_is_flipped_along_z_alone():
    flipped = grid(direction=((0.0, 0.0, -1.0), AXES[1], AXES[2]))
    assert flipped.canonical_orientation() == Orientation(axes=(0, 1, 2), flips=(True, False, False))
    canonical = flipped.reoriented(flipped.canonical_orientation())
    assert canonical.origin_lps_mm == pytest.approx((10.0, 20.0, 30.0 - 3 * 5.0))


def test_sagittal_stack_is_turned_upright():
    sagittal = grid(direction=((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))
    assert sagittal.canonical_orientation() == Orientation(axes=(1, 2, 0), flips=(True, False, False))


def test_uniform_slices_weigh_the_projected_interval_and_number_from_zero():
    slices = uniform_slices(grid())
    assert [part.source for part in slices] == ["0", "1", "2", "3"]
    assert [part.weight_mm for part in slices] == pytest.approx([5.0] * 4)
