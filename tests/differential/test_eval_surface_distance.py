"""Surfaces against the package `surface-distance`, which defined the metric.

Tolerance 1e-9 relative: both sum the same doubles, in another order.
"""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from surface_distance import (
    compute_average_surface_distance,
    compute_dice_coefficient,
    compute_robust_hausdorff,
    compute_surface_dice_at_tolerance,
    compute_surface_distances,
)
from surface_distance.lookup_tables import (
    ENCODE_NEIGHBOURHOOD_3D_KERNEL,
    create_table_neighbour_code_to_surface_area,
)

from hemoseg.evaluation.elements import element_areas
from hemoseg.evaluation.overlap import dice
from hemoseg.evaluation.surface import assd_mm, hausdorff_mm, measure_surface_distances, nsd

TOLERANCES_MM = (0.0, 0.42, 1.0, 2.0, 5.0)
spacings = st.tuples(*[st.sampled_from([0.3, 0.42, 0.45, 0.5, 1.0, 1.25, 5.0])] * 3)
shapes = st.tuples(*[st.integers(1, 7)] * 3)


def agree(reference, prediction, spacing_mm):
    """Check distances, areas and NSD of a pair of masks that are not both empty."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(np, "Inf", np.inf, raising=False)  # the package is older than NumPy 2
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = compute_surface_distances(reference, prediction, spacing_mm)
    ours = measure_surface_distances(reference, prediction, spacing_mm=spacing_mm)
    for distances, areas, key, other in (
        (ours.reference_mm, ours.reference_mm2, "gt_to_pred", "gt"),
        (ours.prediction_mm, ours.prediction_mm2, "pred_to_gt", "pred"),
    ):
        order = np.lexsort((areas, distances))
        assert distances[order] == pytest.approx(theirs[f"distances_{key}"], rel=1e-9)
        assert areas.sum() == pytest.approx(theirs[f"surfel_areas_{other}"].sum(), rel=1e-9)
    for tolerance_mm in TOLERANCES_MM:
        expected = compute_surface_dice_at_tolerance(theirs, tolerance_mm)
        found = nsd(ours, tolerance_mm=tolerance_mm, both_empty="nan")
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)
    if reference.any() and prediction.any():
        agree_in_distance(ours, theirs)


def agree_in_distance(ours, theirs):
    """Percentiles and averages. Where a sum of areas reaches a percentile to the last bit, their rounding decides
    between two neighboring distances, and either is right."""
    for percent in (50.0, 95.0, 100.0):
        allowed = [compute_robust_hausdorff(theirs, percent + nudge) for nudge in (-1e-9, 0.0, 1e-9)]
        found = hausdorff_mm(ours, percent=percent)
        assert any(found == pytest.approx(value, rel=1e-9) for value in allowed)
    means = compute_average_surface_distance(theirs)
    areas = theirs["surfel_areas_gt"].sum(), theirs["surfel_areas_pred"].sum()
    pooled = sum(mean * area for mean, area in zip(means, areas, strict=True)) / sum(areas)
    assert assd_mm(ours) == pytest.approx(pooled, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    "spacing_mm", [(1.0, 1.0, 1.0), (5.0, 0.45, 0.45), (0.3, 7.0, 2.0), (1.1, 0.7, 0.9), (0.42, 3.0, 8.0)]
)
def test_areas_of_all_256_elements(spacing_mm):
    """Corners are numbered in another order there: the code of corner (z, y, x) is read from their kernel."""
    theirs = create_table_neighbour_code_to_surface_area(spacing_mm)
    weights = [int(ENCODE_NEIGHBOURHOOD_3D_KERNEL[n >> 2 & 1, n >> 1 & 1, n & 1]) for n in range(8)]
    codes = [sum(weights[n] for n in range(8) if code >> n & 1) for code in range(256)]
    assert sorted(codes) == list(range(256))
    assert element_areas(spacing_mm) == pytest.approx(theirs[codes], rel=1e-9)


@settings(max_examples=120)
@given(shapes.flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 2)), spacings)
def test_any_masks_at_any_border(pair, spacing_mm):
    """Small arrays: nearly every mask touches the border."""
    reference, prediction = pair
    assume(reference.any() or prediction.any())
    agree(reference, prediction, spacing_mm)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing_mm", [(5.0, 0.45, 0.45), (1.0, 0.9, 1.1)])
def test_blobs(seed, spacing_mm):
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.normal(size=(12, 40, 40)), (1, 3, 3))
    other = noise + 0.4 * ndimage.gaussian_filter(generator.normal(size=noise.shape), (1, 3, 3))
    agree(noise > noise.std(), other > noise.std(), spacing_mm)


@pytest.mark.parametrize("spacing_mm", [(5.0, 0.45, 0.45), (0.9, 0.9, 1.1)])
@pytest.mark.parametrize("shift", [(0, 60, 0), (0, 0, 90), (6, 110, 70)])
def test_masks_far_apart(shift, spacing_mm):
    """Further than columns of cells reach, so that the tree looks."""
    generator = np.random.default_rng(5)
    reference = np.zeros((14, 180, 160), dtype=bool)
    noise = ndimage.gaussian_filter(generator.normal(size=(8, 40, 40)), (1, 3, 3))
    reference[:8, :40, :40] = noise > noise.std()
    agree(reference, np.roll(reference, shift, (0, 1, 2)), spacing_mm)


@pytest.mark.parametrize("place", [(0, 0, 0), (4, 4, 4), (0, 2, 4), (2, 2, 2)])
def test_single_voxels(place):
    reference = np.zeros((5, 5, 5), dtype=bool)
    prediction = reference.copy()
    reference[2, 2, 2] = prediction[place] = True
    agree(reference, prediction, (5.0, 0.45, 0.6))


@settings(max_examples=30)
@given(shapes.flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 2)))
def test_dice(pair):
    reference, prediction = pair
    assume(reference.any() or prediction.any())
    expected = compute_dice_coefficient(reference, prediction)
    assert dice(reference, prediction, both_empty="nan") == pytest.approx(expected, rel=1e-12)
