"""The optimizer is nnU-Net's: three steps of a golden move weights too little to see the decay."""

import pytest
import torch

from hemoseg.plan import Recipe
from hemoseg.planning.recipes import NNUNET_RECIPE
from hemoseg.training.step import make_optimizer


def test_the_recipe_of_nnunet_has_its_numbers():
    (group,) = make_optimizer(torch.nn.Linear(2, 2), NNUNET_RECIPE).param_groups
    numbers = {key: group[key] for key in ("lr", "momentum", "nesterov", "weight_decay", "dampening")}
    assert numbers == {"lr": 0.01, "momentum": 0.99, "nesterov": True, "weight_decay": 3e-5, "dampening": 0}
    assert len(group["params"]) == 2, "weights and biases alike"


def test_weights_without_a_gradient_decay():
    """By hand: the gradient is 0.5 w, the momentum's sum the same, the step 0.1 times (1 + 0.9) of it."""
    network = torch.nn.Linear(3, 2)
    before = [one.detach().clone() for one in network.parameters()]
    optimizer = make_optimizer(network, Recipe(name="nnunet", learning_rate=0.1, momentum=0.9, weight_decay=0.5))
    for one in network.parameters():
        one.grad = torch.zeros_like(one)
    optimizer.step()
    for one, old in zip(network.parameters(), before, strict=True):
        assert one.detach().numpy() == pytest.approx(old.numpy() * (1 - 0.1 * 1.9 * 0.5))
