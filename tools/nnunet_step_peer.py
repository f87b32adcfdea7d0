"""nnU-Net's real trainer on given batches and weights: python nnunet_step_peer.py JOBS.json.

Run by the interpreter of .venv-peers; the differential tests and `make goldens` start it. Folders of nnU-Net are
temporary, whatever the environment names. JOBS.json is a list of jobs, done in order:

  {"plans", "dataset", "configuration", "epochs", "given", "out"}
      GIVEN.npz: `image` (b, c, [z,] y, x), `labels` (b, 1, [z,] y, x), `weight NAME` of every tensor.
      OUT.npz: `losses` of one step per epoch in `epochs`, all on that batch; `gradient NAME` as the first step clipped
      it; `weight NAME` after all steps; `rates`, the learning rate of each epoch of a training of 1000.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch


def main() -> None:
    """Do all jobs."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ[name] = str(Path(folder) / name)
        for job in json.loads(Path(sys.argv[1]).read_text()):
            _steps(**job)


def _steps(
    plans: dict[str, Any], dataset: dict[str, Any], configuration: str, epochs: list[int], given: str, out: str
) -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    trainer = nnUNetTrainer({**plans, "continue_training": False}, configuration, 0, dataset, torch.device("cpu"))
    data = Path(trainer.preprocessed_dataset_folder)
    data.mkdir(parents=True, exist_ok=True)
    (data / "case.b2nd").touch()  # looked at by its name alone
    trainer.initialize()
    with np.load(given) as stored:
        arrays = dict(stored)
    weights = {n.removeprefix("weight "): torch.from_numpy(a) for n, a in arrays.items() if n.startswith("weight ")}
    trainer.network.load_state_dict(weights)
    trainer.network.train()
    batch = {"data": torch.from_numpy(arrays["image"]), "target": _targets(trainer, arrays)}
    found: dict[str, Any] = {"losses": []}
    for number, epoch in enumerate(epochs):
        trainer.lr_scheduler.step(epoch)
        found["losses"].append(float(trainer.train_step(batch)["loss"]))
        if number == 0:
            for name, parameter in trainer.network.named_parameters():
                empty = torch.zeros_like(parameter)
                found[f"gradient {name}"] = (empty if parameter.grad is None else parameter.grad).clone().numpy()
    found |= {f"weight {name}": value.detach().numpy() for name, value in trainer.network.named_parameters()}
    rates = []
    for epoch in range(trainer.num_epochs):
        trainer.lr_scheduler.step(epoch)
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    np.savez(out, **found, rates=np.array(rates))


def _targets(trainer: Any, arrays: dict[str, np.ndarray]) -> list[torch.Tensor]:
    """What the loss is given for each output, as nnU-Net's own transforms make it of labels."""
    manager = trainer.label_manager
    transform = trainer.get_validation_transforms(
        trainer._get_deep_supervision_scales(),
        is_cascaded=False,
        foreground_labels=manager.foreground_labels,
        regions=manager.foreground_regions if manager.has_regions else None,
        ignore_label=manager.ignore_label,
    )
    pairs = zip(arrays["image"], arrays["labels"], strict=True)
    made = [
        transform(image=torch.from_numpy(image), segmentation=torch.from_numpy(labels))["segmentation"]
        for image, labels in pairs
    ]
    return [torch.stack(level) for level in zip(*made, strict=True)]


if __name__ == "__main__":
    main()
