"""summary.json byte for byte as nnU-Net writes it."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hemoseg.evaluation import dump_summary, evaluate_as_nnunet
from nifti_files import save

PYTHON = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")]
PROGRAM = """
import sys, json
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
if __name__ == "__main__":
    for out, regions, ignore in json.loads(sys.argv[1]):
        regions = [tuple(r) if isinstance(r, list) else r for r in regions]
        compute_metrics_on_folder("r", "p", out, SimpleITKIO(), ".nii.gz", regions, ignore, 1)
"""
LABELS = {
    "labels.json": ({"background": 0, "a": 1, "b": 2, "c": 3}, [1, 2, 3], None),
    "ignore.json": ({"background": 0, "a": 1, "b": 2, "ignore": 3}, [1, 2], 3),
    "regions.json": ({"background": 0, "whole": [1, 2, 3], "core": [2, 3]}, [[1, 2, 3], [2, 3]], None),
    "both.json": ({"background": 0, "whole": [1, 2], "core": [2], "rim": 1, "ignore": 3}, [[1, 2], [2], 1], 3),
}


def test_summaries(tmp_path, monkeypatch, rng):
    """Eleven cases, some without a class on one side or on both."""
    monkeypatch.chdir(tmp_path)
    for folder in "rp":
        Path(folder).mkdir()
        for case in range(11):
            labels = rng.integers(0, 2 + case % 3, (3, 9, 8)) * (rng.random((3, 9, 8)) < 0.7 * (case % 4 > 0))
            save(Path(folder, f"case_{case:02d}.nii.gz"), labels.astype(np.uint8))
    Path("peer.py").write_text(PROGRAM)
    wanted = [[f"peer-{name}", regions, ignore] for name, (_, regions, ignore) in LABELS.items()]
    subprocess.run([PYTHON, "peer.py", json.dumps(wanted)], check=True, capture_output=True, timeout=300)
    for name, (labels, _, _) in LABELS.items():
        Path("names.json").write_text(json.dumps({"labels": labels}))
        ours = dump_summary(evaluate_as_nnunet(Path("p"), Path("r"), labels=Path("names.json")))
        assert ours == Path(f"peer-{name}").read_text()
