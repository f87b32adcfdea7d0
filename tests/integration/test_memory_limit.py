"""`hemoseg segment --max-memory` as a process of its own, whose memory is looked at from outside."""

import json
import subprocess
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bundles import write_tiny_bundle
from cohort import command, hemoseg
from hemoseg.io import write_scan
from hemoseg.models import Selection, open_bundle, write_bundle
from plans import head_volume, tiny_configuration, tiny_plan

SAVED_MB = 100
"""Less memory than without a limit, of the 280 MB that sums of tiles take here."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network with eighty classes: sums of tiles are the largest of what it needs."""
    labels = ("background", *(f"class{number}" for number in range(1, 81)))
    plan = tiny_plan(tiny_configuration(patch_size=(32, 32, 32), spacing_mm=(4.0, 1.2, 1.2)), labels=labels)
    bundle = open_bundle(write_tiny_bundle(tmp_path_factory.mktemp("models") / "mirrored", plan=plan))
    folder = bundle.folder.with_name("eighty")
    write_bundle(
        folder,
        name="eighty",
        model_version="1",
        notice="Untrained. Research use only.",
        plan=plan,
        selection=Selection.model_validate(bundle.selection.model_dump() | {"mirror": False}),
        card="",
        license_text="",
        weights=[(path.name, path.read_bytes()) for path in sorted(bundle.folder.glob("*.safetensors"))],
    )
    return folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans") / "head.nii.gz"
    write_scan(path, head_volume((40, 192, 192), (4.0, 1.2, 1.2)))
    return path


def peak_mb(line):
    """The most that was resident of a process that must end well, in 10^6 bytes."""
    process, peak = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = max([peak, *(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM"))])
        time.sleep(0.02)
    assert process.returncode == 0, line
    return peak * 1024 / 1e6


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from /proc")
def test_memory_is_kept_to_with_the_same_mask_or_refused(model, scan, tmp_path):
    line = command("segment", scan, "--model", model)
    limit_gb = (peak_mb([*line, "--out", str(tmp_path / "free")]) - SAVED_MB) / 1000
    limited = [*line, "--out", str(tmp_path / "limited"), "--max-memory", f"{limit_gb:.3f}"]
    assert peak_mb(limited) < 1000 * limit_gb
    masks = [nibabel.load(tmp_path / name / "head" / "mask.nii.gz") for name in ("free", "limited")]
    assert np.array_equal(*(np.asarray(mask.dataobj) for mask in masks))
    assert [path.name for path in (tmp_path / "limited").iterdir()] == ["head"]
    refused = hemoseg(*line[3:], "--out", tmp_path / "refused", "--max-memory", "0.05", code=3)
    assert refused.stderr.splitlines()[-3].startswith("error: head: ")
    assert "0.05 GB are allowed" in refused.stderr
    assert "a larger --max-memory" in refused.stderr
    assert not (tmp_path / "refused" / "head").exists()


def test_a_time_budget_is_told_in_the_report(model, scan, tmp_path):
    """A tenth of a millisecond is too little for anything: the least is done, and both warnings say so."""
    done = hemoseg("segment", scan, "--model", model, "--out", tmp_path, "--time-budget", "0.0001s", "--json")
    warnings = json.loads(done.stdout)["warnings"]
    assert any("tiles 1 of their length apart in place of 0.5" in text for text in warnings)
    assert any("was foreseen to take" in text for text in warnings)
