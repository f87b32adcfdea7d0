"""Folds that are trained at the same time: the same bits, failures and deaths that stop no other, and Ctrl-C."""

import json
import shutil
import signal
import subprocess
import time

import psutil
import pytest

from cohort import command, hemoseg, write_cohort

ITERATIONS = 40
LIMIT_S = 120
AT_ONCE = ("--parallel-folds", "2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run folder ready to train two folds with small networks."""
    root = tmp_path_factory.mktemp("parallel")
    run = root / "run"
    hemoseg("fingerprint", write_cohort(root / "Heads"), "--run", run)
    hemoseg("plan", "--run", run, "--folds", "0,1", "--iterations", str(ITERATIONS))
    hemoseg("preprocess", "--run", run)
    plan, device = json.loads((run / "plan.json").read_text()), json.loads((run / "device.json").read_text())
    plan["recipe"] |= {"epoch_iterations": 15, "validation_batches": 1}
    for item in plan["configurations"]:
        item |= {"precision": "fp32", "batch_size": 1, "patch_size": [item["patch_size"][0], 32, 32]}
        item["features"] = [min(2 ** (2 + stage), 16) for stage in range(len(item["features"]))]
    (run / "plan.json").write_text(json.dumps(plan))
    (run / "device.json").write_text(json.dumps(device | {"threads": 1}))
    return run


@pytest.fixture(scope="module")
def unbroken(prepared, tmp_path_factory):
    """Its folds, trained one after the other."""
    run = tmp_path_factory.mktemp("one") / "run"
    shutil.copytree(prepared, run)
    hemoseg("train", "--run", run)
    return run


@pytest.fixture
def copy(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "run")


def weights(run):
    return {fold: (run / f"3d_fullres/fold_{fold}/last.safetensors").read_bytes() for fold in (0, 1)}


def log(run, fold):
    return run / f"3d_fullres/fold_{fold}/train.jsonl"


def begun(run):
    """A training of two folds at once in the background, both of which have left a line in their logs."""
    process = subprocess.Popen(
        command("train", "--run", run, *AT_ONCE), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + LIMIT_S
    while not all(log(run, fold).is_file() and log(run, fold).stat().st_size for fold in (0, 1)):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    return process


def test_two_at_once_end_with_the_bits_of_one_after_the_other_and_one_that_fails_is_named(unbroken, copy):
    """A folder where the log of a fold should be: nothing that is looked for before."""
    log(copy, 1).mkdir(parents=True)
    done = hemoseg("train", "--run", copy, *AT_ONCE, code=3)
    assert "train 3d_fullres folds 0, 1, 2 at once (80)" in done.stderr
    assert "3d_fullres fold 0: trained" in done.stderr
    assert "3d_fullres fold 1: failed with IsADirectoryError" in done.stderr.partition("error: ")[2]
    assert not (copy / "3d_fullres/fold_1/last.safetensors").exists()
    log(copy, 1).rmdir()
    hemoseg("train", "--run", copy, *AT_ONCE)
    assert weights(copy) == weights(unbroken)
    assert (copy / "3d_fullres/fold_0/curves.png").is_file()


def test_a_worker_that_dies_is_begun_again_and_ctrl_c_saves_all(unbroken, copy):
    process = begun(copy)
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    workers[0].send_signal(signal.SIGKILL)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, errors
    assert "the states of all trainings are saved" in errors
    assert "Traceback" not in errors
    for fold in (0, 1):
        assert (copy / f"3d_fullres/fold_{fold}/state.safetensors").is_file()
    assert not (copy / ".stop").exists()
    hemoseg("train", "--run", copy, *AT_ONCE)
    assert weights(copy) == weights(unbroken)
