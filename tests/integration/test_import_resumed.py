"""Imports that were cut short, or begin where something is."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cohort import command, hemoseg
from hemoseg.datasets import index_dataset
from hemoseg.errors import HemosegError, LabelError, ResourceError, SettingsError
from hemoseg.pipeline import imports as stage
from hemoseg.pipeline.lock import locked
from imports import bring, labels_of
from source_sets import (
    box,
    mask,
    volume,
    write_ct_ich_pictures,
    write_instance22,
)


def test_what_is_there_already_stays(tmp_path: Path):
    source = write_instance22(tmp_path / "source")
    (tmp_path / "out").mkdir()
    with pytest.raises(SettingsError, match="is there already"):
        bring("instance22", source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_two_imports_into_one_folder_are_refused(tmp_path: Path):
    source = write_instance22(tmp_path / "source")
    with locked(tmp_path / ".out.importing", remedy="wait"), pytest.raises(ResourceError, match="another process"):
        bring("instance22", source, tmp_path / "out")


def test_only_what_is_missing_or_stale_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_instance22(tmp_path / "source", cases=4)
    mask(source / "train_2/label/004.nii.gz", box(2))
    monkeypatch.setattr(stage, "default_workers", lambda: 1)
    with pytest.raises(LabelError):
        bring("instance22", source, tmp_path / "out")
    work = tmp_path / ".out.importing"
    assert sorted(path.stem for path in (work / "cases").iterdir()) == [f"instance22_00{n}" for n in (1, 2, 3)]
    mask(source / "train_2/label/004.nii.gz", box(1))
    (work / "cases/instance22_001.json").write_text("{")  # cut short by a power failure
    (work / "dataset/imagesTr/instance22_002_0000.nii.gz").unlink()
    (work / "dataset/imagesTr/gone_0000.nii.gz").write_bytes(b"")  # of a case that the source had before
    (work / "dataset/.hemoseg.tmp.1.dataset.json").write_text("{")  # half-written
    mask(source / "train_2/label/003.nii.gz", box(1, 1))  # changed since
    done: list[str] = []
    place = stage.place_case

    def spy(argument: Any) -> Any:
        before = argument.record.stat().st_mtime_ns if argument.record.is_file() else 0
        result = place(argument)
        if argument.record.stat().st_mtime_ns != before:
            done.append(argument.case.name)
        return result

    source_5 = volume(source / "train_2/data/005.nii.gz", seed=5)
    mask(source / "train_2/label/005.nii.gz", box(1))
    os.utime(source_5)
    monkeypatch.setattr(stage, "place_case", spy)
    bring("instance22", source, tmp_path / "out")
    assert done == [f"instance22_00{n}" for n in (1, 2, 3, 4, 5)]
    assert len(index_dataset(tmp_path / "out").cases) == 5
    assert np.array_equal(labels_of(tmp_path / "out", "instance22_003"), box(1, 1))
    assert not list((tmp_path / "out").glob(".*"))


def test_what_is_current_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_ct_ich_pictures(tmp_path / "source")
    monkeypatch.setattr(stage, "default_workers", lambda: 1)

    def fail(*_: object) -> None:
        raise HemosegError("stopped", where="here", expected="", remedy="")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_record", fail)
        with pytest.raises(HemosegError, match="stopped"):
            bring("ct-ich", source, tmp_path / "out")
    work = tmp_path / ".out.importing"
    before = {path.name: path.stat().st_mtime_ns for path in work.rglob("*.nii.gz")}
    bring("ct-ich", source, tmp_path / "out")
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.nii.gz")}
    assert len(before) == 3
    assert after == before


def test_killed_at_any_moment_it_goes_on(tmp_path: Path):
    source = write_ct_ich_pictures(tmp_path / "source")
    for number in range(100, 112):
        (source / f"Patients_CT/{number}").symlink_to(source / "Patients_CT/077")
    expected, target = tmp_path / "whole", tmp_path / "killed"
    bring("ct-ich", source, expected)
    process = subprocess.Popen(command("import", "ct-ich", source, target), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".killed.importing/cases/[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not target.exists()
    hemoseg("import", "ct-ich", source, target)
    files = sorted(path.relative_to(expected) for path in expected.rglob("*") if path.is_file())
    assert sorted(path.relative_to(target) for path in target.rglob("*") if path.is_file()) == files
    for file in files:
        assert (target / file).read_bytes() == (expected / file).read_bytes(), file
    assert not (tmp_path / ".killed.importing").exists()


def test_killed_between_the_last_two_steps_nothing_is_left(tmp_path: Path):
    source = write_instance22(tmp_path / "source")
    bring("instance22", source, tmp_path / "out")
    (tmp_path / ".out.importing").mkdir()
    with pytest.raises(SettingsError, match="is there already"):
        bring("instance22", source, tmp_path / "out")
    assert not (tmp_path / ".out.importing").exists()
