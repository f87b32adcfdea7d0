"""The loss: hand-checked values."""

import math

import pytest
import torch

from hemoseg.training.loss import deep_loss, dice_ce, shrink_labels, supervision_weights


def of_probabilities(foreground):
    """Logits whose softmax gives one class these probabilities."""
    return torch.stack([torch.zeros_like(foreground), torch.logit(foreground, eps=1e-7)], dim=1)


def test_supervision_weights():
    assert supervision_weights(1) == (1.0,)
    assert supervision_weights(2) == (1.0, 0.0)
    assert supervision_weights(4) == pytest.approx((4 / 7, 2 / 7, 1 / 7, 0))


def test_soft_dice_by_hand():
    labels = torch.tensor([[[[0, 1, 1, 0]]]])
    foreground = torch.tensor([[[[0.0, 1.0, 0.5, 0.5]]]])
    _, dice = dice_ce(of_probabilities(foreground), labels, pooled=True)
    assert dice.item() == pytest.approx(2 * 1.5 / (2 + 2), abs=1e-4)


def test_dice_per_patch_is_the_mean_over_patches():
    """One patch right, one patch with a false positive and no reference: (1 + 0) / 2, pooled 2 / 3."""
    labels = torch.tensor([[[[0, 1]]], [[[0, 0]]]])
    foreground = torch.tensor([[[[0.0, 1.0]]], [[[0.0, 1.0]]]])
    logits = of_probabilities(foreground)
    assert dice_ce(logits, labels, pooled=False)[1].item() == pytest.approx(0.5, abs=1e-4)
    assert dice_ce(logits, labels, pooled=True)[1].item() == pytest.approx(2 / 3, abs=1e-4)


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


def test_the_loss_of_what_is_not_ignored_by_hand():
    """Four voxels, the last ignored: cross-entropy over three, Dice without its probability.

    Probabilities of the class: 1/2, 3/4, 1/4; labels 0, 1, 1. Cross-entropy -(ln 1/2 + ln 3/4 + ln 1/4) / 3;
    Dice 2 (3/4 + 1/4) / (3/2 + 2).
    """
    labels = torch.tensor([[[[0, 1, 1, 2]]]])
    foreground = torch.tensor([0.5, 0.75, 0.25, 0.9])
    logits = torch.stack([torch.zeros(4), torch.log(foreground / (1 - foreground))]).reshape(1, 2, 1, 1, 4)
    loss, dice = dice_ce(logits, labels, pooled=True, ignore=2)
    assert dice.item() == pytest.approx(2 / 3.5, abs=1e-4)
    assert loss.item() == pytest.approx(-math.log(0.5 * 0.75 * 0.25) / 3 - 2 / 3.5, abs=1e-4)


@pytest.mark.parametrize("pooled", [True, False])
def test_logits_of_ignored_voxels_change_neither_loss_nor_gradient(pooled):
    """Bit for bit, on the finest output and on a coarser one; and their own gradient is zero."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (2, 2, 8, 8), generator=generator)
    sizes = ((2, 8, 8), (2, 4, 4), (2, 2, 2))
    plain = [torch.randn((2, 3, *size), generator=generator) for size in sizes]
    results = []
    for scale in (0.0, 1e4):
        outputs = [one.clone() for one in plain]
        for one in outputs:
            ignored = (shrink_labels(labels, one.shape[2:]) == 3)[:, None].expand_as(one)
            one[ignored] += scale * torch.randn(int(ignored.sum()), generator=generator)
            one.requires_grad_()
        loss, dice = deep_loss(outputs, labels, pooled=pooled, ignore=3)
        loss.backward()
        for one in outputs[:2]:
            ignored = (shrink_labels(labels, one.shape[2:]) == 3)[:, None].expand_as(one)
            assert (one.grad[ignored] == 0).all()
            assert (one.grad[~ignored] != 0).any()
            one.grad[ignored] = 0
        results.append([loss.detach(), dice, *(one.grad for one in outputs[:2])])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_no_ignored_voxel_changes_no_bit():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 2, 8, 8), generator=generator)
    logits = torch.randn((2, 3, 2, 8, 8), generator=generator)
    a, b = (dice_ce(logits, labels, pooled=True, ignore=ignore) for ignore in (None, 3))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])


def test_a_batch_that_is_ignored_as_a_whole_teaches_nothing():
    logits = torch.randn((1, 2, 1, 2, 2), requires_grad=True)
    loss, dice = dice_ce(logits, torch.full((1, 1, 2, 2), 2), pooled=True, ignore=2)
    loss.backward()
    assert (loss.item(), dice.item()) == (-1, 1)
    assert (logits.grad == 0).all()


def test_the_loss_of_regions_by_hand():
    """Two voxels of labels 1 and 2; a region of both, and one of 2 alone; probabilities 1/2, 3/4 and 1/4, 1/2.

    Binary cross-entropy is the mean of -ln 1/2, -ln 3/4, -ln 3/4, -ln 1/2; Dice 2 (5/4) / (5/4 + 2) and
    2 (1/2) / (3/4 + 1).
    """
    labels = torch.tensor([[[[1, 2]]]])
    logits = torch.logit(torch.tensor([[[[[0.5, 0.75]]], [[[0.25, 0.5]]]]]))
    loss, dice = dice_ce(logits, labels, pooled=True, regions=((1, 2), (2,)))
    assert dice.tolist() == pytest.approx([2.5 / 3.25, 1 / 1.75], abs=1e-4)
    entropy = -(2 * math.log(0.5) + 2 * math.log(0.75)) / 4
    assert loss.item() == pytest.approx(entropy - (2.5 / 3.25 + 1 / 1.75) / 2, abs=1e-4)


def test_the_background_of_regions_is_taught_too():
    """A batch of background: both regions are pressed down."""
    logits = torch.zeros((1, 2, 1, 2, 2), requires_grad=True)
    loss, _ = dice_ce(logits, torch.zeros((1, 1, 2, 2), dtype=torch.long), pooled=True, regions=((1, 2), (2,)))
    loss.backward()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize(("ignore", "regions"), [(None, ()), (3, ()), (None, ((1, 2), (2,))), (3, ((1, 2), (2,)))])
def test_sums_of_parts_make_the_loss_of_the_whole(pooled, ignore, regions):
    """Four patches in two halves, each told the other's sums: both come to the loss and Dice of all four."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((4, 2 if regions else 3, 2, 4, 4), generator=generator)
    labels = torch.randint(0, 4 if ignore else 3, (4, 2, 4, 4), generator=generator)
    labels[:2, 0] = 0 if ignore is None else ignore  # halves of other counts
    how = {"pooled": pooled, "ignore": ignore, "regions": regions}
    sums = []

    def note(vector):
        sums.append(vector)
        return vector

    for part in (slice(2), slice(2, 4)):
        dice_ce(logits[part], labels[part], **how, reduce=note)
    whole = dice_ce(logits, labels, **how)
    part = dice_ce(logits[:2], labels[:2], **how, reduce=lambda vector: vector + sums[1])
    torch.testing.assert_close(part, whole)
