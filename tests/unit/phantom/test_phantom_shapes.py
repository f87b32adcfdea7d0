from math import asin, cos, pi, radians, sin

import numpy as np
import pytest

from hemoseg.geometry import Grid
from hemoseg.phantom.raster import FINE, Frame, Pose, fill_fractions
from hemoseg.phantom.shapes import Cap, Crescent, Ellipsoid, Shell, solve

ORIGIN = (0.0, 0.0, 0.0)


def contains(solid, *points):
    """Whether each (x, y, z) lies in the solid."""
    x, y, z = np.array(points, dtype=np.float32).T[:, :, None, None]
    return solid.contains(x, y, z).ravel().tolist()


def test_ball_of_one_centimeter_has_four_thirds_pi_milliliters():
    assert Ellipsoid(center_mm=ORIGIN, semiaxes_mm=(10.0, 10.0, 10.0)).volume_ml == pytest.approx(4.18879, abs=1e-5)


def test_ellipsoid_holds_its_axes_ends_and_nothing_beyond():
    solid = Ellipsoid(center_mm=(5.0, 0.0, 0.0), semiaxes_mm=(10.0, 20.0, 30.0))
    assert contains(solid, (14.9, 0, 0), (15.1, 0, 0), (5, 19.9, 0), (5, 20.1, 0), (5, 0, 29.9), (5, 0, 30.1)) == [
        *(True, False),
        *(True, False),
        *(True, False),
    ]


def test_yaw_turns_the_long_axis_from_x_toward_y():
    solid = Ellipsoid(center_mm=ORIGIN, semiaxes_mm=(20.0, 2.0, 2.0), yaw=radians(30))
    along, against = (15 * cos(radians(30)), 15 * sin(radians(30)), 0), (15 * cos(radians(30)), -7.5, 0)
    assert contains(solid, along, against) == [True, False]


def test_shell_holds_its_volume_and_not_the_core():
    shell = Shell(core=Ellipsoid(center_mm=ORIGIN, semiaxes_mm=(10.0, 10.0, 10.0)), scale=2.0)
    assert shell.volume_ml == pytest.approx(7 * 4.18879, abs=1e-4)
    assert contains(shell, (9.9, 0, 0), (10.1, 0, 0), (19.9, 0, 0), (20.1, 0, 0)) == [False, True, True, False]


def test_half_full_vessel_holds_half_and_fills_from_below():
    vessel = Ellipsoid(center_mm=ORIGIN, semiaxes_mm=(5.0, 30.0, 10.0))
    cap = Cap(vessel=vessel, down=(0.0, 1.0, 0.0), height=1.0)
    assert cap.volume_ml == pytest.approx(vessel.volume_ml / 2)
    assert contains(cap, (0, 1, 0), (0, -1, 0), (0, 29, 0), (0, 31, 0)) == [True, False, True, False]


def test_fluid_stays_level_in_a_turned_vessel():
    vessel = Ellipsoid(center_mm=ORIGIN, semiaxes_mm=(5.0, 30.0, 10.0), yaw=0.3)
    cap = Cap(vessel=vessel, down=(0.0, 1.0, 0.0), height=1.0)
    assert contains(cap, (4, 0.1, 0), (-4, 0.1, 0), (4, -0.1, 0), (-4, -0.1, 0)) == [True, True, False, False]


@pytest.mark.parametrize("distance", [0.1, 0.7, 1.5])
def test_crescent_of_equal_spheres_is_one_less_the_overlap_of_two(distance):
    """Overlap of two unit spheres at distance d: π(4 + d)(2 - d)²/12."""
    flatness = (1 - distance / 2) / (1 + distance / 2)
    crescent = Crescent(
        semiaxes_mm=(10.0, 20.0, 30.0), pole=(1.0, 0.0, 0.0), angle=pi / 2 + asin(distance / 2), flatness=flatness
    )
    overlap = pi * (4 + distance) * (2 - distance) ** 2 / 12
    assert crescent.volume_ml == pytest.approx(6 * (4 * pi / 3 - overlap))


def test_crescent_lies_between_its_surfaces():
    crescent = Crescent(semiaxes_mm=(50.0, 50.0, 50.0), pole=(0.0, 1.0, 0.0), angle=0.8, flatness=0.5)
    inner = 50 * (1 - 0.5 * (1 - cos(0.8)))
    assert contains(crescent, (0, inner - 0.1, 0), (0, inner + 0.1, 0), (0, 49.9, 0), (0, 50.1, 0), (0, -49, 0)) == [
        *(False, True, True, False, False)
    ]


def test_box_of_a_crescent_ends_at_its_rim_and_at_its_pole():
    crescent = Crescent(semiaxes_mm=(50.0, 60.0, 70.0), pole=(1.0, 0.0, 0.0), angle=0.5, flatness=0.5)
    low, high = crescent.box_mm
    assert low == pytest.approx((50 * cos(0.5), -60 * sin(0.5), -70 * sin(0.5)))
    assert high == pytest.approx((50, 60 * sin(0.5), 70 * sin(0.5)))


def test_surface_points_of_a_rippled_solid_lie_on_its_surface():
    solid = Ellipsoid(
        center_mm=(1.0, 2.0, 3.0), semiaxes_mm=(9.0, 14.0, 11.0), yaw=0.4, ripple=0.13, phases=(0.5, 2.0, 4.0)
    )
    x, y, z = solid.surface_mm(radius=1.2).T.astype(np.float32)[:, :, None, None]
    np.testing.assert_allclose(solid.squared_radius(x, y, z), 1.2**2, rtol=1e-5)


def test_solve_finds_a_cube_root():
    assert solve(lambda value: value**3, 2.0, 0.0, 2.0) == pytest.approx(2 ** (1 / 3), abs=1e-14)


def test_level_along_a_pixel_row_is_met_to_a_fiftieth_of_a_voxel():
    """A lattice of 4 samples along y would give fractions of 0, 1/4, 1/2, … for a level plane."""
    grid = Grid(
        shape=(1, 9, 1),
        spacing_mm=(1.0, 1.0, 1.0),
        origin_lps_mm=(0.0, -4.0, 0.0),
        direction=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )
    frame = Frame(grid=grid, pose=Pose(rotation=np.eye(3), center_mm=(0.0, 0.0, 0.0)))
    vessel = Ellipsoid(center_mm=ORIGIN, semiaxes_mm=(20.0, 20.0, 20.0))
    for level in np.linspace(0, 1, 11):
        cap = Cap(vessel=vessel, down=(0.0, 1.0, 0.0), height=1 - level / 20)
        box, fraction = fill_fractions(cap, frame, samples=FINE)
        column = np.zeros(grid.shape)
        column[box] = fraction
        assert column.sum() == pytest.approx(4.5 - level, abs=0.02)
