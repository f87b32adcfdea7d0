"""nnU-Net's own fingerprint of a small data set that has what data sets have: padding, odd axes, no foreground."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hemoseg.datasets import index_dataset, read_record
from hemoseg.pipeline import Silent
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.planning.intensity import Mixture
from nifti_files import head_hu, save

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")]
SAMPLES = 1_000_000
"""Voxels that the peer draws here; its own 1e8 would take a minute and 2 GB."""
PROGRAM = f"""
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
extractor = DatasetFingerprintExtractor(1, 1)
extractor.num_foreground_voxels_for_intensitystats = {SAMPLES}
extractor.show_progress_bar = False
extractor.run()
"""


def write_dataset(root: Path, *, ignore: bool) -> Path:
    """Five cases: plain; with a border of zeros that cuts a label; with axes turned; in floats; without a label.

    With `ignore`, three of them have slices that nobody labeled, and the last has nothing else.
    """
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir(parents=True)
    spacings = [(5.0, 0.47, 0.47), (3.3, 0.4883, 0.51), (0.625, 0.45, 0.45), (2.5, 0.7, 0.9), (5.0, 0.43, 0.43)]
    for number, (z, y, x) in enumerate(spacings):
        rng = np.random.default_rng(number)
        hu = head_hu((8 + number, 30, 24 + number), seed=number)
        labels = np.zeros(hu.shape, dtype=np.uint8)
        if number < 4:
            labels[2:5, 8:20, 9 : 12 + 2 * number] = 1
            labels[5, 14:16, 12] = 2
            hu[labels == 1] = rng.normal(60, 6, (labels == 1).sum())
            hu[labels == 2] = rng.normal(20, 6, 2)
        if ignore and number % 2 == 0:
            labels[-2:] = 3
        affine = np.diag([-x, -y, z, 1.0])
        if number == 1:
            hu[:2], hu[:, :9], hu[:, :, -3:] = 0, 0, 0
        if number == 2:
            affine = np.array([[0, 0, x, 0], [-y, 0, 0, 0], [0, z, 0, 0], [0, 0, 0, 1.0]])
        image = hu.astype(np.float32) + np.float32(0.25) if number == 3 else hu
        save(root / "imagesTr" / f"case{number}_0000.nii.gz", image, affine)
        save(root / "labelsTr" / f"case{number}.nii.gz", labels, affine)
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "hemorrhage": 1, "edema": 2} | ({"ignore": 3} if ignore else {}),
        "numTraining": len(spacings),
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.mark.parametrize("ignore", [False, True], ids=["labeled", "ignore"])
def test_nnunets_own_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignore: bool) -> None:
    root = write_dataset(tmp_path / "raw" / "Dataset001_Small", ignore=ignore)
    folders = {f"nnUNet_{name}": str(tmp_path / name) for name in ("raw", "preprocessed", "results")}
    subprocess.run([PYTHON, "-c", PROGRAM], env={**os.environ, **folders}, check=True, capture_output=True)
    peer = json.loads((tmp_path / "preprocessed" / root.name / "dataset_fingerprint.json").read_text())

    run = RunFolder(tmp_path / "run")
    ours = fingerprint_stage(run, index_dataset(root), Silent())
    histograms = [read_record(run.facts, case.name)[1][0] for case in ours.cases]
    mixture = Mixture(cases=tuple(histogram for histogram in histograms if histogram.total))
    assert len(mixture.cases) == (5 if ignore else 4)
    assert ours.cases[1].nonzero_share < 1
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = __import__("fingerprint")
    try:
        assert list(script.differences(ours, mixture, peer, samples=SAMPLES)) == []
    finally:
        del sys.modules["fingerprint"]
