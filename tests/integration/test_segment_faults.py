"""What becomes of `segment` when a scan, the model or the disk is broken: docs/reference/faults.md is its table."""

import csv
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from bundles import write_tiny_bundle
from cohort import hemoseg
from hemoseg.io import write_scan
from hemoseg.models import weights_name, write_bundle
from hemoseg.models.bundle import open_bundle
from nifti_files import head_hu, save, set_field
from plans import head_volume, tiny_configuration, tiny_plan

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a", "z"):
        write_scan(folder / f"{name}.nii.gz", head_volume())
    return folder


def rows(path):
    with path.open(newline="") as handle:
        return {row["scan"]: row for row in csv.DictReader(handle)}


def leftovers(folder):
    """Temporary and empty files below a folder."""
    return [p for p in folder.rglob("*") if p.name.startswith(".") or (p.is_file() and p.stat().st_size == 0)]


def write_broken(folder):
    """{scan: what is said of it}."""
    whole = (folder / "a.nii.gz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0x10
    (folder / "corrupt.nii.gz").write_bytes(flipped)
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    plain = save(folder / "truncated-plain.nii", head_hu())
    plain.write_bytes(plain.read_bytes()[:-500])
    huge = save(folder / "huge-header.nii", head_hu())
    set_field(huge, "dim", [3, 30000, 30000, 30000, 1, 1, 1, 1])
    save(folder / "channels.nii", np.stack([head_hu(), head_hu()]))
    (folder / "text.nii").write_text("no scan")
    return {
        "corrupt": "a gzip stream that is cut short or damaged",
        "truncated": "a gzip stream that is cut short or damaged",
        "truncated-plain": "at most",
        "huge-header": "27,000,000,000,000 voxels",
        "channels": "2 volumes",
        "text": "7 bytes",
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_broken_scan_is_named_and_stops_no_other(bundle, scans, tmp_path, workers):
    found = write_broken(scans)
    out = tmp_path / "out"
    options = ("--out", out, "--model", bundle, "--layout", "flat", "--workers", workers)
    done = hemoseg("segment", scans, *options, code=3)
    table, summary = done.stderr.partition(f"{len(found)} failed")[2], rows(out / "summary.csv")
    for name, text in found.items():
        assert f"│ {name} " in table
        assert summary[name]["status"] == "failed"
        assert text in summary[name]["error"]
    assert sorted(path.name for path in out.iterdir()) == ["a.nii.gz", "manifest.jsonl", "summary.csv", "z.nii.gz"]
    assert leftovers(out) == []


def test_a_model_that_does_not_fit_its_plan_is_refused_before_any_scan(bundle, scans, tmp_path):
    """Weights of a network with other features, of one with other classes, and a model that is none."""
    for number, plan in enumerate(
        (tiny_plan(tiny_configuration(features=(4, 12))), tiny_plan(labels=("background", "hemorrhage")))
    ):
        other = open_bundle(bundle)
        name = weights_name("3d_fullres", 0)
        mixed = tmp_path / f"mixed{number}"
        write_bundle(
            mixed,
            name="mixed",
            model_version="1",
            notice="none",
            plan=plan,
            selection=other.selection,
            card="",
            license_text="",
            weights=[(name, (bundle / name).read_bytes())],
        )
        done = hemoseg("segment", scans, "--out", tmp_path / "out", "--model", mixed, code=2)
        assert name in done.stderr
        assert "has shape" in done.stderr or "tensor" in done.stderr
    done = hemoseg("segment", scans, "--out", tmp_path / "none", "--model", scans, code=2)
    assert "`hemoseg models`" in done.stderr
    assert not list(tmp_path.glob("out/*.nii.gz"))
    assert not (tmp_path / "none").exists()


@contextmanager
def small_disk(folder, size):
    """A disk of so many bytes, mounted on a folder."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small disk needs root")
def test_a_full_disk_leaves_nothing_half_written_and_the_same_command_goes_on(bundle, scans, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "48k"):
        arguments = ("segment", scans, "--out", disk / "out", "--model", bundle)
        done = hemoseg(*arguments, code=3)
        assert "No space left on device" in done.stderr
        assert "free space" in done.stderr
        assert not (disk / "out" / "a").exists()
        assert leftovers(disk) == []
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        assert hemoseg(*arguments).stdout.count("ml hemorrhage") == 2
        assert sorted(path.name for path in (disk / "out").iterdir()) == ["a", "manifest.jsonl", "summary.csv", "z"]


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small disk needs root")
def test_a_disk_that_is_full_for_what_is_done_says_of_which_scan(bundle, scans, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "16k"):
        arguments = ("segment", scans, "--out", disk / "out", "--model", bundle, "--layout", "flat")
        done = hemoseg(*arguments, code=3)
        assert "manifest.jsonl: cannot be written: No space left on device; what became of " in done.stderr
        assert leftovers(disk) == []
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        assert hemoseg(*arguments).stdout.count("ml hemorrhage") in (1, 2)
        assert leftovers(disk) == []


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small disk needs root")
def test_a_disk_without_any_space_is_told_before_any_scan(bundle, scans, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "16k"):
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        done = hemoseg("segment", scans, "--out", disk / "out", "--model", bundle, code=3)
        assert "manifest.jsonl: cannot be written: No space left on device" in done.stderr
        assert "ml hemorrhage" not in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="disks of Linux")
def test_a_folder_that_cannot_be_written_is_told_before_any_scan(bundle, scans, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "1m") if IS_ROOT else _folder(disk):
        if IS_ROOT:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        else:
            disk.chmod(0o555)
        for sources in ((scans,), (scans / "a.nii.gz",)):
            done = hemoseg("segment", *sources, "--out", disk / "out", "--model", bundle, code=3)
            assert str(disk) in done.stderr
            assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr
            assert "choose another" in done.stderr
            assert "model tiny" not in done.stderr  # which is told before the network works for an hour


@contextmanager
def _folder(path: Path):
    path.mkdir()
    yield
    path.chmod(0o755)
