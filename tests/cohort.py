"""A labeled data set of small simulated heads, and the command line as a process."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.io import write_mask, write_scan
from plans import head_volume

NO_TORCH = """
import sys
sys.modules.update(dict.fromkeys(["torch", "batchgeneratorsv2", "dynamic_network_architectures"]))
sys.argv[0] = "hemoseg"
from hemoseg.__main__ import main
main()
"""
"""The command line where the packages of training cannot be imported."""


def write_cohort(
    root: Path, *, cases: int = 6, shape: tuple[int, int, int] = (12, 40, 36), description: dict[str, Any] | None = None
) -> Path:
    """An nnU-Net raw data set of heads with one bleed each, the last without.

    Labels are 1 for the bleed and 2 around it; where `description`, the entries of dataset.json that differ, has
    `ignore`, the first slice has that number.
    """
    description = description or {}
    ignore = description.get("labels", {}).get("ignore")
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    for number in range(cases):
        generator = np.random.default_rng(number)
        volume = head_volume(shape, (5.0, 4.0, 4.0))
        labels = np.zeros(shape, dtype=np.uint8)
        hu = np.where(volume.hu == 65, np.float32(30), volume.hu)
        if number < cases - 1:
            z, y, x = (generator.integers(n // 2 - n // 6, n // 2 + n // 6) for n in shape)
            labels[z - 1 : z + 2, y - 3 : y + 3, x - 3 : x + 3] = 2
            labels[z - 1 : z + 1, y - 2 : y + 2, x - 2 : x + 2] = 1
            hu = np.where(labels == 1, np.float32(65), np.where(labels == 2, np.float32(18), hu))
        if ignore is not None:
            labels[0] = ignore
        hu = np.round(hu + generator.normal(0, 3, shape)).astype(np.float32)
        case = replace(volume, hu=hu)
        write_scan(root / "imagesTr" / f"head{number}_0000.nii.gz", case)
        write_mask(root / "labelsTr" / f"head{number}.nii.gz", labels, case)
    content = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "hemorrhage": 1, "edema": 2},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content | description))
    return root


def command(*arguments: str | Path) -> list[str]:
    """The command line of `hemoseg` with these arguments."""
    return [sys.executable, "-m", "hemoseg", *map(str, arguments)]


def hemoseg(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `hemoseg` as a process of its own and hold it to an exit code."""
    return _held(command(*arguments), code)


def hemoseg_without_torch(
    *arguments: str | Path, code: int = 0, source: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The same where torch is not installed; `source` is the folder of another copy of the package."""
    return _held([sys.executable, "-c", NO_TORCH, *map(str, arguments)], code, source)


def _held(line: list[str], code: int, source: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done
