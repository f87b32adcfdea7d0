"""The sliding window: coverage, blending, mirroring."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.inference.half import predict_half_logits
from hemoseg.inference.sliding import mirror_sets, predict_logits
from hemoseg.inference.tiles import axis_starts, half_weights, tile_corners, tile_weights


def quiet(done, total):
    pass


def identity(batch):
    """A network whose logits are its input."""
    return batch


def predict(channels, network=identity, *, tile=(4, 8, 8), mirror_axes=(), networks=None):
    return predict_logits(
        channels,
        networks or [network],
        tile=tile,
        classes=channels.shape[0],
        mirror_axes=mirror_axes,
        outside=[float(i) for i in range(channels.shape[0])],
        watch=quiet,
    )


def test_beyond_the_volume_lies_what_training_put_there():
    """A network that tells the value of the voxel above: the topmost slice sees the padding."""
    channels = np.full((2, 1, 8, 8), 7, dtype=np.float32)
    above = predict(channels, lambda batch: np.roll(batch, 1, axis=2), tile=(3, 8, 8))
    assert above[0] == pytest.approx(0)
    assert above[1] == pytest.approx(1)


@given(st.integers(1, 300), st.integers(1, 64))
@settings(deadline=None, max_examples=200)
def test_tiles_cover_the_axis_with_at_most_half_a_tile_between(size, tile):
    size = max(size, tile)
    starts = axis_starts(size, tile)
    assert starts[0] == 0
    assert starts[-1] == size - tile
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (gaps <= max(1, tile / 2 + 1)).all()


def test_published_positions():
    """nnU-Net's steps for 32 slices and tiles of 20, and for 512 pixels and tiles of 320 and 256."""
    assert axis_starts(32, 20) == (0, 6, 12)
    assert axis_starts(512, 320) == (0, 96, 192)
    assert axis_starts(512, 256) == (0, 128, 256)
    assert len(tile_corners((32, 512, 512), (20, 320, 256))) == 27


def test_positions_are_rounded_as_nnunet_rounds_them():
    """The step is rounded to a float before it is multiplied: half voxels can go either way."""
    step = (557 - 72) / 14
    assert axis_starts(557, 72) == tuple(round(step * i) for i in range(15))
    assert axis_starts(557, 72) != tuple(round(i * 485 / 14) for i in range(15))


def test_half_precision_rounds_sums_and_weights():
    """Three tiles of width 4 at 0, 2 and 4 with logits 1 + 2^-11: in float16 each is 1, so their mean is."""
    channels = np.full((1, 1, 1, 8), 1 + 2.0**-11, dtype=np.float32)
    found = predict_half_logits(
        channels, [identity], tile=(1, 1, 4), classes=1, mirror_axes=(), outside=[0.0], watch=quiet
    )
    assert found.dtype == np.float16
    assert found == pytest.approx(1.0, abs=2e-3)
    assert half_weights((1, 1, 4)).max() == 10
    assert half_weights((16, 96, 96)).min() > 0


def test_half_precision_averages_folds_and_tells_of_all_tiles():
    told = []
    channels = np.ones((1, 4, 8, 8), dtype=np.float32)
    networks = [lambda b: b, lambda b: b + 2]
    found = predict_half_logits(
        channels,
        networks,
        tile=(4, 8, 8),
        classes=1,
        mirror_axes=(2,),
        outside=[0.0],
        watch=lambda done, total: told.append((done, total)),
    )
    assert (found == 2).all()
    assert told == [(1, 2), (2, 2)]


def test_weights_fall_from_the_middle_and_never_vanish():
    weights = tile_weights((16, 96, 96))
    assert weights[8, 48, 48] == weights.max() == 1
    assert weights.min() > 0
    assert weights[8, 48, 60] == pytest.approx(np.exp(-0.5), abs=1e-3)


@given(st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 20)), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_blending_gives_back_what_every_tile_agrees_on(shape, seed):
    channels = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    assert predict(channels) == pytest.approx(channels, abs=1e-5)
    assert predict(channels, mirror_axes=(0, 1, 2)) == pytest.approx(channels, abs=1e-5)


def test_mirroring_averages_over_all_subsets(rng):
    """A network that adds a ramp along x: mirrored along x, the mean ramp is flat."""
    channels = rng.standard_normal((1, 4, 8, 8)).astype(np.float32)
    ramp = np.arange(8, dtype=np.float32)
    result = predict(channels, lambda batch: batch + ramp, mirror_axes=(2,))
    assert result == pytest.approx(channels + 3.5, abs=1e-5)
    assert len(mirror_sets((0, 1, 2))) == 8


def test_folds_are_averaged(rng):
    channels = rng.standard_normal((1, 4, 8, 8)).astype(np.float32)
    result = predict(channels, networks=[lambda b: b, lambda b: b + 2])
    assert result == pytest.approx(channels + 1, abs=1e-5)


def test_flat_tiles_lie_side_by_side(rng):
    channels = rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
    assert tile_corners((3, 8, 8), (1, 8, 8)) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert predict(channels, tile=(1, 8, 8)) == pytest.approx(channels, abs=1e-6)
