"""nnU-Net's own folds and ours, for many numbers and kinds of names."""

import json
import random
import subprocess

import pytest

from hemoseg.datasets import SplitCase, nnunet_splits
from planner_peer import PYTHON, ROOT

pytestmark = pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")
SIZES = [*range(5, 60), 100, 127, 500, 1001]


def test_every_fold_is_nnunets() -> None:
    draw = random.Random(0)
    requests = [
        draw.sample([f"{kind}{number}" for kind in ("case_", "Case", "ID-", "ä") for number in range(400)], size)
        for size in SIZES
    ]
    command = [str(PYTHON), str(ROOT / "tools" / "nnunet_splits_peer.py")]
    done = subprocess.run(command, input=json.dumps(requests), capture_output=True, text=True, check=True)
    for names, theirs in zip(requests, json.loads(done.stdout), strict=True):
        ours = nnunet_splits([SplitCase(name=name, patient=name, class_ml={}) for name in names], folds=5)
        assert [{"train": list(fold.train), "val": list(fold.held_out)} for fold in ours] == theirs
