"""Pseudo Dice: counts by hand."""

from math import isnan

import pytest
import torch

from hemoseg.training.validation import Tally, hard_counts, mean_dice


def test_counts_by_hand_without_ignored_voxels():
    """Six voxels: found 0 1 1 2 1 2, labels 0 1 2 2 3 3, where 3 is ignored."""
    found = torch.tensor([0, 1, 1, 2, 1, 2]).reshape(1, 1, 1, 6)
    labels = torch.tensor([0, 1, 2, 2, 3, 3]).reshape(1, 1, 1, 6)
    logits = torch.nn.functional.one_hot(found, 3).permute(0, 4, 1, 2, 3).float()
    counts = hard_counts(logits, labels, ignore=3)
    assert counts.tolist() == [[1, 1], [1, 0], [0, 1]]  # true, false, missed of classes 1 and 2
    tally = Tally().plus(-0.5, counts.tolist()).plus(0.25, counts.tolist())
    assert (tally.batches, tally.loss) == (2, -0.25)
    assert tally.dice == pytest.approx((2 * 2 / (2 * 2 + 2), 2 * 2 / (2 * 2 + 2)))


def test_regions_overlap():
    """Region 1 of labels 1 and 2, region 2 of label 2; found where logits exceed 0."""
    labels = torch.tensor([1, 2, 0, 3]).reshape(1, 1, 1, 4)
    logits = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, -1.0, 1.0]]).reshape(1, 2, 1, 1, 4)
    counts = hard_counts(logits, labels, ignore=3, regions=((1, 2), (2,)))
    assert counts.tolist() == [[2, 0], [1, 1], [0, 1]]


def test_a_class_that_is_nowhere_has_no_dice_and_no_say():
    tally = Tally().plus(0.0, [[4, 0], [0, 0], [0, 0]])
    assert tally.dice[0] == 1
    assert isnan(tally.dice[1])
    assert mean_dice(tally.dice) == 1
