"""Areas of surface elements by hand, for cells of 5 x 4 x 3 mm."""

from math import hypot

import numpy as np
import pytest

from hemoseg.evaluation.elements import element_areas

AREAS = element_areas((5.0, 4.0, 3.0))
FACES = (12.0, 15.0, 20.0)  # mm², normal to z, y, x
OBLIQUE = hypot(*FACES)


@pytest.mark.parametrize(
    ("corners", "area_mm2"),
    [
        ([], 0.0),
        ([0], OBLIQUE / 8),
        ([7], OBLIQUE / 8),
        ([0, 1], hypot(12.0, 15.0) / 2),  # an edge along x: a rectangle of 3 mm by half a diagonal
        ([0, 4], hypot(15.0, 20.0) / 2),
        ([0, 3], 2 * OBLIQUE / 8),  # across a face: two triangles
        ([0, 7], 2 * OBLIQUE / 8),
        ([0, 1, 2], 6.0 + OBLIQUE * 3 / 8),  # three of the face normal to z
        ([0, 1, 6], hypot(12.0, 15.0) / 2 + OBLIQUE / 8),
        ([0, 1, 2, 3], 12.0),
        ([0, 2, 4, 6], 20.0),
        ([0, 1, 2, 4], OBLIQUE * 3 / 4),
        ([0, 3, 5, 6], 4 * OBLIQUE / 8),
        ([0, 1, 6, 7], hypot(12.0, 15.0)),
        ([0, 1, 2, 7], 6.0 + OBLIQUE / 2),
        ([1, 0, 2, 6], OBLIQUE / 2 + hypot(15.0, 20.0) / 4 + hypot(15.0, 12.0) / 4),  # x, y, z: middle y
        (range(8), 0.0),
    ],
)
def test_area_of_a_set_of_corners(corners, area_mm2):
    code = sum(1 << corner for corner in corners)
    assert AREAS[code] == pytest.approx(area_mm2, rel=1e-12)


def test_inside_and_outside_have_the_same_surface():
    np.testing.assert_allclose(AREAS, AREAS[::-1], rtol=1e-12)
