"""Loss and gradient against nnU-Net's own, with voxels that are ignored and without."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from hemoseg.training.loss import dice_ce

PYTHON = Path(__file__).resolve().parents[2] / ".venv-peers" / "bin" / "python"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")]
PROGRAM = """
import sys
import numpy as np
import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

found = {}
with np.load(sys.argv[1]) as given:
    logits, labels = given["logits"], given["labels"]
for name in ("pooled", "single", "pooled-ignore", "single-ignore"):
    dice = {"batch_dice": name.startswith("pooled"), "smooth": 1e-5, "do_bg": False, "ddp": False}
    ignore = 3 if name.endswith("ignore") else None
    loss = DC_and_CE_loss(dice, {}, ignore_label=ignore, dice_class=MemoryEfficientSoftDiceLoss)
    x = torch.from_numpy(logits).requires_grad_()
    y = labels if ignore else np.minimum(labels, 2)
    value = loss(x, torch.from_numpy(y)[:, None])
    value.backward()
    found[name], found[name + "-gradient"] = value.detach().numpy(), x.grad.numpy()
np.savez(sys.argv[2], **found)
"""


def test_loss_and_gradient_are_nnunets(tmp_path: Path, rng: np.random.Generator) -> None:
    """Three patches, the last ignored as a whole; agreement to the rounding of float32."""
    logits = rng.normal(0, 2, (3, 3, 4, 6, 5)).astype(np.float32)
    labels = rng.integers(0, 4, (3, 4, 6, 5))
    labels[2] = 3
    np.savez(tmp_path / "given.npz", logits=logits, labels=labels)
    command = [PYTHON, "-c", PROGRAM, tmp_path / "given.npz", tmp_path / "found.npz"]
    subprocess.run(command, check=True, capture_output=True)
    with np.load(tmp_path / "found.npz") as found:
        peer = dict(found)
    for name in ("pooled", "single", "pooled-ignore", "single-ignore"):
        ignore = 3 if name.endswith("ignore") else None
        x = torch.from_numpy(logits).requires_grad_()
        y = torch.from_numpy(labels if ignore else np.minimum(labels, 2))
        loss, _ = dice_ce(x, y, pooled=name.startswith("pooled"), ignore=ignore)
        loss.backward()
        assert loss.item() == pytest.approx(float(peer[name]), abs=1e-6), name
        np.testing.assert_allclose(x.grad.numpy(), peer[f"{name}-gradient"], atol=1e-8, rtol=1e-5, err_msg=name)
