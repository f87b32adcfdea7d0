"""The schedule of the learning rate."""

import pytest

from hemoseg.plan import Recipe
from hemoseg.training.schedule import learning_rate


def test_by_nnunet_it_falls_after_each_epoch_by_headct_at_each_step():
    nnunet, headct = Recipe(name="nnunet", epoch_iterations=10), Recipe(name="headct", epoch_iterations=10)
    epochs = [learning_rate(nnunet, i, 100) for i in range(100)]
    assert len(set(epochs)) == 10
    assert epochs[::10] == pytest.approx([0.01 * (1 - e / 10) ** 0.9 for e in range(10)])
    steps = [learning_rate(headct, i, 100) for i in range(100)]
    assert len(set(steps)) == 100
    assert steps[::10] == pytest.approx(epochs[::10])


def test_it_falls_to_zero():
    assert learning_rate(Recipe(), 100, 100) == 0


def test_an_epoch_that_is_cut_short_counts_as_one():
    recipe = Recipe(name="nnunet", epoch_iterations=10)
    assert learning_rate(recipe, 10, 11) == pytest.approx(0.01 * 0.5**0.9)
