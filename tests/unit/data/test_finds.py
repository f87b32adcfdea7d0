"""The shares of the recipe for head CT: lesions drawn evenly, bright background, cases without foreground."""

import numpy as np
import pytest

from hemoseg.data import Sampler, StoredCase
from hemoseg.data.finds import Bright, Lesions, foreground_quartile
from hemoseg.plan import Recipe
from plans import tiny_configuration, tiny_plan

SHAPE = (8, 64, 64)
SMALL, LARGE = (1, 5, 6), (slice(3, 7), slice(30, 60), slice(10, 50))


def stored(name="a", *, empty=False):
    hu = np.full(SHAPE, 30, dtype=np.float32)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    if not empty:
        labels[SMALL] = 1
        labels[LARGE] = 1
    hu[labels > 0] = 70
    hu[0, 60, 3:5] = 72  # calcified, and not labeled
    hu[0, 0] = 100  # bone
    return StoredCase(name=name, image=hu[None], labels=labels, previous=None)


def make(*cases, held_out=(), batch_size=2, **shares):
    plan = tiny_plan(tiny_configuration(batch_size=batch_size), recipe=Recipe(**shares))
    return Sampler(cases, plan, plan.configurations[0], fold=0, held_out=held_out)


def share_of(sampler, number, found, *, patches=600):
    batches = [sampler.batch(i) for i in range(patches)]
    return np.mean([found(batch, number) for batch in batches])


def holds_small(batch, number):
    return 0 < np.count_nonzero(batch.labels[number]) <= 1


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.5, 0.25), (1.0, 0.5)])
def test_lesions_are_drawn_evenly_in_their_share(share, expected):
    """By voxels, the small one has one chance in 4801."""
    found = share_of(make(stored(), even_lesions=share), 0, holds_small)
    assert found == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.4, 0.4), (1.0, 1.0)])
def test_bright_background_is_seen_in_its_share(share, expected):
    """Two voxels in a corner, in which a random patch ends up once in 500 times."""
    sampler = make(stored(), hard_negatives=share)
    draws = [sampler.draw(np.random.default_rng(i), sampler.cases, forced=False) for i in range(600)]
    held = [z == 0 and y + 16 > 60 and x <= 4 for z, y, x in (draw.corner for draw in draws)]
    assert np.mean(held) == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.25), (0.6, 0.6 + 0.4 / 4), (1.0, 1.0)])
def test_cases_without_foreground_have_their_share(share, expected):
    sampler = make(stored("a"), stored("b"), stored("c"), stored("none", empty=True), empty_cases=share)
    found = share_of(sampler, 1, lambda batch, number: batch.cases[number] == "none")
    assert found == pytest.approx(expected, abs=0.07)
    assert share_of(sampler, 0, lambda batch, number: batch.cases[number] == "none", patches=30) == 0


def test_names_are_known_without_reading_with_all_shares():
    shares = {"even_lesions": 0.5, "hard_negatives": 0.5, "empty_cases": 0.5}
    sampler = make(stored("a"), stored("b"), stored("none", empty=True), batch_size=5, **shares)
    assert all(sampler.batch(i).cases == sampler.names_of(i) for i in range(40))


def test_validation_knows_no_shares():
    shares = {"even_lesions": 1.0, "hard_negatives": 1.0, "empty_cases": 1.0}
    held_out = [stored("a"), stored("none", empty=True)]
    plain, shared = make(stored(), held_out=held_out), make(stored(), held_out=held_out, **shares)
    for number in range(10):
        assert np.array_equal(plain.validation_batch(number).labels, shared.validation_batch(number).labels)


def test_lesions_touch_over_corners_and_give_all_their_voxels():
    labels = np.zeros((3, 4, 5), dtype=np.uint8)
    first = {(0, 0, 0), (1, 1, 1), (1, 1, 2)}
    for at in (*first, (2, 3, 4)):
        labels[at] = 1
    labels[0, 3, 0] = 2
    lesions = Lesions.of(labels, (1,))
    assert lesions.count == 2
    found = [tuple(lesions.draw(np.random.default_rng(i)).tolist()) for i in range(900)]
    assert set(found) == first | {(2, 3, 4)}
    assert found.count((2, 3, 4)) / 900 == pytest.approx(1 / 2, abs=0.06)
    assert found.count((1, 1, 2)) / 900 == pytest.approx(1 / 6, abs=0.05)


def test_bright_background_by_hand():
    case = stored()
    assert foreground_quartile([case], ignore=3) == 70
    assert foreground_quartile([stored(empty=True)], ignore=3) is None
    bright = Bright.of(case, 70.0)
    assert bright.count == 2
    assert {tuple(bright.draw(np.random.default_rng(i), case)) for i in range(20)} == {(0, 60, 3), (0, 60, 4)}
    assert not make(stored(empty=True), hard_negatives=1.0).batch(0).labels.any()


def test_a_lesion_of_a_region_may_have_several_numbers():
    labels = np.zeros((3, 4, 5), dtype=np.uint8)
    labels[0, 0, :2] = 1, 2
    labels[2, 3, 4] = 2
    assert (Lesions.of(labels, (1, 2)).count, Lesions.of(labels, (2,)).count) == (2, 2)
