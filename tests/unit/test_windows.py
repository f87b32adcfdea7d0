"""Windows: bounds, clamping, range."""

import numpy as np
import pytest
from pydantic import ValidationError

from hemoseg.errors import SettingsError
from hemoseg.plan import Channel, Window
from hemoseg.windows import WINDOWS as NAMED
from hemoseg.windows import apply_windows, hu_range, one_hot, window_doubt, window_named

WINDOWS = (Window(name="brain", low_hu=0, high_hu=80), Window(name="wide", low_hu=-20, high_hu=100))


def test_bounds_map_to_minus_one_and_one_and_beyond_is_clamped():
    hu = np.array([[[-1000.0, 0.0, 40.0, 80.0, 3000.0]]], dtype=np.float32)
    brain, wide = apply_windows(hu, [Channel(name=w.name, window=w) for w in WINDOWS])
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


def test_named_windows_have_the_bounds_that_width_and_center_give():
    bounds = {name: (window_named(name).low_hu, window_named(name).high_hu) for name in NAMED}
    assert bounds == {
        "paper": (66.5, 125.5),
        "paper-swapped": (11.0, 107.0),
        "brain": (0.0, 80.0),
        "subdural": (-25.0, 175.0),
        "stroke": (20.0, 60.0),
        "blood": (30.0, 110.0),
        "bone": (-800.0, 2000.0),
        "soft": (-125.0, 225.0),
        "wide": (-200.0, 1300.0),
    }


def test_any_width_and_center_is_a_window():
    window = window_named("96/59")
    assert (window.low_hu, window.high_hu, window.width_hu, window.center_hu) == (11.0, 107.0, 96.0, 59.0)
    assert window_named("10/-5.5").low_hu == -10.5


@pytest.mark.parametrize("text", ["", "brian", "0/40", "-80/40", "80", "80/", "80/40/2", "nan/3"])
def test_other_texts_are_refused_with_the_names(text):
    with pytest.raises(SettingsError, match="paper-swapped"):
        window_named(text)


def test_the_printed_window_is_doubted_and_its_exchange_is_not():
    assert "47%" in str(window_doubt(window_named("paper")))
    assert window_doubt(window_named("paper-swapped")) is None
    assert window_doubt(window_named("subdural")) is None


def test_a_channel_scales_its_window_to_any_range():
    hu = np.array([[[-50.0, 0, 40, 80, 900]]], dtype=np.float32)
    channel = Channel(name="brain", window=window_named("brain"), scale=(0.0, 1.0))
    assert apply_windows(hu, [channel]).ravel().tolist() == [0, 0, 0.5, 1, 1]
