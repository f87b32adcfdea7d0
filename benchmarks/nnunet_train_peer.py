"""nnU-Net's own training of one fold on a CPU, as long as it is told; runs in the peer's environment.

Run: python benchmarks/nnunet_train_peer.py DATASET CONFIGURATION FOLD STEPS | --time N

nnUNet_raw, nnUNet_preprocessed and nnUNet_results say where; the data set is planned and preprocessed. The trainer is
nnU-Net's, unchanged but for its length: epochs of ten steps with one validation batch, so that the learning rate falls
as smoothly as over a thousand epochs. Stopped at any time, it resumes from its latest checkpoint. At the end it
predicts the held-out cases as it always does, into fold_K/validation, but mirrored along x alone, as ours are: eight
copies of every tile would take hours here. Stopped there, it goes on with those that are not predicted yet. With
--time it trains N steps, twice, and prints the seconds of one of the second N.
"""

import gzip
import multiprocessing
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any

EPOCH_STEPS = 10


def make_trainer(dataset: str, configuration: str, fold: int, epochs: int) -> tuple[Any, bool]:
    """nnU-Net's trainer, initialized, resumed where it stood."""
    import torch
    from batchgenerators.utilities.file_and_folder_operations import load_json
    from nnunetv2.paths import nnUNet_preprocessed
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Short(nnUNetTrainer):  # type: ignore[misc]
        """nnU-Net's trainer with another number of steps."""

        def __init__(self, plans: Any, configuration: str, fold: int, dataset_json: Any, device: Any) -> None:
            super().__init__(plans, configuration, fold, dataset_json, device)  # which looks them up by these names
            self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = EPOCH_STEPS, 1
            self.num_epochs, self.save_every = epochs, 5

        def plot_network_architecture(self) -> None:
            """Nothing is drawn."""

    folder = Path(nnUNet_preprocessed) / dataset
    plans, description = load_json(folder / "nnUNetPlans.json"), load_json(folder / "dataset.json")
    plans["continue_training"] = False  # asked of a logger that is not used; the latest checkpoint is loaded below
    trainer = Short(plans, configuration, fold, description, device=torch.device("cpu"))
    latest = Path(trainer.output_folder) / "checkpoint_latest.pth"
    final = Path(trainer.output_folder) / "checkpoint_final.pth"
    if final.is_file() or latest.is_file():
        trainer.load_checkpoint(str(final if final.is_file() else latest))
    return trainer, final.is_file()


def time_steps(trainer: Any, count: int) -> None:
    """Print the seconds of a step, loader included, without the first `count` steps."""
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    for number in range(2 * count):
        if number == count:
            began = time.monotonic()
        trainer.train_step(next(trainer.dataloader_train))
    print(f"seconds_per_step {(time.monotonic() - began) / count:.3f}", flush=True)
    for process in multiprocessing.active_children():  # its loader's, which would wait for ever
        process.kill()
    os._exit(0)


def is_whole(mask: Path) -> bool:
    """Whether a mask was written to its end."""
    size = 0
    try:
        with gzip.open(mask) as stream:
            while some := len(stream.read(2**20)):
                size += some
    except (OSError, EOFError, zlib.error):
        return False
    return size > 0


def main() -> None:
    """Train, or time."""
    dataset, configuration, fold, *rest = sys.argv[1:]
    timed = rest[0] == "--time"
    steps = int(rest[-1])
    trainer, done = make_trainer(dataset, configuration, int(fold), 1000 if timed else -(-steps // EPOCH_STEPS))
    if timed:
        time_steps(trainer, steps)
    if not done:
        trainer.run_training()
    trained_on, held_out = trainer.do_split()
    validation = Path(trainer.output_folder) / "validation"
    left = [name for name in held_out if not (done and is_whole(validation / f"{name}.nii.gz"))]
    if left:
        trainer.do_split = lambda: (trained_on, left)
        trainer.inference_allowed_mirroring_axes = (2,)
        trainer.perform_actual_validation(False)


if __name__ == "__main__":
    main()
