"""Windows: bounds, clamping, range."""

import numpy as np
import pytest
from pydantic import ValidationError

from hemoseg.plan import Window
from hemoseg.windows import apply_windows, hu_range, one_hot

WINDOWS = (Window(name="brain", low_hu=0, high_hu=80), Window(name="wide", low_hu=-20, high_hu=100))


def test_bounds_map_to_minus_one_and_one_and_beyond_is_clamped():
    hu = np.array([[[-1000.0, 0.0, 40.0, 80.0, 3000.0]]], dtype=np.float32)
    brain, wide = apply_windows(hu, WINDOWS)
    assert brain.ravel().tolist() == [-1, -1, 0, 1, 1]
    assert wide.ravel().tolist() == pytest.approx([-1, -1 + 2 * 20 / 120, 0, 1 - 2 * 20 / 120, 1])


def test_range_holds_every_window():
    assert hu_range(WINDOWS) == (-20, 100)


def test_a_window_must_be_a_range():
    with pytest.raises(ValidationError, match="not below"):
        Window(name="odd", low_hu=10, high_hu=10)


def test_one_hot_leaves_the_background_out():
    labels = np.array([[[0, 1, 2]]], dtype=np.uint8)
    assert one_hot(labels, 3).tolist() == [[[[0, 1, 0]]], [[[0, 0, 1]]]]
