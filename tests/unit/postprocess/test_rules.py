"""What each rule does to a small label map."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from hemoseg.labels import LabelTable
from hemoseg.postprocess import (
    InsideSkull,
    KeepLargest,
    MinimumConfidence,
    MinimumVolume,
    Probabilities,
    Rule,
    Threshold,
    apply_rules,
    classes_of,
    needs_probabilities,
)
from plans import head_volume

TABLE = LabelTable(("background", "hemorrhage", "edema"))
VOLUME = head_volume((4, 20, 20), (5.0, 2.0, 2.0))
"""Voxels of 0.02 ml."""


def labels_of(*boxes):
    """Label map with a class in each (class, z, y slice, x slice)."""
    labels = np.zeros((4, 20, 20), dtype=np.uint8)
    for number, z, y, x in boxes:
        labels[z, slice(*y), slice(*x)] = number
    return labels


def after(rules, labels, shares=None, volume=VOLUME):
    return apply_rules(rules, labels, shares, volume=volume, table=TABLE)


def sure(labels, *shares):
    """Probabilities of hemorrhage: shares inside the boxes of class 1, in scan order of the components."""
    values = np.zeros((2, 4, 20, 20), dtype=np.float32)
    values[0][labels == 1] = shares[0]
    for (z, y, x), share in shares[1:]:
        values[0, z, slice(*y), slice(*x)] = share
    return Probabilities.of(values)


def test_the_largest_component_stays_and_equal_ones_all_do():
    labels = labels_of((1, 0, (0, 3), (0, 3)), (1, 2, (10, 12), (10, 12)), (2, 0, (15, 17), (15, 17)))
    kept = after([KeepLargest(classes=("hemorrhage",), connectivity=26)], labels)
    assert np.array_equal(kept, labels_of((1, 0, (0, 3), (0, 3)), (2, 0, (15, 17), (15, 17))))
    equal = labels_of((1, 0, (0, 2), (0, 2)), (1, 2, (10, 12), (10, 12)))
    assert np.array_equal(after([KeepLargest(classes=("hemorrhage",), connectivity=26)], equal), equal)
    assert not after([KeepLargest(classes=("edema",), connectivity=6)], np.zeros_like(labels)).any()


def test_classes_taken_as_one_and_corners_that_touch():
    """A class stays by the other that it touches; 6 neighbors part what touches at an edge."""
    labels = labels_of((1, 0, (0, 2), (0, 2)), (2, 0, (2, 4), (0, 2)), (1, 2, (10, 13), (10, 12)))
    both = after([KeepLargest(classes=("hemorrhage", "edema"), connectivity=26)], labels)
    assert np.array_equal(both, labels_of((1, 0, (0, 2), (0, 2)), (2, 0, (2, 4), (0, 2))))
    corner = labels_of((1, 0, (0, 2), (0, 2)), (1, 1, (2, 3), (2, 3)))
    assert np.array_equal(after([KeepLargest(classes=("hemorrhage",), connectivity=26)], corner), corner)
    parted = after([KeepLargest(classes=("hemorrhage",), connectivity=6)], corner)
    assert np.array_equal(parted, labels_of((1, 0, (0, 2), (0, 2))))


def test_small_lesions_of_one_class_go():
    labels = labels_of((1, 0, (0, 2), (0, 2)), (1, 2, (10, 13), (10, 12)), (2, 3, (0, 1), (0, 1)))
    kept = after([MinimumVolume(class_name="hemorrhage", ml=0.1)], labels)
    assert np.array_equal(kept, labels_of((1, 2, (10, 13), (10, 12)), (2, 3, (0, 1), (0, 1))))
    assert np.array_equal(after([MinimumVolume(class_name="hemorrhage", ml=0.0799)], labels), labels)


def test_unsure_lesions_go():
    labels = labels_of((1, 0, (0, 2), (0, 2)), (1, 2, (10, 12), (10, 12)))
    shares = sure(labels, 0.9, ((2, (10, 12), (10, 12)), 0.55), ((2, (10, 11), (10, 12)), 0.75))
    kept = after([MinimumConfidence(class_name="hemorrhage", probability=0.7)], labels, shares)
    assert np.array_equal(kept, labels_of((1, 0, (0, 2), (0, 2))))
    assert np.array_equal(after([MinimumConfidence(class_name="hemorrhage", probability=0.6)], labels, shares), labels)


@pytest.mark.parametrize(
    ("share", "threshold", "found"), [(0.45, 0.4, 1), (0.35, 0.4, 0), (0.65, 0.7, 0), (0.75, 0.7, 1)]
)
def test_a_threshold_of_one_class_is_its_probability(share, threshold, found):
    values = np.zeros((2, 4, 20, 20), dtype=np.float32)
    values[0, 1, 2, 3] = share
    rules = [Threshold(class_name="hemorrhage", probability=threshold)]
    labels = after(rules, np.zeros((4, 20, 20), dtype=np.uint8), Probabilities.of(values))
    assert labels[1, 2, 3] == found
    assert labels.sum() == found


def test_thresholds_come_before_the_other_rules():
    values = np.zeros((2, 4, 20, 20), dtype=np.float32)
    values[0, 0, 0:3, 0:3] = 0.45
    values[0, 2, 10:12, 10:12] = 0.9
    plain = labels_of((1, 2, (10, 12), (10, 12)))
    rules = [KeepLargest(classes=("hemorrhage",), connectivity=26), Threshold(class_name="hemorrhage", probability=0.4)]
    assert np.array_equal(after(rules, plain, Probabilities.of(values)), labels_of((1, 0, (0, 3), (0, 3))))


def test_bone_and_what_is_outside_the_skull_goes_where_the_skull_is_closed():
    hu = np.full((4, 20, 20), 30, dtype=np.float32)
    for z in (0, 1):  # a ring of 18 x 18 pixels, 1024 mm2 inside; open on one side in slice 1
        hu[z, 1:19, 1] = hu[z, 1:19, 18] = hu[z, 1, 1:19] = hu[z, 18, 1:19] = 900
    hu[1, 5:8, 18] = 30
    labels = np.ones((4, 20, 20), dtype=np.uint8)
    kept = after([InsideSkull(bone_hu=300)], labels, volume=replace(VOLUME, hu=hu))
    assert np.argwhere(kept[0]).min() == 2
    assert np.argwhere(kept[0]).max() == 17
    assert np.array_equal(kept[1] == 0, hu[1] > 300)
    assert kept[2:].all()


def test_rules_survive_the_disk():
    rules = (
        KeepLargest(classes=("a", "b"), connectivity=6),
        MinimumVolume(class_name="a", ml=0.1),
        MinimumConfidence(class_name="a", probability=0.6),
        InsideSkull(bone_hu=300),
        Threshold(class_name="b", probability=0.4),
    )
    adapter = TypeAdapter(tuple[Rule, ...])
    assert adapter.validate_json(adapter.dump_json(rules)) == rules
    assert [classes_of(rule) for rule in rules] == [("a", "b"), ("a",), ("a",), (), ("b",)]
    assert [needs_probabilities([rule]) for rule in rules] == [False, False, True, False, True]
    assert len({str(rule) for rule in rules}) == 5


REGIONS = LabelTable(("background", "lesion", "hemorrhage"), regions=((1, 2), (1,)), paint=(2, 1))
"""Edema is what `lesion` has and `hemorrhage` has not."""


def test_what_a_rule_takes_from_a_region_is_background():
    """nnU-Net's way: a core that goes leaves a hole in what surrounds it."""
    labels = labels_of(
        (2, 0, (0, 6), (0, 6)), (1, 0, (0, 3), (0, 3)), (1, 0, (5, 6), (5, 6)), (2, 2, (15, 17), (15, 17))
    )
    core = KeepLargest(classes=("hemorrhage",), connectivity=26)
    whole = KeepLargest(classes=("lesion",), connectivity=26)
    kept = apply_rules([core], labels, None, volume=VOLUME, table=REGIONS)
    assert (kept[0, 5, 5], kept[0, 5, 4], kept[2, 15, 15]) == (0, 2, 2)
    assert np.array_equal(kept == 1, labels_of((1, 0, (0, 3), (0, 3))) == 1)
    kept = apply_rules([whole], labels, None, volume=VOLUME, table=REGIONS)
    assert (kept[0, 5, 5], kept[2, 15, 15]) == (1, 0)
    small = apply_rules([MinimumVolume(class_name="hemorrhage", ml=0.1)], labels, None, volume=VOLUME, table=REGIONS)
    assert (small[0, 5, 5], small[0, 0, 0], small[2, 15, 15]) == (0, 1, 2)


def test_probabilities_of_regions_decide_each_for_itself():
    labels = labels_of((2, 0, (0, 4), (0, 4)), (1, 0, (0, 2), (0, 2)))
    values = np.zeros((2, 4, 20, 20), dtype=np.float32)
    values[0][labels > 0], values[1][labels == 1] = 0.75, 0.625
    shares = Probabilities.of(values)
    rule = MinimumConfidence(class_name="hemorrhage", probability=0.7)
    unsure = apply_rules([rule], labels, shares, volume=VOLUME, table=REGIONS)
    assert np.array_equal(unsure, np.where(labels == 1, 0, labels))
    higher = Threshold(class_name="hemorrhage", probability=0.7)
    assert np.array_equal(
        apply_rules([higher], labels, shares, volume=VOLUME, table=REGIONS), np.where(labels == 1, 2, labels)
    )
    assert np.array_equal(shares.labels(paint=REGIONS.paint), labels)
