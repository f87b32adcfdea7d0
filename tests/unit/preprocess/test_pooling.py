"""Pooling by hand."""

import numpy as np
import pytest

from hemoseg.plan import Pooling
from hemoseg.preprocess.pool import chance_for, pool_image, pool_labels

STACK = np.array([[[[0.0, 1.0, 2.0], [3.0, 0.0, 6.0], [5.0, 7.0, 1.0]]]], dtype=np.float32)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("maximum", [[3, 6], [7, 1]]),
        ("average", [[1, 4], [6, 1]]),
        ("summed-area", [[4, 16], [24, 4]]),  # partial blocks: mean of what they have, times the full block
        ("random-area", [[10 / 4, 40 / 8], [74 / 12, 1]]),  # sum of squares over sum
    ],
)
def test_blocks_and_partial_blocks(kind, expected):
    pooled = pool_image(STACK, Pooling(kind=kind, factor=2), chance=None)
    assert pooled[0, 0] == pytest.approx(np.array(expected, dtype=np.float32))
    assert pooled.dtype == np.float32


def test_chance_draws_pixels_in_proportion_to_their_values():
    stack = np.tile(np.array([[1, 0], [0, 3]], dtype=np.float32), (1, 1, 100, 100))
    drawn = pool_image(stack, Pooling(kind="random-area", factor=2), chance=chance_for(0, "a"))
    assert set(np.unique(drawn)) == {1, 3}
    assert np.mean(drawn == 3) == pytest.approx(0.75, abs=0.02)


def test_chance_draws_the_same_pixel_for_all_channels_and_the_same_again(rng):
    first = rng.random((1, 2, 9, 9), dtype=np.float32)
    stack = np.concatenate([first, first * 2])
    pooling = Pooling(kind="random-area", factor=2)
    drawn = pool_image(stack, pooling, chance=chance_for(3, "a"))
    assert np.array_equal(drawn[1], drawn[0] * 2)
    assert np.array_equal(drawn, pool_image(stack, pooling, chance=chance_for(3, "a")))
    assert not np.array_equal(drawn, pool_image(stack, pooling, chance=chance_for(3, "b")))
    assert not np.array_equal(drawn, pool_image(stack, pooling, chance=chance_for(4, "a")))


class Largest(np.random.Generator):
    """Chance that draws the largest number below 1 that float32 holds, every time."""

    def random(self, shape, dtype=np.float64, out=None):
        return np.full(shape, np.nextafter(dtype(1), dtype(0)), dtype=dtype)


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0, 3.0, 77.0])
def test_the_largest_number_draws_the_last_pixel_and_no_padding(value):
    """Its product with a sum is below the sum in float32 for any sum, so some running share exceeds it."""
    stack = np.full((1, 1, 3, 3), value, dtype=np.float32)
    drawn = pool_image(stack, Pooling(kind="random-area", factor=2), chance=Largest(np.random.PCG64()))
    assert np.array_equal(drawn, np.full((1, 1, 2, 2), np.float32(value)))


def test_no_pixel_of_weight_zero_is_drawn():
    stack = np.array([[[[3.0, 1.0], [0.7, 0.0]]]], dtype=np.float32)
    drawn = pool_image(stack, Pooling(kind="random-area", factor=2), chance=Largest(np.random.PCG64()))
    assert drawn.item() == np.float32(0.7)


def test_empty_blocks_stay_empty():
    stack = np.zeros((1, 1, 4, 4), dtype=np.float32)
    for chance in (None, chance_for(0, "a")):
        assert not pool_image(stack, Pooling(kind="random-area", factor=2), chance=chance).any()


def test_labels_take_the_majority_and_keep_their_volume():
    labels = np.zeros((3, 8, 8), dtype=np.uint8)
    labels[:, 2:6, 2:6] = 1
    labels[:, 2:4, 2:4] = 2
    pooled = pool_labels(labels, 2)
    assert pooled.shape == (3, 4, 4)
    assert pooled[1].tolist() == [[0, 0, 0, 0], [0, 2, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
