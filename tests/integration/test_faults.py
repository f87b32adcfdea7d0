"""What becomes of each parallel stage when something breaks: nothing hangs, nothing is lost, the case is named."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cohort import command, hemoseg, write_cohort
from worker_killing import kill_workers

LIMIT_S = 120
"""No faulty run may take longer; sound ones take a few seconds."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("data") / "Heads")


@pytest.fixture(scope="module")
def planned(dataset, tmp_path_factory):
    """A run folder before preprocessing."""
    folder = tmp_path_factory.mktemp("runs") / "planned"
    hemoseg("fingerprint", dataset, "--run", folder)
    hemoseg("plan", "--run", folder, "--folds", "0", "--iterations", "3")
    return folder


@pytest.fixture(scope="module")
def measured(dataset, tmp_path_factory):
    """A run folder before planning."""
    folder = tmp_path_factory.mktemp("runs") / "measured"
    hemoseg("fingerprint", dataset, "--run", folder)
    return folder


STAGES = ["fingerprint", "plan", "preprocess"]
WITH_PROCESSES = ["plan", "preprocess"]
"""Stages that share little data among processes, too. The fingerprint of little data is measured in threads; that of
much is killed in `test_fingerprint_stage.py`."""


@pytest.fixture(params=STAGES)
def stage(request, dataset, measured, planned, tmp_path):
    """(arguments of a stage, its run folder, the files that it has to leave)."""
    run = tmp_path / "run"
    if request.param == "fingerprint":
        return ("fingerprint", dataset, "--run", run), run, ["fingerprint.json"]
    if request.param == "plan":
        shutil.copytree(measured, run)
        return ("plan", "--run", run, "--preset", "paper", "--iterations", "3"), run, ["stepped.json", "plan.json"]
    shutil.copytree(planned, run)
    return ("preprocess", "--run", run), run, [f"cases/head{n}/image.npy" for n in range(6)]


def run_killing(arguments, *, kills):
    """Run a stage and kill its first `kills` workers; (exit code, stderr, how many were killed)."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    killed = kill_workers(process, kills=kills, limit_s=LIMIT_S)
    return process.returncode, process.communicate()[1], killed


def contents(run, files):
    return {name: (run / name).read_bytes() for name in files}


@pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")
@pytest.mark.parametrize("stage", WITH_PROCESSES, indirect=True)
def test_a_worker_that_is_killed_costs_nothing(stage, tmp_path):
    arguments, run, files = stage
    clean = tmp_path / "clean"
    if run.is_dir():
        shutil.copytree(run, clean)
    hemoseg(*(clean if part == run else part for part in arguments))
    code, text, killed = run_killing(arguments, kills=1)
    assert (code, killed) == (0, 1), text
    assert contents(run, files) == contents(clean, files)


@pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")
@pytest.mark.parametrize("stage", WITH_PROCESSES, indirect=True)
def test_workers_that_are_always_killed_end_the_stage_with_the_case(stage):
    arguments, run, files = stage
    code, text, killed = run_killing(arguments, kills=10**6)
    assert code == 3, text
    assert killed >= 2
    assert "head" in text
    assert "signal 9" in text
    assert "Traceback" not in text
    assert not (run / files[-1]).exists()
    hemoseg(*arguments)
    assert all((run / name).exists() for name in files)


def test_an_unreadable_scan_is_named_and_the_rest_is_kept(stage, dataset, tmp_path):
    """A scan that is cut short after it was measured, or from the start."""
    arguments, run, files = stage
    broken = tmp_path / "Heads"
    shutil.copytree(dataset, broken)
    scan = broken / "imagesTr" / "head3_0000.nii.gz"
    content = scan.read_bytes()
    if arguments[0] == "fingerprint":
        arguments = ("fingerprint", broken, "--run", run)
    else:
        _move_dataset(run, broken)
    scan.write_bytes(content[:-200] + bytes(200))
    done = hemoseg(*arguments, code=2)
    assert "head3" in done.stderr
    assert not (run / files[0]).is_file() or arguments[0] == "preprocess"
    scan.write_bytes(content)
    hemoseg(*arguments)
    assert all((run / name).exists() for name in files)


def _move_dataset(run: Path, place: Path) -> None:
    """The run's data set lies elsewhere now, with the same files."""
    import json

    path = run / "fingerprint.json"
    fingerprint = json.loads(path.read_text())
    path.write_text(json.dumps(fingerprint | {"dataset": str(place)}))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_the_stage_and_leaves_nothing_half_written(stage, tmp_path):
    arguments, run, files = stage
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        small = disk / "run"
        if run.is_dir():
            shutil.copytree(run, small)
        _fill(disk)
        done = hemoseg(*(small if part == run else part for part in arguments), code=3)
        assert "free space" in done.stderr
        assert not (small / files[-1]).exists()
        leftovers = [p for p in small.rglob("*") if p.is_file() and p.stat().st_size == 0 and p.name != ".lock"]
        assert leftovers == []
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        hemoseg(*(small if part == run else part for part in arguments))
        assert all((small / name).exists() for name in files)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(disk: Path) -> None:
    """Take all space of a disk but one page."""
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with (disk / "ballast").open("r+b") as file:
        file.truncate(max(0, (disk / "ballast").stat().st_size - 4096))
