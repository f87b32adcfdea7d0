"""Logits go back plane by plane: what a box holds goes where it went as part of the whole."""

import numpy as np
import pytest

from hemoseg.plan import Channel, Spline, SplineResampling
from hemoseg.preprocess import WayBack, blank_logits, give_back, prepare
from hemoseg.preprocess.back import first_largest
from plans import head_volume, tiny_preparation

STORED = {
    "orientation": "as-stored",
    "channels": (Channel(name="CT"),),
    "windowed": "first",
    "head_crop": False,
    "nonzero_crop": True,
}
WAYS = {
    "averages": ({}, (7.0, 3.0, 3.0)),
    "same": ({}, (5.0, 2.0, 2.0)),
    "finer": ({}, (2.0, 1.3, 1.3)),
    "apart": (STORED | {"resampling": SplineResampling()}, (5.0, 1.1, 1.3)),
    "apart-mixed": (STORED | {"resampling": SplineResampling(logits=Spline(order=1, z_order=1))}, (8.0, 1.1, 1.3)),
    "apart-cubic": (STORED | {"resampling": SplineResampling(logits=Spline(order=3))}, (5.0, 1.1, 1.3)),
    "together": (STORED | {"resampling": SplineResampling(logits=Spline(order=1, separate_z=False))}, (4.0, 2.3, 2.5)),
    "transposed": (STORED | {"resampling": SplineResampling(), "transpose": (1, 0, 2)}, (3.0, 7.0, 3.0)),
}


@pytest.fixture(params=WAYS)
def way(request, rng):
    """A prepared head, smooth logits of three classes on its grid, and a box in it."""
    changes, spacing_mm = WAYS[request.param]
    prepared = prepare(head_volume(), tiny_preparation(**changes), spacing_mm)
    logits = rng.standard_normal((3, *prepared.shape)).astype(np.float32).cumsum(axis=2).cumsum(axis=3)
    box = tuple(slice(size // 5, size - size // 4) for size in prepared.shape)
    return prepared, logits, box


def test_a_box_alone_gives_what_it_gives_within_the_whole(way):
    """But near its border, where less than the whole is known; beyond, all is background."""
    prepared, logits, box = way
    blank = blank_logits(3, prepared.shape, is_regions=False)
    blank[(slice(None), *box)] = logits[(slice(None), *box)]
    whole, inside = give_back(logits, prepared).labels, give_back(blank, prepared).labels
    back = WayBack(prepared, outputs=3, box=box)
    for z in range(box[0].start, box[0].stop):
        back.take(logits[:, z : z + 1, box[1], box[2]])
    found = back.finish().labels
    assert found.any()
    differ = found != whole
    assert (differ & (found != 0)).mean() < 1e-3
    assert (found != inside).mean() < 0.04


def test_how_many_planes_come_at_once_does_not_matter(way):
    prepared, logits, _ = way
    back = WayBack(prepared, outputs=3, with_shares=True)
    for first in range(0, prepared.shape[0], 3):
        held = logits[:, first : first + 3].copy()
        back.take(held)
        held[:] = np.nan  # as a buffer that is used again
    one, all_at_once = back.finish(), give_back(logits, prepared, with_shares=True)
    assert np.array_equal(one.labels, all_at_once.labels)
    assert np.array_equal(one.shares, all_at_once.shares)
    assert one.shares.max() <= 1


def test_what_is_looked_at_lies_where_the_labels_do(way):
    """Each plane is shown with its place, and places lead to indices of the scan as it is stored."""
    prepared, logits, _ = way
    back = WayBack(prepared, outputs=3)
    seen = np.zeros(back.labels.shape, dtype=np.uint8)

    def look(number, place, found):
        seen[(number, *place)] = found.argmax(axis=0)

    back.look = look
    back.take(logits)
    labels = back.finish().labels
    assert np.array_equal(seen, back.labels)
    for place in np.argwhere(seen)[:: max(1, np.count_nonzero(seen) // 50)]:
        assert labels[back.index(tuple(map(int, place)))] == seen[tuple(place)]


def test_no_box_is_background(way):
    prepared, _, _ = way
    back = WayBack(prepared, outputs=3, box=(slice(0, 0),) * 3, with_shares=True)
    assert not back.finish().labels.any()
    assert not back.finish().shares.any()


def test_of_equal_logits_the_first_class_wins(rng):
    logits = rng.integers(0, 3, (4, 9, 9)).astype(np.float16)
    assert np.array_equal(first_largest(logits), logits.argmax(axis=0))
