"""Measures against numbers worked out by hand or by plain numpy."""

import numpy as np
import pytest
from defects import image, rewrite
from hypothesis import assume, given
from hypothesis import strategies as st

from hemoseg.datasets.doctor.examine import Examination, examine_case
from hemoseg.datasets.doctor.image import measure_image
from hemoseg.datasets.doctor.label import measure_label
from hemoseg.datasets.doctor.stack import best_exchange, best_swap, make_thumbs
from hemoseg.datasets.doctor.survey import survey_dataset
from hemoseg.datasets.doctor.tally import Tally
from hemoseg.labels import LabelTable

TABLE = LabelTable(("background", "hemorrhage", "edema"))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.float32])
def test_counts_are_those_of_numpy(rng, kind):
    numbers = rng.integers(-100 if np.dtype(kind).kind != "u" else 0, 120, (19, 6, 5)).astype(kind)
    tally = Tally.of(numbers)
    assert tally.total == numbers.size
    for first, last in ((-50, 30), (0, 0), (-40000, 40000), (119, 500)):
        assert tally.within(first, last).sum() == np.count_nonzero((numbers >= first) & (numbers <= last))
    assert Tally.of(numbers, step=2).total == numbers[:, ::2].size


def test_an_image_is_known_again_however_it_is_packed(rng):
    hu = rng.integers(-1000, 1000, (4, 16, 16)).astype(np.int16)
    facts = measure_image(hu)
    assert measure_image(hu.astype(np.float32)).content == facts.content
    other = hu.copy()
    other[2, 3, 4] += 1
    assert measure_image(other).content != facts.content
    assert measure_image(hu + np.float32(0.25)).content != facts.content


def test_shares_of_an_image_by_hand():
    hu = np.full((2, 10, 10), -1000, dtype=np.int16)
    hu[0] = 30  # half of the voxels
    hu[1, :2] = -2000  # a tenth
    facts = measure_image(hu)
    assert (facts.low, facts.high, facts.padding) == (-2000, 30, 20)
    assert (facts.soft_share, facts.air_share, facts.zero_share) == (0.5, 0.5, 0.0)


@given(st.integers(4, 12), st.data())
def test_the_exchange_that_was_made_is_the_one_found(count, data):
    """Slices on a line: any two that are exchanged are found, unless that is the line read backward."""
    first = data.draw(st.integers(0, count - 2))
    second = data.draw(st.integers(first + 1, count - 1))
    place = np.arange(count, dtype=np.float64)
    distances = np.abs(place[:, None] - place[None, :])
    assert best_swap(distances)[1] == 0.0
    place[[first, second]] = place[[second, first]]
    swap, gain = best_swap(np.abs(place[:, None] - place[None, :]))
    place[list(swap)] = place[list(swap)[::-1]]
    assert gain > 0
    assert np.abs(np.diff(place)).sum() == count - 1


@given(st.integers(5, 30), st.data())
def test_the_blocks_that_were_exchanged_are_the_ones_found(count, data):
    """Slices on a line: two neighboring blocks of two slices or more, which are not the whole line."""
    first, second, end = sorted(data.draw(st.sets(st.integers(0, count), min_size=3, max_size=3)))
    assume(end - first < count and min(second - first, end - second) > 1)
    place = np.arange(count, dtype=np.float64)
    assert best_exchange(np.abs(place[:, None] - place[None, :]))[1] == 0.0
    place = np.concatenate([place[:first], place[second:end], place[first:second], place[end:]])
    (a, b, c), gain = best_exchange(np.abs(place[:, None] - place[None, :]))
    place = np.concatenate([place[:a], place[b:c], place[a:b], place[c:]])
    assert gain > 0
    assert np.array_equal(place, np.arange(count))


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_thumbnails_are_means_of_blocks(rng, kind):
    hu = rng.integers(-1000, 1000, (3, 256, 64)).astype(kind)
    expected = np.clip(hu[:, ::2], -200, 200).reshape(3, 32, 4, 32, 2).astype(np.float64).mean(axis=(2, 4))
    np.testing.assert_allclose(make_thumbs(hu), expected, rtol=1e-5, atol=1e-3)


def test_a_label_by_hand():
    labels = np.zeros((6, 8, 8), dtype=np.uint8)
    hu = np.full((6, 8, 8), 30, dtype=np.int16)
    labels[2, 2:4, 2:4] = 1
    hu[2, 2:4, 4:6] = 60  # blood where the label lies with its columns reversed
    labels[4, 6, 6] = 2
    hu[4, 6, 6] = 500
    hu[0] = -1000
    facts = measure_label(labels, hu, TABLE)
    assert facts.values == (0, 1, 2)
    assert {name: (c.voxels, c.air, c.bone) for name, c in facts.classes.items()} == {
        "hemorrhage": (4, 0, 0),
        "edema": (1, 0, 1),
    }
    assert (facts.slices, facts.islands) == ((2, 4), (4,))
    assert (facts.blood_share, facts.turned_share, facts.turn) == (0.0, 1.0, "its columns reversed")


def test_orders_of_axes_do_not_matter(root):
    """The same head stored sagittally gives the same slices."""
    entry, *_ = survey_dataset(root).entries
    before = examine_case(Examination(entry=entry, table=TABLE))
    for path in (image(root), entry.label):
        rewrite(path, lambda array: array.transpose(2, 0, 1), frame=lambda affine: affine[:, [1, 2, 0, 3]])
    after = examine_case(Examination(entry=entry, table=TABLE))
    assert after.stack.areas == before.stack.areas
    assert after.label.slices == before.label.slices
    np.testing.assert_array_equal(after.stack.signature, before.stack.signature)


def test_noise_after_clipping_is_no_tissue(rng):
    """Air at -20 HU spreads to its neighbors and stays commoner than brain."""
    hu = np.full((4, 64, 64), -20.0)
    hu[:, 16:48, 16:48] = 33 + rng.normal(0, 4, (4, 32, 32))
    noisy = np.clip(np.rint(hu + rng.normal(0, 4, hu.shape)), -20, 100).astype(np.int16)
    mode = measure_image(noisy).tissue_mode_hu
    assert mode is not None
    assert abs(mode - 33) <= 3


def test_a_region_has_all_voxels_of_its_numbers():
    table = LabelTable(("background", "lesion", "hemorrhage"), 3, regions=((1, 2), (1,)))
    labels, hu = np.zeros((3, 8, 8), dtype=np.uint8), np.full((3, 8, 8), 60, dtype=np.int16)
    labels[1, 2, 2:6] = 2, 1, 1, 2
    labels[2] = 3
    facts = measure_label(labels, hu, table)
    assert {name: part.voxels for name, part in facts.classes.items()} == {"lesion": 4, "hemorrhage": 2}
    assert (facts.values, facts.slices, facts.full_slices) == ((0, 1, 2, 3), (1,), {3: (2,)})
    assert facts.blood_share == 1
