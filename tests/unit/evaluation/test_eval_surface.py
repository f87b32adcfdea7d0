"""Normalized surface distance by hand."""

from math import hypot, inf, isnan, sqrt

import numpy as np
import pytest

from hemoseg.evaluation.overlap import dice
from hemoseg.evaluation.surface import (
    SurfaceDistances,
    assd_mm,
    hausdorff_mm,
    joint_box,
    measure_surface_distances,
    nsd,
)

THICK_MM = (5.0, 0.45, 0.45)
NOTHING = np.zeros((4, 4, 4), dtype=bool)


def box(shape, low, high):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def score(reference, prediction, tolerance_mm, spacing_mm=THICK_MM):
    distances = measure_surface_distances(reference, prediction, spacing_mm=spacing_mm)
    return nsd(distances, tolerance_mm=tolerance_mm, both_empty="nan")


@pytest.mark.parametrize("shape", [(5, 32, 7), (3, 6, 5), (4, 48, 24), (1, 1, 1), (2, 7, 16)])
@pytest.mark.parametrize("layout", ["rows", "columns", "every second"])
def test_joint_box_holds_every_voxel_and_no_empty_border(rng, shape, layout):
    """Whether words fit into rows or not, and however an array lies in memory."""
    for _ in range(20):
        masks = np.zeros((2, *shape), dtype=bool)
        masks.ravel()[rng.choice(masks.size, min(3, masks.size), replace=False)] = True
        if layout == "columns":
            masks = np.asfortranarray(masks)
        elif layout == "every second":
            masks = np.repeat(masks, 2, axis=3)[..., ::2]
        either = np.nonzero(masks.any(axis=0))
        assert joint_box(*masks) == tuple(slice(along.min(), along.max() + 1) for along in either)


@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 16, 8), (2, 0, 8), (0, 3, 3), (2, 3, 0)])
def test_joint_box_of_empty_masks_is_empty(shape):
    assert joint_box(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)) == (slice(0, 0),) * 3


# The surface of a box of 4 slices of 20 x 20 pixels, in mm²: cells on its faces, edges and corners.
FACE_Z, FACE_X = 0.45 * 0.45, 0.45 * 5.0  # as FACE_Y
EDGE_X, EDGE_Z = hypot(FACE_Z, FACE_X) / 2, hypot(FACE_X, FACE_X) / 2  # as EDGE_Y
CORNER = hypot(FACE_Z, FACE_X, FACE_X) / 8
RIM_Z = 4 * 19 * EDGE_X + 4 * CORNER
TOP = 19 * 19 * FACE_Z + RIM_Z
SIDE_INNER = 19 * 3 * FACE_X
SIDE = SIDE_INNER + 2 * 19 * EDGE_X + 2 * 3 * EDGE_Z + 4 * CORNER
BOX_MM2 = 2 * TOP + 4 * SIDE_INNER + 4 * 3 * EDGE_Z


def test_shift_by_one_pixel():
    """Dice forgives it, NSD below one pixel does not, NSD above one pixel does.

    The side left behind is far altogether, the opposite one but for its rim.
    """
    reference = box((8, 30, 30), (2, 5, 5), (6, 25, 25))
    prediction = box((8, 30, 30), (2, 5, 6), (6, 25, 26))
    expected = 1 - (SIDE + SIDE_INNER) / BOX_MM2
    assert expected == pytest.approx(0.636, abs=1e-3)
    assert dice(reference, prediction, both_empty="nan") == 0.95
    assert score(reference, prediction, 0.42) == pytest.approx(expected, rel=1e-12)
    assert score(reference, prediction, 1.0) == 1


def test_shift_by_one_slice():
    """The bottom left behind is far altogether, the top but for its rim."""
    reference = box((8, 30, 30), (2, 5, 5), (6, 25, 25))
    prediction = box((8, 30, 30), (3, 5, 5), (7, 25, 25))
    expected = 1 - (TOP + TOP - RIM_Z) / BOX_MM2
    assert expected == pytest.approx(0.726, abs=1e-3)
    assert dice(reference, prediction, both_empty="nan") == 0.75
    assert score(reference, prediction, 0.42) == pytest.approx(expected, rel=1e-12)
    assert score(reference, prediction, 5.0) == 1


def test_one_voxel_is_an_octahedron():
    distances = measure_surface_distances(
        box((1, 1, 1), (0, 0, 0), (1, 1, 1)), np.zeros((1, 1, 1), dtype=bool), spacing_mm=(1.0, 2.0, 3.0)
    )
    assert distances.reference_mm2 == pytest.approx([hypot(6, 3, 2) / 8] * 8)
    assert distances.reference_mm.tolist() == [inf] * 8
    assert distances.prediction_mm.size == distances.prediction_mm2.size == 0


def test_two_voxels_apart_along_an_anisotropic_axis():
    """Each corner of the one is 3 slices of 2 mm minus the one cell they are wide from the other."""
    reference = box((8, 3, 3), (1, 1, 1), (2, 2, 2))
    prediction = box((8, 3, 3), (4, 1, 1), (5, 2, 2))
    distances = measure_surface_distances(reference, prediction, spacing_mm=(2.0, 0.5, 0.5))
    assert sorted(distances.reference_mm) == [4.0] * 4 + [6.0] * 4
    assert sorted(distances.prediction_mm) == [4.0] * 4 + [6.0] * 4
    assert [score(reference, prediction, t, (2.0, 0.5, 0.5)) for t in (3.9, 4.0, 6.0)] == [0, 0.5, 1]


def test_distance_across_a_diagonal():
    reference = box((1, 5, 5), (0, 0, 0), (1, 1, 1))
    prediction = box((1, 5, 5), (0, 3, 4), (1, 4, 5))
    distances = measure_surface_distances(reference, prediction, spacing_mm=(1.0, 1.0, 1.0))
    assert distances.reference_mm.min() == pytest.approx(sqrt(2**2 + 3**2))


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_mask_scores_zero(swap):
    masks = [NOTHING, box((4, 4, 4), (0, 0, 0), (2, 2, 2))]
    assert score(*(reversed(masks) if swap else masks), tolerance_mm=100.0) == 0


def test_two_empty_masks_score_what_the_caller_says():
    distances = measure_surface_distances(NOTHING, NOTHING, spacing_mm=THICK_MM)
    assert isnan(nsd(distances, tolerance_mm=1.0, both_empty="nan"))
    assert nsd(distances, tolerance_mm=1.0, both_empty="one") == 1


def test_mask_that_fills_the_array_is_closed_at_its_border():
    full = np.ones((2, 3, 4), dtype=bool)
    inside = np.pad(full, 2)
    ours, padded = (measure_surface_distances(m, m, spacing_mm=THICK_MM) for m in (full, inside))
    assert ours.reference_mm2.tolist() == padded.reference_mm2.tolist()
    assert ours.reference_mm2.size > 0


def test_tolerance_is_inclusive_and_elements_count_by_area():
    distances = SurfaceDistances(
        reference_mm=np.array([0.0, 1.0]),
        reference_mm2=np.array([1.0, 2.0]),
        prediction_mm=np.array([2.0]),
        prediction_mm2=np.array([5.0]),
    )
    assert nsd(distances, tolerance_mm=1.0, both_empty="nan") == 3 / 8


def distances(reference_mm, reference_mm2, prediction_mm=(), prediction_mm2=()):
    parts = zip(
        ("reference_mm", "reference_mm2", "prediction_mm", "prediction_mm2"),
        (reference_mm, reference_mm2, prediction_mm, prediction_mm2),
        strict=True,
    )
    return SurfaceDistances(**{name: np.array(values, dtype=float) for name, values in parts})


@pytest.mark.parametrize(("percent", "expected"), [(50.0, 1.0), (60.0, 1.0), (61.0, 4.0), (90.0, 4.0), (100.0, 9.0)])
def test_percentiles_count_area(percent, expected):
    """60 % of the area lies within 1 mm, 90 % within 4 mm; the other surface is nearer throughout."""
    found = distances([1.0, 4.0, 9.0], [6.0, 3.0, 1.0], [0.5], [1.0])
    assert hausdorff_mm(found, percent=percent) == expected


def test_the_farther_surface_decides():
    assert hausdorff_mm(distances([1.0], [1.0], [3.0], [1.0]), percent=95.0) == 3


def test_average_distance_is_over_the_area_of_both():
    assert assd_mm(distances([0.0, 2.0], [3.0, 1.0], [4.0], [4.0])) == (2 + 16) / 8


def test_distances_of_empty_masks():
    one = measure_surface_distances(NOTHING, box((4, 4, 4), (0, 0, 0), (2, 2, 2)), spacing_mm=THICK_MM)
    both = measure_surface_distances(NOTHING, NOTHING, spacing_mm=THICK_MM)
    assert hausdorff_mm(one, percent=95.0) == hausdorff_mm(one, percent=100.0) == assd_mm(one) == inf
    assert hausdorff_mm(both, percent=100.0) == inf
    assert isnan(assd_mm(both))
