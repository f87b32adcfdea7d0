"""The sliding window: coverage, blending, mirroring."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.inference.field import nnunet_field, part_field, place_of, whole_field
from hemoseg.inference.later import may_be_there, telling, worth_running
from hemoseg.inference.sliding import Outside, mirror_sets, stream_logits
from hemoseg.inference.tiles import axis_starts, half_weights, part_starts, tile_corners, tile_weights


def quiet(done, total):
    pass


def identity(batch):
    """A network whose logits are its input."""
    return batch


def predict(
    channels,
    network=identity,
    *,
    tile=(4, 8, 8),
    mirror_axes=(),
    networks=None,
    field=None,
    half=False,
    repeats_slices=False,
    **rest,
):
    """All slices at once, of the whole volume or of the box that the field's tiles cover."""
    count = channels.shape[0]
    slices = stream_logits(
        channels,
        networks or [network],
        field=field or whole_field(channels.shape[1:], tile),
        blank=np.arange(count, dtype=np.float32) - 100,
        mirror_axes=mirror_axes,
        outside=Outside(values=tuple(float(i) for i in range(count)), repeats_slices=repeats_slices),
        half=half,
        **{"watch": quiet, **rest},
    )
    return np.concatenate([one.copy() for one in slices], axis=1)


def test_beyond_the_volume_lies_what_training_put_there():
    """A network that tells the value of the voxel above: the topmost slice sees the padding."""
    channels = np.full((2, 1, 8, 8), 7, dtype=np.float32)
    above = predict(channels, lambda batch: np.roll(batch, 1, axis=2), tile=(3, 8, 8))
    assert above[0] == pytest.approx(0)
    assert above[1] == pytest.approx(1)


def test_outermost_slices_are_repeated_beyond_the_volume_where_training_did_so():
    """Two slices amid a tile of seven, a network that adds what lies two slices above and three below."""
    channels = np.array([3, 50], dtype=np.float32).reshape(1, 2, 1, 1) * np.ones((2, 1, 6, 8), dtype=np.float32)
    channels[1] += 1

    def network(batch):
        return np.roll(batch, 2, axis=2) + np.roll(batch, -3, axis=2)

    found = predict(channels, network, tile=(7, 8, 8), repeats_slices=True)
    assert found[0, :, 3, 3] == pytest.approx([3 + 50, 3 + 50])
    assert found[1, :, 3, 3] == pytest.approx([4 + 51, 4 + 51])
    seen = []
    predict(channels, lambda batch: seen.append(batch) or batch, tile=(7, 8, 8), repeats_slices=True)
    assert (seen[0][0, :, :, 0] == np.array([0, 1])[:, None, None]).all(), "beyond its borders a slice is not repeated"
    assert (seen[0][0, 0, :, 3, 3] == [3, 3, 3, 50, 50, 50, 50]).all()


@given(st.integers(1, 300), st.integers(1, 64))
@settings(max_examples=200)
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
    found = predict(channels, tile=(1, 1, 4), half=True)
    assert found.dtype == np.float16
    assert found == pytest.approx(1.0, abs=2e-3)
    assert half_weights((1, 1, 4)).max() == 10
    assert half_weights((16, 96, 96)).min() > 0


@pytest.mark.parametrize("half", [False, True])
def test_folds_are_averaged_and_all_tiles_told_of(half):
    told = []
    slices = stream_logits(
        np.ones((1, 6, 8, 8), dtype=np.float32),
        [lambda b: b, lambda b: b + 2],
        field=whole_field((6, 8, 8), (4, 8, 8)),
        blank=np.zeros(1, dtype=np.float32),
        mirror_axes=(2,),
        outside=Outside(values=(0.0,)),
        half=half,
        watch=lambda done, total: told.append((done, total)),
    )
    assert all(np.allclose(one, 2, atol=1e-2 if half else 1e-6) for one in slices)
    assert told == ([(1, 4), (2, 4), (3, 4), (4, 4)] if half else [(1, 2), (2, 2)])


def test_weights_fall_from_the_middle_and_never_vanish():
    weights = tile_weights((16, 96, 96))
    assert weights[8, 48, 48] == weights.max() == 1
    assert weights.min() > 0
    assert weights[8, 48, 60] == pytest.approx(np.exp(-0.5), abs=1e-3)


@given(st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 20)), st.integers(0, 99))
@settings(max_examples=40)
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


@st.composite
def parts(draw):
    """A volume, a tile, and marked voxels."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 24), st.integers(1, 24)))
    tile = draw(st.tuples(st.sampled_from([1, 2, 5]), st.sampled_from([4, 7]), st.sampled_from([4, 8])))
    seed, share = draw(st.integers(0, 99)), draw(st.sampled_from([0.002, 0.05, 0.9]))
    return np.random.default_rng(seed).random(shape) < share, tile


@given(parts())
@settings(max_examples=150)
def test_every_marked_voxel_is_covered_and_no_tile_is_blank(case):
    part, tile = case
    field = part_field(part, tile)
    covered = np.zeros(part.shape, dtype=int)
    for corner in field.corners:
        covered[place_of(corner, tile)] += 1
        assert part[place_of(corner, tile)].any()
    assert covered[part].all()
    outside_box = covered.copy()
    outside_box[field.box] = 0
    assert not outside_box.any()
    assert len(field.corners) <= len(whole_field(part.shape, tile).corners)
    first = np.zeros(part.shape, dtype=bool)
    for corner in set(field.corners) - field.later:
        first[place_of(corner, tile)] = True
    assert first[part].all()


def moody(batch):
    """A network that mixes neighbors and looks at the whole tile, so that results tell which tiles were run."""
    return (
        np.float32(0.7) * batch
        + np.float32(0.3) * np.roll(batch, 1, axis=-1)
        + batch.mean(axis=(2, 3, 4), keepdims=True)
    )


@given(parts())
@settings(max_examples=40)
def test_what_is_marked_is_as_if_no_tile_had_been_left_out(case):
    """Skipped tiles of the same grid change no marked voxel to the bit; what nothing covers is background."""
    part, tile = case
    channels = np.random.default_rng(1).standard_normal((2, *part.shape)).astype(np.float32)
    every = whole_field(part.shape, tile)
    some = [corner for corner in every.corners if part[place_of(corner, tile)].any()]
    assert part_field(np.ones_like(part), tile).corners == every.corners
    field = type(every)(tile=tile, corners=tuple(some), box=every.box)
    full, found = predict(channels, moody, field=every), predict(channels, moody, field=field)
    assert np.array_equal(found[:, part], full[:, part])
    covered = np.zeros(part.shape, dtype=bool)
    for corner in some:
        covered[place_of(corner, tile)] = True
    assert (found[:, ~covered] == np.array([[-100], [-99]])).all()
    assert (found[:, covered] > -50).all()


@given(parts())
@settings(max_examples=150)
def test_nnunets_tiles_over_a_part_are_its_own_and_the_first_of_them_cover_it(case):
    part, tile = case
    field, whole = nnunet_field(part, tile), whole_field(part.shape, tile)
    assert field.corners == tuple(c for c in whole.corners if part[place_of(c, tile)].any())
    assert field.later <= set(field.corners)
    covered = np.zeros(part.shape, dtype=bool)
    for corner in set(field.corners) - field.later:
        covered[place_of(corner, tile)] = True
    assert covered[part].all()


def in_hundredths(logits):
    """Two classes, as probabilities above three hundredths are found."""
    return may_be_there(logits, outputs=2, is_regions=False)


def spotted(batch):
    """A network that finds what is bright, each tile a little more or less of it."""
    logits = np.zeros_like(batch)
    logits[:, 1] = batch[:, 0] - 5 + batch[:, 0, :, :, :1].mean(axis=(1, 2, 3))[:, None, None, None]
    return logits


def test_later_tiles_are_run_where_they_matter_for_what_was_found():
    """Tiles of 8 over 16 rows and columns begin at 0, 4 and 8: four cover all, five come later."""
    field = nnunet_field(np.ones((4, 16, 16), dtype=bool), (4, 8, 8))
    assert len(field.corners) == 9
    assert sorted(field.later) == [(0, 0, 4), (0, 4, 0), (0, 4, 4), (0, 4, 8), (0, 8, 4)]
    channels = np.zeros((2, 4, 16, 16), dtype=np.float32)
    told = []
    nothing = predict(channels, spotted, field=field, is_there=in_hundredths, watch=lambda *counts: told.append(counts))
    assert told[-1] == (4, 4)
    assert nothing[1] == pytest.approx(-5, abs=0.2)
    channels[0, 1, 7:9, 3:5] = 12
    told.clear()
    found = predict(channels, spotted, field=field, is_there=in_hundredths, watch=lambda *counts: told.append(counts))
    every = predict(channels, spotted, field=field)
    assert told[-1][0] == told[-1][1] < 9
    assert np.array_equal(found.argmax(axis=0), every.argmax(axis=0))
    assert np.abs(found - every)[:, 1, 7:9, 3:5].max() < 0.1
    assert not np.array_equal(found, every)


def test_a_tile_with_three_hundredths_of_a_voxels_weight_is_worth_running():
    """What else of the five later tiles: with 16 rows and columns, tiles of 8 begin at 0, 4 and 8."""
    field = nnunet_field(np.ones((4, 16, 16), dtype=bool), (4, 8, 8))
    weights = np.zeros((len(field.corners), 16, 16))
    for one, (_, y, x) in zip(weights, field.corners, strict=True):
        one[y : y + 8, x : x + 8] = tile_weights((4, 8, 8))[2]
    shares = weights / weights.sum(axis=0)
    later = [corner for corner in field.corners if corner in field.later]
    counts = set()
    for y, x in np.ndindex(16, 16):
        there = np.zeros((16, 16), dtype=bool)
        there[y, x] = True
        needed = [c for c, one in zip(field.corners, shares[:, y, x], strict=True) if c in later and one >= 0.03]
        assert worth_running(field, later, there) == needed
        counts.add(len(needed))
    assert counts >= {1, 3}, "some voxels need few tiles, others more"


def test_a_tile_tells_of_voxels_in_whose_mean_it_has_three_hundredths():
    """Tiles of (4, 8, 8) over (6, 16, 16): two layers of nine; its own border tells where nothing else reaches."""
    field = whole_field((6, 16, 16), (4, 8, 8))
    weights = np.zeros((len(field.corners), 6, 16, 16))
    for one, corner in zip(weights, field.corners, strict=True):
        one[place_of(corner, field.tile)] = tile_weights(field.tile)
    shares = weights / weights.sum(axis=0)
    for corner, share in zip(field.corners, shares, strict=True):
        assert np.array_equal(telling(field, corner), share[place_of(corner, field.tile)] >= 0.03)
    corner = telling(field, (0, 0, 0))
    assert corner[0, 0, 0]
    assert not corner[3, 7, 7]


def test_a_tile_beyond_the_volume_tells_of_the_volume_alone():
    assert np.argwhere(telling(whole_field((2, 8, 8), (4, 8, 8)), (-1, 0, 0)))[:, 0].tolist() == [1] * 64 + [2] * 64


class Spotted:
    """`spotted`, of odd and mirrored copies too; `passes` counts them."""

    passes = 0

    def __call__(self, batch):
        self.passes += len(batch)
        return spotted(batch)


@pytest.mark.parametrize(
    ("place", "tiles", "mirrored"),
    [
        (None, 4, 0),  # nothing: four tiles that cover all
        ((1, 2, 2), 4, 1),  # amid the first tile, where none of the later ones has a share
        ((1, 7, 2), 5, 1),  # at its border: a later tile has nearly all of the mean, and it alone is mirrored
        ((1, 6, 2), 5, 2),  # a row from there: both have a noticeable share
    ],
)
def test_mirrored_copies_are_run_of_tiles_that_found_something_where_they_tell(place, tiles, mirrored):
    field = nnunet_field(np.ones((4, 16, 16), dtype=bool), (4, 8, 8))
    channels = np.zeros((2, 4, 16, 16), dtype=np.float32)
    if place is not None:
        channels[0][place] = 12
    network, every = Spotted(), Spotted()
    found = predict(channels, network, field=field, mirror_axes=(1, 2), is_there=in_hundredths)
    full = predict(channels, every, field=field, mirror_axes=(1, 2))
    assert every.passes == 9 * 4
    assert network.passes == tiles + 3 * mirrored
    assert np.array_equal(found.argmax(axis=0), full.argmax(axis=0))


def test_what_may_be_there_has_three_hundredths_of_the_probability():
    """Of two classes the larger counts, as the lead over the background: 0.029 and 0.031 of their sum."""
    logits = np.log(np.array([[[0.971, 0.969]], [[0.029, 0.005]], [[0.020, 0.031]]], dtype=np.float32))
    assert may_be_there(logits, outputs=3, is_regions=False).tolist() == [[False, True]]
    assert may_be_there(logits, outputs=2, is_regions=False).tolist() == [[False, False]]
    assert may_be_there(np.float32([[[-3.4, -3.5]], [[9, 9]]]), outputs=1, is_regions=True).tolist() == [[True, False]]


@given(st.integers(1, 40), st.integers(2, 20), st.sampled_from([0.5, 0.75, 1.0]), st.data())
@settings(max_examples=200)
def test_tiles_over_a_part_reach_as_far_on_either_side(size, tile, step, data):
    first = data.draw(st.integers(0, size - 1))
    part = slice(first, data.draw(st.integers(first + 1, size)))
    starts = part_starts(part, size, tile, step)
    assert starts[0] <= part.start
    assert starts[-1] + tile >= part.stop
    assert (np.diff(starts) <= tile * step + 1).all()
    if size > tile:
        assert starts[0] >= 0
        assert starts[-1] + tile <= size
        before, after = part.start - starts[0], starts[-1] + tile - part.stop
        assert abs(before - after) <= 1 or starts[0] == 0 or starts[-1] + tile == size


def test_slices_are_given_as_soon_as_no_tile_reaches_them():
    """Tiles of 4 slices over 8 begin at 0, 2 and 4: before the second tile is run, two slices are complete."""
    seen = []
    slices = stream_logits(
        np.ones((1, 8, 8, 8), dtype=np.float32),
        [identity],
        field=whole_field((8, 8, 8), (4, 8, 8)),
        blank=np.zeros(1, dtype=np.float32),
        mirror_axes=(),
        outside=Outside(values=(0.0,)),
        half=False,
        watch=lambda done, _: seen.append(done),
    )
    assert [(next(slices).shape[1], len(seen)) for _ in range(4)] == [(1, 1), (1, 1), (1, 2), (1, 2)]


@pytest.mark.parametrize("shape", [(1, 30, 30), (2, 5, 9), (3, 40, 8), (9, 3, 40)])
def test_odd_shapes_come_back_whole(shape, rng):
    channels = rng.standard_normal((1, *shape)).astype(np.float32)
    assert predict(channels, tile=(4, 8, 8)) == pytest.approx(channels, abs=1e-5)
    half = predict(channels, tile=(4, 8, 8), half=True)  # nnU-Net's weights vanish in corners
    assert half.shape == channels.shape
    assert (np.abs(half - channels) > 1e-2).mean() < 0.05


def test_small_tiles_are_run_together(rng):
    """What a network that looks at single patches gives does not depend on how many it gets at once."""
    sizes = []

    def watched(batch):
        sizes.append(len(batch))
        return moody(batch)

    channels = rng.standard_normal((1, 4, 16, 16)).astype(np.float32)
    together = predict(channels, watched)
    alone = predict(channels, lambda batch: np.concatenate([moody(one[None]) for one in batch]))
    assert max(sizes) > 1
    assert np.array_equal(together, alone)
