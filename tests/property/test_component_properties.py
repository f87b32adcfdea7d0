"""Runs joined to components, against scipy, on masks of any shape and layout."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from hemoseg.components import CORNERS, FACES, find_runs, largest_component, split_components

masks = arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=7))
comb = np.zeros((1, 9, 9), dtype=bool)
comb[0, :, ::2] = comb[0, -1] = True


@given(mask=masks, axes=st.permutations(range(3)))
@example(mask=comb, axes=[0, 1, 2])
@example(mask=comb, axes=[2, 1, 0])
def test_components_are_scipys_in_scan_order(mask, axes) -> None:
    mask = mask.transpose(axes)
    for touching, structure in ((FACES, None), (CORNERS, np.ones((3, 3, 3)))):
        expected, count = ndimage.label(np.ascontiguousarray(mask), structure=structure)
        runs = find_runs(mask, touching)
        found = np.zeros(mask.shape, dtype=int)
        for number, part in enumerate(runs.split(), start=1):
            found[part.paint(mask.shape)] = number
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(runs.sizes, np.bincount(expected.ravel(), minlength=count + 1)[1:])


@given(mask=masks)
def test_parts_make_up_the_mask_and_fill_their_boxes(mask) -> None:
    whole = np.zeros(mask.shape, dtype=int)
    for (z, y, x), part in split_components(mask):
        assert all(part.any(axis=others)[[0, -1]].all() for others in ((1, 2), (0, 2), (0, 1)))
        whole[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] += part
    np.testing.assert_array_equal(whole, mask)


@given(mask=masks)
def test_the_largest_is_no_smaller_than_any(mask) -> None:
    largest = largest_component(mask)
    numbered, count = ndimage.label(np.ascontiguousarray(mask))
    assert largest.sum() == max((int((numbered == n).sum()) for n in range(1, count + 1)), default=0)
    assert not (largest & ~mask).any()
