"""The non-zero mask by hand, and against SciPy's filling of holes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hemoseg.preprocess import nonzero
from hemoseg.preprocess.nonzero import inside_box, outside_mask


def test_where_no_border_voxel_is_zero_nothing_is_outside(rng):
    stack = np.ones((1, 5, 6, 7), dtype=np.float32)
    stack[0, 2, 3, 3] = 0  # a hole
    assert outside_mask(stack) is None


def test_a_voxel_is_outside_only_if_all_channels_are_zero_there():
    stack = np.zeros((2, 5, 6, 7), dtype=np.float32)
    stack[0, 1:3, 2:5, 2:5] = 1
    stack[1, 2:4, 2:5, 2:5] = 1
    outside = outside_mask(stack)
    assert inside_box(outside) == (slice(1, 4), slice(2, 5), slice(2, 5))


def test_all_zero_keeps_the_whole_volume():
    outside = outside_mask(np.zeros((1, 3, 4, 5), dtype=np.float32))
    assert outside.all()
    assert inside_box(outside) == (slice(0, 3), slice(0, 4), slice(0, 5))


@pytest.mark.parametrize("few", [0.0, 1.0])
@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
@settings(max_examples=60)
def test_it_is_the_mask_with_filled_holes(few, seed, density):
    stack = (np.random.default_rng(seed).random((1, 5, 6, 7)) < density).astype(np.float32)
    filled = ndimage.binary_fill_holes(stack[0] != 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nonzero, "FEW", few)  # voxel by voxel, or by components
        outside = outside_mask(stack)
    assert np.array_equal(filled, np.ones_like(filled) if outside is None else ~outside)
