"""`torchrun -m hemoseg train`: two processes train what one trains; stopped, killed and restarted, to the same bits."""

import json
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from cohort import hemoseg, write_cohort

ITERATIONS = 40
LIMIT_S = 600
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run folder ready to train: small networks, batches of 3, one thread in all."""
    root = tmp_path_factory.mktemp("torchrun")
    folder = root / "run"
    hemoseg("fingerprint", write_cohort(root / "Heads", cases=5), "--run", folder)
    hemoseg("plan", "--run", folder, "--folds", "0", "--iterations", str(ITERATIONS))
    hemoseg("preprocess", "--run", folder)
    for name, changes in (("device", {"threads": 1}), ("plan", {})):
        path = folder / f"{name}.json"
        found = json.loads(path.read_text()) | changes
        for item in found.get("configurations", ()):
            item |= {"batch_size": 3, "precision": "fp32", "features": [4, 8, 16, 32]}
        path.write_text(json.dumps(found))
    return folder


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy of the run folder, by name."""
    return lambda name: shutil.copytree(prepared, tmp_path / name)


def torchrun(run, *options):
    """Two ranks that train a run, in the background."""
    command = [*TORCHRUN, *options, "-m", "--", "hemoseg", "train", "--run", run]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(run, lines, process):
    """Go on when the log has so many lines."""
    log, end = run / "3d_fullres/fold_0/train.jsonl", time.monotonic() + LIMIT_S
    while not log.exists() or log.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


def log(run, name="train"):
    """Lines of a log of the training."""
    return [json.loads(line) for line in (run / f"3d_fullres/fold_0/{name}.jsonl").read_text().splitlines()]


def weights(run):
    return load_file(run / "3d_fullres/fold_0/last.safetensors")


def test_two_ranks_stopped_killed_and_restarted_end_as_unbroken_ones_and_as_one_process(copy):
    whole, cut, alone = copy("whole"), copy("cut"), copy("alone")
    text, _ = torchrun(whole).communicate(timeout=LIMIT_S)
    unbroken = weights(whole)

    stopped = torchrun(cut)
    wait_for(cut, 1, stopped)
    stopped.send_signal(signal.SIGTERM)
    text, _ = stopped.communicate(timeout=LIMIT_S)
    assert "the state of the training is saved" in text
    rows = log(cut)
    assert 10 <= rows[-1]["iteration"] < ITERATIONS - 10

    killed = torchrun(cut, "--max-restarts", "1")
    wait_for(cut, len(rows) + 1, killed)
    ranks = [child for child in psutil.Process(killed.pid).children() if "hemoseg" in child.cmdline()]
    assert len(ranks) == 2
    ranks[1].send_signal(signal.SIGKILL)
    text, _ = killed.communicate(timeout=LIMIT_S)
    assert killed.returncode == 0, text
    assert "lost another one" in text
    assert "Traceback" not in text
    resumed = weights(cut)
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)
    assert [row["iteration"] for row in log(cut)] == sorted({row["iteration"] for row in log(cut)})

    hemoseg("train", "--run", alone)
    for name in ("train", "epochs"):
        for both, one in zip(log(whole, name), log(alone, name), strict=True):
            assert both["loss"] == pytest.approx(one["loss"], abs=1e-3)
    assert log(whole, "epochs")[0]["validation_loss"] == pytest.approx(
        log(alone, "epochs")[0]["validation_loss"], abs=5e-3
    )


def test_folds_at_the_same_time_are_refused_once(copy):
    process = subprocess.Popen(
        [*TORCHRUN, "-m", "--", "hemoseg", "train", "--run", copy("folds"), "--parallel-folds", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    text, _ = process.communicate(timeout=LIMIT_S)
    assert text.count("2 folds at once with 2 processes") == 1, text
    assert "exitcode  : 2" in text
    assert process.returncode == 1, "torchrun's own, as docs/reference/exit-codes.md says"


def test_more_ranks_than_patches_are_refused(copy):
    run = copy("refused")
    plan = run / "plan.json"
    plan.write_text(plan.read_text().replace('"batch_size": 3', '"batch_size": 1'))
    process = torchrun(run)
    text, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode
    assert text.count("2 processes for batches of 1") == 1, text
    assert "exitcode  : 2" in text
    assert not (run / "3d_fullres").exists()
