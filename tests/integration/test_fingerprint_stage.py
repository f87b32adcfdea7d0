"""Measuring a data set: several processes, resumed after any end, the same bytes each time."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from cohort import command, hemoseg, write_cohort
from hemoseg.artifacts import write_model
from hemoseg.datasets import DatasetSources, index_dataset
from hemoseg.errors import InputError, SettingsError
from hemoseg.io import read_labels, read_scan, write_mask
from hemoseg.pipeline import Silent, executors
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder

CASES = 4


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("data") / "Dataset001_Heads", cases=CASES)


def measure(folder: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch, workers: int = 1) -> bytes:
    """The bytes of fingerprint.json, measured anew as far as records allow."""
    run = RunFolder(folder)
    run.fingerprint_file.unlink(missing_ok=True)
    monkeypatch.setattr(executors, "default_workers", lambda: workers)
    fingerprint_stage(run, index_dataset(cohort), Silent())
    return run.fingerprint_file.read_bytes()


def times(folder: Path) -> dict[str, int]:
    """When each record was written."""
    return {path.name: path.stat().st_mtime_ns for path in sorted((folder / "facts").iterdir())}


def test_workers_change_no_byte(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = measure(tmp_path / "one", cohort, monkeypatch, workers=1)
    assert measure(tmp_path / "threads", cohort, monkeypatch, workers=3) == alone
    monkeypatch.setattr(executors, "SMALL_BYTES", 0)
    assert measure(tmp_path / "processes", cohort, monkeypatch, workers=3) == alone
    for name in times(tmp_path / "one"):
        for other in ("threads", "processes"):
            assert (tmp_path / "one/facts" / name).read_bytes() == (tmp_path / other / "facts" / name).read_bytes()
    found = json.loads(alone)
    assert found["channel_names"] == ["CT"]
    assert found["file_ending"] == ".nii.gz"
    assert found["warnings"] == []


def test_statistics_are_those_of_the_voxels(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each case by numpy alone, then the mean over cases; the last case has no label."""
    found = json.loads(measure(tmp_path, cohort, monkeypatch))["intensity"][0]
    voxels = []
    for case in index_dataset(cohort).cases[:-1]:
        labels, _ = read_labels(case.label)
        voxels.append(read_scan(case.image).hu[labels > 0].astype(np.float64))
    assert found["mean"] == pytest.approx(np.mean([v.mean() for v in voxels]))
    square = np.mean([(v**2).mean() for v in voxels])
    assert found["std"] == pytest.approx(np.sqrt(square - found["mean"] ** 2))
    assert found["min"] == min(v.min() for v in voxels)
    same = np.concatenate([np.repeat(v, np.lcm.reduce([len(v) for v in voxels]) // len(v)) for v in voxels])
    assert found["median"] == np.median(same)
    assert found["percentile_99_5"] == np.percentile(same, 99.5, method="averaged_inverted_cdf")


def test_only_what_is_missing_or_stale_is_measured(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_cohort(tmp_path / "Dataset001_Heads", cases=CASES)
    run = tmp_path / "run"
    first = measure(run, own, monkeypatch)
    before = times(run)
    assert measure(run, own, monkeypatch) == first
    assert times(run) == before

    (run / "facts/head0.json").unlink()  # killed before the record was written
    (run / "facts/head1.json").write_text('{"version": 0}')  # of an older version
    table = (run / "facts/head2.npy").read_bytes()
    (run / "facts/head2.npy").write_bytes(table[:-8])  # cut short by a power failure
    assert measure(run, own, monkeypatch) == first
    after = times(run)
    assert {name for name in after if after[name] == before[name]} == {"head3.json", "head3.npy"}

    (run / "facts/head2.npy").write_bytes(table[:-8] + np.float64(5).tobytes())  # of another case
    (run / "facts/head1.npy").unlink()
    before = times(run)
    assert measure(run, own, monkeypatch) == first
    after = times(run)
    assert {name[:5] for name in after if after[name] != before.get(name)} == {"head1", "head2"}

    scan = read_scan(own / "imagesTr/head3_0000.nii.gz")
    labels, _ = read_labels(own / "labelsTr/head3.nii.gz")
    labels[5, 20, 18] = 1
    write_mask(own / "labelsTr/head3.nii.gz", labels, scan)
    (run / "fingerprint.json").unlink()
    assert measure(run, own, monkeypatch) != first
    assert {name for name, when in times(run).items() if when != after[name]} == {"head3.json", "head3.npy"}


def test_killed_at_any_moment_it_goes_on(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = measure(tmp_path / "whole", cohort, monkeypatch)
    run = tmp_path / "killed"
    process = subprocess.Popen(command("fingerprint", cohort, "--run", run), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(run.glob("facts/[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = times(run)
    hemoseg("fingerprint", cohort, "--run", run)
    assert (run / "fingerprint.json").read_bytes() == expected
    whole = {name for name in before if name.endswith(".json") and not name.startswith(".")}
    assert whole
    assert all(times(run)[name] == before[name] for name in whole)


def test_a_killed_worker_process_costs_nothing(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with data that are too much for threads."""
    expected = measure(tmp_path / "whole", cohort, monkeypatch)
    monkeypatch.setattr(executors, "SMALL_BYTES", 0)
    killed: list[int] = []

    def kill() -> None:
        me = psutil.Process()
        while not killed:
            for child in me.children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
                    killed.append(child.pid)
                    return
            time.sleep(0.005)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert measure(tmp_path / "killed", cohort, monkeypatch, workers=2) == expected
    killer.join(10)
    assert killed


def test_another_data_set_is_refused(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure(tmp_path / "run", cohort, monkeypatch)
    other = write_cohort(tmp_path / "Dataset002_Other", cases=2)
    with pytest.raises(SettingsError, match="the run was begun on"):
        fingerprint_stage(RunFolder(tmp_path / "run"), index_dataset(other), Silent())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    own = write_cohort(tmp_path / "Dataset001_Heads", cases=2)
    image = own / "imagesTr/head1_0000.nii.gz"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"head1_0000.*cut short or damaged"):
        measure(tmp_path / "run", own, monkeypatch, workers)
    image.write_bytes(whole)
    assert json.loads(measure(tmp_path / "run", own, monkeypatch, workers))["cases"][1]["name"] == "head1"


def test_a_folder_that_cannot_be_written_is_told(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facts").write_text("a file in the way")
    with pytest.raises(InputError, match="cannot be written"):
        measure(tmp_path, cohort, monkeypatch, workers=2)


def test_no_foreground_at_all_is_a_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write_cohort(tmp_path / "Dataset001_Heads", cases=1)  # the last of a cohort has no bleed
    found = json.loads(measure(tmp_path / "run", own, monkeypatch))
    assert found["intensity"] == found["intensity_v1"] == [None]
    assert found["warnings"] == ["no case has a labeled voxel: foreground intensities are not known"]


def test_a_case_that_is_read_otherwise_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files, but now with a number for ignored voxels, and as pseudo-HU."""
    own, run = write_cohort(tmp_path / "Dataset001_Heads", cases=CASES), tmp_path / "run"
    measure(run, own, monkeypatch)
    description = json.loads((own / "dataset.json").read_text())
    description["labels"]["ignore"] = 3
    record = DatasetSources(sources=(), intensity="pseudo-hu", bounds_hu=(-1100.0, 700.0))
    for change in (
        lambda: (own / "dataset.json").write_text(json.dumps(description)),
        lambda: write_model(own / "hemoseg.json", record),
    ):
        before = times(run)
        change()
        measure(run, own, monkeypatch)
        assert all(when != before[name] for name, when in times(run).items())
