"""nnU-Net's side of train_step.py; runs in .venv-peers: python train_step_peer.py CONFIGURATION WARM_UP STEPS OUT.json.

Its own trainer with its own loaders and augmentation, as `nnUNetv2_train -device cpu` has them: only the epoch is
shorter, and neither validation nor checkpoints are timed.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from nnunetv2.run.run_training import get_trainer_from_args


def main() -> None:
    """Train; seconds and loss of each iteration, and how long each waited for its batch."""
    configuration, warm_up, steps, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(os.cpu_count() or 1)
    trainer = get_trainer_from_args("1", configuration, 0, device=torch.device("cpu"))
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    rows = []
    for _ in range(warm_up + steps):
        began = time.monotonic()
        batch = next(trainer.dataloader_train)
        waited = time.monotonic() - began
        loss = float(trainer.train_step(batch)["loss"])
        rows.append({"seconds": time.monotonic() - began, "waited_s": waited, "loss": loss})
    out.write_text(json.dumps({"rows": rows[warm_up:], "patch": list(batch["data"].shape)}))
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        loader._finish()


if __name__ == "__main__":
    main()
