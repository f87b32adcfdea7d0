"""Optimizer steps on one batch from the same weights, by nnU-Net's trainer and by ours."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hemoseg.data import Batch
from hemoseg.interop import read_plans
from hemoseg.nets.weights import repeats
from hemoseg.plan import Configuration, Plan
from hemoseg.settings import DEFAULT_ITERATIONS
from hemoseg.training.schedule import learning_rate
from hemoseg.training.step import Learner
from nnunet_models import dataset_json, formula_weights, plans_json
from planner_peer import PYTHON, ROOT

EPOCHS = (0, 400, 999)
"""Epochs whose learning rates the three steps have."""
IGNORE = 3
"""Number of ignored voxels: the one after the largest label."""
CASES: dict[str, dict[str, Any]] = {
    "plain": {"kind": "plain"},
    "plain-batch": {"kind": "plain", "batch_dice": True},
    "residual": {"kind": "residual"},
    "plane": {"kind": "plane", "configuration": "2d"},
    "plane-batch": {"kind": "plane", "configuration": "2d", "batch_dice": True},
    "ignore": {"kind": "plain", "ignore": True},
    "ignore-batch": {"kind": "plain", "ignore": True, "batch_dice": True},
    "regions": {"kind": "regions"},
    "regions-batch": {"kind": "regions", "batch_dice": True},
    "regions-ignore": {"kind": "regions", "ignore": True},
    "clipped": {"kind": "plain", "heads": 60.0},
}
"""{name: model of `nnunet_models`, network, whether Dice pools the batch, are voxels ignored, factor of the heads}.
With large heads the gradient's norm is beyond 12."""


@dataclass(frozen=True)
class Setup:
    """One comparison."""

    name: str
    plans: dict[str, Any]
    dataset: dict[str, Any]
    plan: Plan
    configuration: Configuration
    image: np.ndarray
    labels: np.ndarray

    @property
    def flat(self) -> bool:
        return self.configuration.dimensions == 2


def make_setup(name: str) -> Setup:
    """Both sides' plans, and a batch by formula: texture that tells labels, a quarter of it ignored if asked."""
    case = CASES[name]
    plans, dataset = plans_json(case["kind"]), dataset_json(case["kind"])
    which = case.get("configuration", "3d_fullres")
    plans["configurations"][which]["batch_dice"] = case.get("batch_dice", False)
    if case.get("ignore"):
        dataset["labels"] = {**dataset["labels"], "ignore": IGNORE}
    plan = read_plans(plans, dataset)
    item = plan.configuration(which)
    shape = (item.batch_size, *item.patch_size)
    b, z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    labels = ((x + 2 * b) // 5 + (y + z) // 6) % 3
    labels = np.where((b == 1) & (x > 7), 0, labels)  # patches unlike each other: Dice of the batch is not their mean
    image = (labels - 1 + ((7 * z + 5 * y * y + 3 * x * y + 11 * b) % 41 - 20) / 20)[:, None].astype(np.float32)
    if case.get("ignore"):
        labels = np.where((x + y) % 4 == 0, IGNORE, labels)
    return Setup(name, plans, dataset, plan, item, image, labels.astype(np.uint8))


def first_weights(setup: Setup) -> dict[str, torch.Tensor]:
    """Weights that both sides begin with; names and shapes are nnU-Net's."""
    weights, factor = formula_weights(setup.plan, setup.configuration, fold=0), CASES[setup.name].get("heads", 1.0)
    return {name: value * factor if "seg_layers" in name else value for name, value in weights.items()}


def own_steps(setup: Setup) -> dict[str, Any]:
    """Losses, gradient and weights of our side; names and shapes are nnU-Net's."""
    ignore = IGNORE if "ignore" in setup.dataset["labels"] else None
    item = setup.configuration.model_copy(update={"precision": "fp32"})
    learner = Learner(setup.plan, item, ignore=ignore, device="cpu")
    weights = first_weights(setup)
    state = learner.network.state_dict()
    learner.network.load_state_dict({name: value.reshape(state[name].shape) for name, value in weights.items()})
    batch = Batch(inputs=setup.image, labels=setup.labels, cases=("a",) * len(setup.labels))
    recipe = setup.plan.recipe
    found: dict[str, Any] = {"losses": []}
    for number, epoch in enumerate(EPOCHS):
        rate = learning_rate(recipe, epoch * recipe.epoch_iterations, DEFAULT_ITERATIONS)
        loss, _ = learner.step(batch, rate, where=Path("test"), iteration=number)
        found["losses"].append(loss)
        if number == 0:
            for name, parameter in learner.network.named_parameters():
                empty = torch.zeros_like(parameter)
                gradient = empty if parameter.grad is None else parameter.grad.clone()
                found[f"gradient {name}"] = gradient.reshape(weights[name].shape).numpy()
    for name, parameter in learner.network.named_parameters():
        found[f"weight {name}"] = parameter.detach().reshape(weights[name].shape).numpy()
    return found


def peer_steps(names: list[str], folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """The same of nnU-Net's trainer, for each comparison."""
    jobs = []
    for setup in map(make_setup, names):
        weights = first_weights(setup)
        labels = setup.labels.astype(np.int16)[:, None]
        arrays = {"image": setup.image, "labels": labels}
        arrays = {name: value[:, :, 0] if setup.flat else value for name, value in arrays.items()}
        given = folder / f"{setup.name}-given.npz"
        np.savez(given, **arrays, **{f"weight {name}": value.numpy() for name, value in weights.items()})
        jobs.append(
            {
                "plans": setup.plans,
                "dataset": setup.dataset,
                "configuration": setup.configuration.name,
                "epochs": EPOCHS,
                "given": str(given),
                "out": str(folder / f"{setup.name}.npz"),
            }
        )
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [str(PYTHON), str(ROOT / "tools" / "nnunet_step_peer.py"), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    answers = {}
    for name in names:
        with np.load(folder / f"{name}.npz") as stored:
            answers[name] = dict(stored)
    return answers


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """What a golden keeps: losses, and of each tensor its norm and its product with a fixed vector."""
    kept: dict[str, Any] = {"losses": [float(loss) for loss in found["losses"]]}
    for name, value in found.items():
        kind, _, tensor = name.partition(" ")
        if kind in ("gradient", "weight") and not repeats(tensor):
            flat = np.asarray(value, dtype=np.float64).ravel()
            kept[name] = [float(f"{v:.9g}") for v in (np.linalg.norm(flat), flat @ np.cos(np.arange(flat.size)))]
    return kept
