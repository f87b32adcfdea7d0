"""What holds for the metrics of any two masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hemoseg.evaluation.elements import element_areas
from hemoseg.evaluation.overlap import dice, rvd, volume_error_ml
from hemoseg.evaluation.statistics import bootstrap_mean
from hemoseg.evaluation.surface import measure_surface_distances, nsd

spacings = st.tuples(*[st.floats(0.3, 8.0)] * 3)
shapes = st.tuples(*[st.integers(1, 6)] * 3)
pairs = shapes.flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 2))
tolerances = st.floats(0.0, 20.0)


def score(reference, prediction, spacing_mm, tolerance_mm):
    distances = measure_surface_distances(reference, prediction, spacing_mm=spacing_mm)
    return nsd(distances, tolerance_mm=tolerance_mm, both_empty="one")


@settings(max_examples=60)
@given(pairs, spacings, tolerances)
def test_overlap_and_surface_are_symmetric_and_bounded(pair, spacing_mm, tolerance_mm):
    a, b = pair
    near = score(a, b, spacing_mm, tolerance_mm)
    assert 0 <= near <= 1
    assert near == pytest.approx(score(b, a, spacing_mm, tolerance_mm), abs=1e-12)
    overlap = dice(a, b, both_empty="one")
    assert 0 <= overlap <= 1
    assert overlap == dice(b, a, both_empty="one")


@settings(max_examples=40)
@given(pairs, spacings, tolerances, tolerances)
def test_wider_tolerance_never_lowers_the_score(pair, spacing_mm, one_mm, other_mm):
    low, high = sorted((one_mm, other_mm))
    assert score(*pair, spacing_mm, low) <= score(*pair, spacing_mm, high)


@settings(max_examples=40)
@given(pairs, spacings)
def test_a_mask_agrees_with_itself(pair, spacing_mm):
    mask = pair[0]
    assert score(mask, mask, spacing_mm, 0.0) == 1
    assert dice(mask, mask, both_empty="one") == 1
    assert rvd(mask, mask, both_empty="zero") == 0


@settings(max_examples=40)
@given(pairs, spacings, tolerances, st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_scores_do_not_depend_on_the_order_of_axes(pair, spacing_mm, tolerance_mm, order, flips):
    """Nor on their direction, nor on empty space around."""
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    turned = [np.pad(mask.transpose(order)[steps], 2) for mask in pair]
    spacing_turned_mm = tuple(spacing_mm[axis] for axis in order)
    ours, theirs = (
        measure_surface_distances(*masks, spacing_mm=spacing)
        for masks, spacing in ((pair, spacing_mm), (turned, spacing_turned_mm))
    )
    assert np.sort(ours.reference_mm2) == pytest.approx(np.sort(theirs.reference_mm2), rel=1e-12)
    assert np.sort(ours.reference_mm) == pytest.approx(np.sort(theirs.reference_mm), rel=1e-12)


@settings(max_examples=40)
@given(pairs, st.floats(1e-4, 0.1))
def test_volume_error_changes_sign_with_the_order(pair, voxel_ml):
    a, b = pair
    assert volume_error_ml(a, b, voxel_ml=voxel_ml) == -volume_error_ml(b, a, voxel_ml=voxel_ml)


@settings(max_examples=40)
@given(spacings, st.floats(0.25, 4.0))
def test_areas_grow_with_the_square_of_length(spacing_mm, scale):
    z, y, x = spacing_mm
    areas = element_areas((z * scale, y * scale, x * scale))
    assert areas == pytest.approx(element_areas(spacing_mm) * scale**2, rel=1e-12)


@settings(max_examples=20)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_interval_lies_between_the_extremes(values, seed):
    result = bootstrap_mean(values, seed=seed)
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - slack <= result.low <= result.high <= max(values) + slack
    assert result.n == len(values)
