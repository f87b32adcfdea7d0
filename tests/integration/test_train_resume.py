"""Training as a process: killed at random points, on a full disk, and begun with a model; with fewer patients."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from cohort import hemoseg, write_cohort
from hemoseg.artifacts import sha256_of
from hemoseg.models import embedded_folder
from hemoseg.pipeline import Silent, learn
from hemoseg.pipeline.folder import RunFolder

pytestmark = pytest.mark.slow
KILLS = 5
LIMIT_S = 240


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run of 40 steps in epochs of 7, each with 3 validation batches, up to its training."""
    root = tmp_path_factory.mktemp("resume")
    dataset = write_cohort(root / "Heads")
    run = root / "run"
    hemoseg("fingerprint", dataset, "--run", run)
    hemoseg("plan", "--run", run, "--iterations", "40", "--folds", "0")
    make_small(run)
    hemoseg("preprocess", "--run", run)
    return run


def make_small(run, *, epoch=7):
    """Make a plan's epochs so many steps long and its network so small that one takes milliseconds."""
    plan = json.loads((run / "plan.json").read_text())
    plan["recipe"] |= {"epoch_iterations": epoch, "validation_batches": 3}
    (item,) = plan["configurations"]
    item["features"] = [min(2 ** (2 + stage), 16) for stage in range(len(item["features"]))]
    item |= {"patch_size": [item["patch_size"][0], 32, 32], "batch_size": 2}
    (run / "plan.json").write_text(json.dumps(plan))
    device = json.loads((run / "device.json").read_text())
    (run / "device.json").write_text(json.dumps(device | {"threads": 1}))  # on busy cores threads wait for each other


@pytest.fixture(scope="module")
def unbroken(prepared, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    shutil.copytree(prepared, run)
    hemoseg("train", "--run", run)
    return run


def fold(run):
    return run / "3d_fullres" / "fold_0"


def contents(run):
    return {name: (fold(run) / f"{name}.safetensors").read_bytes() for name in ("last", "best", "state")}


def start(run):
    """A training that saves after each step and validation batch, instead of once a minute."""
    script = (
        f"import sys; sys.argv = ['hemoseg', 'train', '--run', {str(run)!r}]; import hemoseg.training.loop as loop; "
        "loop.SAVE_EVERY_S = 0.0; from hemoseg.cli import main; main()"
    )
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def iteration_of(state):
    """The iteration of a state, read through one handle: the file may be replaced meanwhile."""
    with state.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return int(header["__metadata__"]["iteration"])


def wait_for(process, run, iteration):
    """Wait until a state of an iteration is saved."""
    until = time.monotonic() + LIMIT_S
    state = fold(run) / "state.safetensors"
    while time.monotonic() < until and process.poll() is None:
        if state.is_file() and iteration_of(state) >= iteration:
            return
        time.sleep(0.002)
    process.kill()
    pytest.fail(f"ended with {process.poll()} before iteration {iteration}")


def test_killed_at_random_points_it_ends_with_the_same_bytes(prepared, unbroken, tmp_path):
    """SIGKILL up to 50 ms after a state of each of five random iterations was saved."""
    run, chance = tmp_path / "run", random.Random(6)
    shutil.copytree(prepared, run)
    for iteration in sorted(chance.sample(range(2, 38), KILLS)):
        process = start(run)
        wait_for(process, run, iteration)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (fold(run) / "last.safetensors").exists()
    hemoseg("train", "--run", run)
    assert contents(run) == contents(unbroken)
    assert (fold(run) / "epochs.jsonl").read_bytes() == (fold(unbroken) / "epochs.jsonl").read_bytes()
    rows = [json.loads(line)["iteration"] for line in (fold(run) / "train.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))
    assert rows[-1] == 40


def test_killed_with_processes_that_prepare_batches_it_ends_with_the_same_bytes(tmp_path):
    """SIGKILL amid 100 steps of `nnunet`, for which batches are made ahead; those who make them end, too."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    hemoseg("fingerprint", write_cohort(tmp_path / "Heads"), "--run", whole)
    hemoseg("plan", "--run", whole, "--recipe", "nnunet", "--iterations", "100", "--folds", "0")
    make_small(whole, epoch=50)
    hemoseg("preprocess", "--run", whole)
    shutil.copytree(whole, cut)
    hemoseg("train", "--run", whole)
    process = start(cut)
    wait_for(process, cut, 50)
    children = psutil.Process(process.pid).children(recursive=True)
    makers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert makers
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert iteration_of(fold(cut) / "state.safetensors") < 95
    assert not psutil.wait_procs(makers, timeout=LIMIT_S)[1]
    hemoseg("train", "--run", cut)
    assert contents(cut) == contents(whole)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_keeps_the_last_good_state(prepared, unbroken, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        run = disk / "run"
        shutil.copytree(prepared, run)
        process = start(run)
        wait_for(process, run, 3)
        process.kill()
        process.wait()
        hold = fold(run) / "state.safetensors"
        before = hold.read_bytes()
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        said = hemoseg("train", "--run", run, code=3).stderr
        assert "free space" in said
        assert hold.read_bytes() == before
        (disk / "ballast").unlink()
        hemoseg("train", "--run", run)
        assert contents(run) == contents(unbroken)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_run_begins_with_a_model_and_learns_from_fewer_patients(prepared, unbroken, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("fingerprint.json", "facts"):
        source = prepared / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, run / name)
    options = ("--train-cases", "2", "--iterations", "2", "--folds", "0")
    hemoseg("plan", "--run", run, *options)
    make_small(run)
    (run / "settings.json").unlink()
    hemoseg("plan", "--run", run, "--init", fold(unbroken), *options)
    splits = [json.loads((folder / "splits.json").read_text()) for folder in (run, prepared)]
    assert splits[0]["held_out"] == splits[1]["held_out"]
    assert [len(names) for names in splits[0]["train"]] == [2] * 5
    assert all(set(few) < set(all_) for few, all_ in zip(splits[0]["train"], splits[1]["train"], strict=True))
    settings = json.loads((run / "settings.json").read_text())
    assert settings["train_cases"] == 2
    assert settings["init"] == str(fold(unbroken) / "last.safetensors")
    hemoseg("preprocess", "--run", run)
    said = hemoseg("train", "--run", run).stderr
    assert "drawn anew: nothing" in " ".join(said.split())
    assert "another content" not in said
    plan = json.loads((run / "plan.json").read_text())
    assert plan["configurations"][0]["iterations"] == 2


def test_a_model_of_another_network_is_refused(prepared, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(prepared, run)
    settings = json.loads((run / "settings.json").read_text())
    weights = embedded_folder() / "phe-sich-3d"
    chosen = {"init": str(weights.resolve()), "init_sha256": sha256_of(weights / "manifest.json")}
    (run / "settings.json").write_text(json.dumps(settings | chosen))
    said = hemoseg("train", "--run", run, code=2).stderr
    assert "tensors of another network" in said
    (run / "settings.json").write_text(json.dumps(settings | chosen | {"init_sha256": "0"}))
    assert "another content" in hemoseg("train", "--run", run, code=2).stderr


def test_curves_are_drawn_while_it_trains(prepared, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(prepared, run)
    folder, drawn = RunFolder(run), []

    def draw(*of_fold):
        real(*of_fold)
        lines = (fold(run) / "epochs.jsonl").read_text().splitlines()
        drawn.append((len(lines), (fold(run) / "curves.png").read_bytes()))

    real = learn.write_curves
    monkeypatch.setattr(learn, "write_curves", draw)
    monkeypatch.setattr(learn, "DRAW_EVERY_S", -1.0)
    learn.train_stage(folder, folder.plan(), folder.settings(), Silent())
    assert [lines for lines, _ in drawn] == [1, 2, 3, 4, 5, 6, 6], "after each epoch of 7 of 40 steps, and at the end"
    assert len({picture for _, picture in drawn}) == 6
