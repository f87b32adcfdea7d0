"""Lesions placed by side and height of the head's box, counted by hand."""

import numpy as np
import pytest

from hemoseg.evaluation.places import PlacedLesion, place_lesions, pool_places
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable

TABLE = LabelTable(("background", "hemorrhage", "edema"))
SHAPE = (9, 20, 30)
HEAD = ((0, 9), (2, 18), (5, 25))
LPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def grid(direction=LPS):
    return Grid(shape=SHAPE, spacing_mm=(5.0, 2.0, 2.0), origin_lps_mm=(0.0, 0.0, 0.0), direction=direction)


def labeled(*places, number=1):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for z, y, x in places:
        labels[z, y, x] = number
    return labels


@pytest.mark.parametrize(
    ("place", "side", "height"),
    [
        ((0, 9, 24), "left", "lower third"),  # x 24 is 19 mm to the left of the middle between 14 and 15
        ((2, 9, 5), "right", "lower third"),
        ((3, 9, 19), "near the middle", "middle third"),  # 9 mm: within 10 mm
        ((5, 9, 20), "left", "middle third"),  # 11 mm
        ((6, 9, 10), "near the middle", "upper third"),
        ((8, 9, 9), "right", "upper third"),
    ],
)
def test_side_and_third(place, side, height):
    (found,) = place_lesions(labeled(place), labeled(), grid(), TABLE, HEAD)
    assert (found.side, found.height, found.fate, found.class_name) == (side, height, "missed", "hemorrhage")
    assert found.ml == pytest.approx(0.02)


def test_the_order_of_the_array_does_not_matter():
    """Stored from left to right and from top to bottom, the same lesion lies in the same place."""
    flipped = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
    labels = labeled((1, 9, 24))
    (here,) = place_lesions(labels, labels, grid(), TABLE, HEAD)
    (there,) = place_lesions(labels[::-1, :, ::-1], labels[::-1, :, ::-1], grid(flipped), TABLE, HEAD)
    assert here == there
    assert here.fate == "found"


def test_each_class_is_matched_alone():
    reference, prediction = labeled((1, 9, 24)), labeled((1, 9, 24), number=2)
    found = place_lesions(reference, prediction, grid(), TABLE, HEAD)
    assert [(one.class_name, one.fate) for one in found] == [("hemorrhage", "missed"), ("edema", "false")]


def test_any_joins_kinds_of_blood():
    table = LabelTable(("background", "iph", "sdh"))
    reference, prediction = labeled((1, 9, 24)), labeled((1, 9, 24), number=2)
    found = place_lesions(reference, prediction, grid(), table, HEAD)
    assert [(one.class_name, one.fate) for one in found] == [("iph", "missed"), ("sdh", "false"), ("any", "found")]


def test_pooled_by_place():
    def lesion(fate, side, height, ml=1.0):
        return PlacedLesion(class_name="sah", fate=fate, ml=ml, side=side, height=height)

    rows = pool_places(
        [
            lesion("found", "left", "lower third"),
            lesion("missed", "left", "upper third", 0.25),
            lesion("missed", "near the middle", "middle third", 0.5),
            lesion("false", "right", "lower third", 2.0),
        ]
    )
    assert [(row["by"], row["place"]) for row in rows] == [
        *(("side", name) for name in ("left", "near the middle", "right")),
        *(("height", name) for name in ("lower third", "middle third", "upper third")),
    ]
    left, middle, right, lower, _, upper = rows
    assert (left["recall"]["value"], left["recall"]["n"], left["missed"], left["missed_ml"]) == (0.5, 2, 1, 0.25)
    assert (middle["recall"]["value"], middle["false_positives"]) == (0.0, 0)
    assert (right["recall"]["value"], right["false_positives"], right["false_ml"]) == (None, 1, 2.0)
    assert (lower["recall"]["value"], lower["false_positives"]) == (1.0, 1)
    assert (upper["missed"], upper["missed_ml"]) == (1, 0.25)
