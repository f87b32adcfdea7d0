"""Normalization by hand."""

import numpy as np
import pytest

from hemoseg.errors import InputError
from hemoseg.plan import Channel, Intensity
from hemoseg.preprocess.normalize import normalize

FACTS = Intensity(mean=40.0, median=41.0, std=20.0, min=0, max=90, percentile_00_5=0.0, percentile_99_5=80.0)
STACK = np.array([[[[-1000.0, 0.0], [60.0, 300.0]]]], dtype=np.float32)


def normalized(scheme, stack=STACK, inside=None, **changes):
    channel = Channel(name="CT", normalization=scheme, intensity=FACTS, **changes)
    return normalize(stack, [channel], inside, where="case")[0, 0].tolist()


def test_ct_clips_to_the_foreground_and_scales():
    assert normalized("ct") == [[-2.0, -2.0], [1.0, 2.0]]


def test_rescaling_spans_zero_to_one():
    flat = np.array(normalized("rescale")).ravel()
    assert flat == pytest.approx([0.0, 1000 / 1300, 1060 / 1300, 1.0])


def test_z_scores_inside_a_mask_leave_the_rest():
    inside = np.array([[[False, True], [True, True]]])
    values = np.array(normalized("zscore", inside=inside, masked=True)).ravel()
    assert values[0] == -1000
    assert values[1:].mean() == pytest.approx(0, abs=1e-6)
    assert values[1:].std() == pytest.approx(1, abs=1e-6)


def test_z_scores_look_at_everything_unless_the_channel_is_masked():
    inside = np.array([[[False, True], [True, True]]])
    values = np.array(normalized("zscore", inside=inside))
    assert values.mean() == pytest.approx(0, abs=1e-6)


def test_a_constant_image_does_not_divide_by_zero():
    assert normalized("zscore", np.full((1, 1, 2, 2), 7, dtype=np.float32)) == [[0.0, 0.0], [0.0, 0.0]]


def test_none_changes_nothing_and_returns_new_memory():
    channel = Channel(name="CT")
    same = normalize(STACK, [channel], None, where="case")
    assert np.array_equal(same, STACK)
    assert not np.shares_memory(same, STACK)


def test_rgb_refuses_what_is_none():
    assert normalized("rgb", np.full((1, 1, 1, 2), 51, dtype=np.float32)) == [[pytest.approx(0.2)] * 2]
    with pytest.raises(InputError, match="-1000 to 300"):
        normalized("rgb")


def test_ct_without_intensities_is_refused():
    with pytest.raises(InputError, match=r"case: the plan knows no foreground intensities of channel CT"):
        normalize(STACK, [Channel(name="CT", normalization="ct")], None, where="case")
