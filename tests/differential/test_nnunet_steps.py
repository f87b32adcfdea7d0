"""Three optimizer steps against nnU-Net's own trainer: loss, gradient, weights; and its learning rates.

What nnU-Net came to is in tests/golden, so that the proof runs everywhere; `make goldens` asks it again. With
`make peers` every tensor is compared.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from hemoseg.plan import Recipe
from hemoseg.settings import DEFAULT_ITERATIONS
from hemoseg.training.schedule import learning_rate
from nnunet_steps import CASES, make_setup, own_steps, peer_steps, summary
from planner_peer import PYTHON

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "nnunet-steps.json").read_text())
LOSS, GRADIENT, WEIGHT = 1e-5, 1e-4, 1e-5
"""Tolerances: of a loss; of a gradient and of a weight, relative to its tensor's norm."""
LEAST_SHARE = 0.01
"""Share of the whole gradient's norm that a tensor's counts as at least: a bias before a norm has none but rounding."""


@pytest.mark.parametrize("name", CASES)
def test_steps_end_as_nnunets_did(name: str) -> None:
    found, wanted = summary(own_steps(make_setup(name))), GOLDEN["steps"][name]
    assert found["losses"] == pytest.approx(wanted["losses"], abs=LOSS)
    gradients = [tensor for tensor in wanted if tensor.startswith("gradient")]
    least = LEAST_SHARE * np.linalg.norm([wanted[tensor][0] for tensor in gradients])
    assert least > 1e-3
    for tensor in gradients:
        tolerance = GRADIENT * max(wanted[tensor][0], least)
        assert found[tensor] == pytest.approx(wanted[tensor], abs=tolerance, rel=0), tensor
    for tensor in wanted.keys() - {"losses", *gradients}:
        assert found[tensor] == pytest.approx(wanted[tensor], abs=WEIGHT * wanted[tensor][0], rel=0), tensor


def test_the_learning_rate_of_every_epoch_is_nnunets() -> None:
    recipe = Recipe(name="nnunet")
    rates = [learning_rate(recipe, epoch * 250, DEFAULT_ITERATIONS) for epoch in range(1000)]
    assert rates == pytest.approx(GOLDEN["rates"], rel=1e-15)


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")
def test_every_tensor_is_nnunets(tmp_path: Path) -> None:
    for name, theirs in peer_steps(list(CASES), tmp_path).items():
        ours = own_steps(make_setup(name))
        assert ours["losses"] == pytest.approx(theirs["losses"].tolist(), abs=LOSS), name
        whole = [theirs[tensor].ravel() for tensor in theirs if tensor.startswith("gradient")]
        norm = np.linalg.norm(np.concatenate(whole))
        assert norm > 1e-2
        for tensor, wanted in theirs.items():
            if tensor.startswith("gradient"):
                assert np.linalg.norm(ours[tensor] - wanted) <= GRADIENT * norm, (name, tensor)
            elif tensor.startswith("weight"):
                off = np.linalg.norm(ours[tensor] - wanted)
                assert off <= WEIGHT * max(1.0, np.linalg.norm(wanted)), (name, tensor)
