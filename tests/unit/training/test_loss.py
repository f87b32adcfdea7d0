"""The loss: hand-checked values."""

import math

import pytest
import torch

from hemoseg.training.loss import deep_loss, dice_ce, shrink_labels, soft_dice, supervision_weights


def test_supervision_weights():
    assert supervision_weights(1) == (1.0,)
    assert supervision_weights(2) == (1.0, 0.0)
    assert supervision_weights(4) == pytest.approx((4 / 7, 2 / 7, 1 / 7, 0))


def test_soft_dice_by_hand():
    labels = torch.tensor([[[[0, 1, 1, 0]]]])
    foreground = torch.tensor([[[[0.0, 1.0, 0.5, 0.5]]]])
    probabilities = torch.stack([1 - foreground, foreground], dim=1)
    assert soft_dice(probabilities, labels, pooled=True).item() == pytest.approx(2 * 1.5 / (2 + 2), abs=1e-4)


def test_dice_per_patch_is_the_mean_over_patches():
    """One patch right, one patch with a false positive and no reference: (1 + 0) / 2, pooled 2 / 3."""
    labels = torch.tensor([[[[0, 1]]], [[[0, 0]]]])
    foreground = torch.tensor([[[[0.0, 1.0]]], [[[0.0, 1.0]]]])
    probabilities = torch.stack([1 - foreground, foreground], dim=1)
    assert soft_dice(probabilities, labels, pooled=False).item() == pytest.approx(0.5, abs=1e-4)
    assert soft_dice(probabilities, labels, pooled=True).item() == pytest.approx(2 / 3, abs=1e-4)


def test_a_perfect_prediction_has_loss_minus_one():
    labels = torch.tensor([[[[0, 1, 2, 0]]]])
    logits = torch.nn.functional.one_hot(labels, 3).permute(0, 4, 1, 2, 3).float() * 100
    loss, dice = dice_ce(logits, labels, pooled=True)
    assert loss.item() == pytest.approx(-1, abs=1e-4)
    assert dice.tolist() == pytest.approx([1, 1], abs=1e-4)


def test_an_undecided_prediction_has_the_entropy_of_two_classes():
    labels = torch.zeros((1, 1, 2, 2), dtype=torch.long)
    labels[..., 0] = 1
    loss, _ = dice_ce(torch.zeros((1, 2, 1, 2, 2)), labels, pooled=True)
    assert loss.item() == pytest.approx(math.log(2) - 0.5, abs=1e-4)


def test_labels_shrink_to_the_middle_of_each_block():
    labels = torch.arange(16).reshape(1, 1, 4, 4)
    assert shrink_labels(labels, (1, 2, 2)).tolist() == [[[[5, 7], [13, 15]]]]
    assert torch.equal(shrink_labels(labels, (1, 4, 4)), labels)


def test_the_coarsest_output_has_no_say():
    labels = torch.zeros((1, 1, 4, 4), dtype=torch.long)
    fine = torch.randn((1, 2, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    a, _ = deep_loss([fine, torch.zeros((1, 2, 1, 2, 2))], labels, pooled=True)
    b, _ = deep_loss([fine, torch.ones((1, 2, 1, 2, 2)) * 7], labels, pooled=True)
    assert a.item() == b.item()
