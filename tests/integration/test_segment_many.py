"""`hemoseg segment` on many scans as a process: killed at any moment, in shards, with workers that die."""

import csv
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from bundles import write_tiny_bundle
from cohort import command, hemoseg
from hemoseg.io import write_scan
from plans import head_volume
from worker_killing import kill_workers

LIMIT_S = 180
"""No run may take longer; sound ones take a few seconds."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for name in "abcd":
        write_scan(folder / f"{name}.nii.gz", head_volume())
    return folder


def rows(path):
    with path.open(newline="") as handle:
        return {row["scan"]: row for row in csv.DictReader(handle)}


def test_a_killed_batch_goes_on_with_nothing_done_twice_and_nothing_lost(bundle, scans, tmp_path):
    """Killed while the third mask is half on disk."""
    script = (
        "import os, signal, hemoseg.report.scan as scan, hemoseg.cli as cli\n"
        "write = scan.write_mask\n"
        "def kill(path, labels, volume):\n"
        "    if volume.name == 'c':\n"
        "        path.write_bytes(b'half')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write(path, labels, volume)\n"
        "scan.write_mask = kill\n"
        "cli.main()\n"
    )
    out = tmp_path / "out"
    arguments = ["segment", str(scans), "--out", str(out), "--model", str(bundle)]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    before = {name: (out / name / "report.json").read_bytes() for name in "ab"}
    assert not (out / "c").exists()
    done = hemoseg(*arguments, "--json")
    assert "2 of 4 scans were segmented before" in done.stderr
    assert {name: (out / name / "report.json").read_bytes() for name in "ab"} == before
    expected = [*(f"{name}" for name in "abcd"), "manifest.jsonl", "summary.csv"]
    assert sorted(path.name for path in out.iterdir()) == expected
    reports = json.loads(done.stdout)
    assert reports == [json.loads((out / name / "report.json").read_text()) for name in "abcd"]
    assert [row["status"] for row in rows(out / "summary.csv").values()] == ["done"] * 4


def test_a_scan_that_fails_goes_by_the_name_that_a_table_gives_it(bundle, tmp_path):
    """In the table of failures, in the summary, and among the lines on the way."""
    (tmp_path / "s1_0000.nii").write_text("no scan")
    (tmp_path / "list.csv").write_text("path,name\ns1_0000.nii,w1\n")
    done = hemoseg("segment", tmp_path / "list.csv", "--out", tmp_path / "out", "--model", bundle, code=3)
    said, _, table = done.stderr.partition("1 failed")
    assert "w1: failed: " in said
    assert list(rows(tmp_path / "out" / "summary.csv")) == ["w1"]
    assert re.search(r"│ w1 +│", table)
    assert "s1_0000" not in table


def test_a_folder_of_results_is_refused_to_another_kind(bundle, scans, tmp_path):
    hemoseg("segment", f"{scans}/[ab].nii.gz", "--out", tmp_path, "--model", bundle, "--layout", "flat")
    assert sorted(path.name for path in tmp_path.glob("*.nii.gz")) == ["a.nii.gz", "b.nii.gz"]
    done = hemoseg("segment", scans, "--out", tmp_path, "--model", bundle, "--exact", "--layout", "flat", code=2)
    assert "--exact was False, is True" in done.stderr
    assert "choose another --out folder" in done.stderr


def test_a_scan_alone_keeps_to_what_a_folder_of_results_is(bundle, scans, tmp_path):
    options = ("--out", tmp_path, "--model", bundle)
    hemoseg("segment", f"{scans}/[ab].nii.gz", *options)
    done = hemoseg("segment", scans / "a.nii.gz", *options, "--doubt", code=2)
    assert "--doubt was False, is True" in done.stderr
    assert "1 of 1 scans were segmented before" in hemoseg("segment", scans / "a.nii.gz", *options).stderr
    (report,) = json.loads(hemoseg("segment", scans / "c.nii.gz", *options, "--json").stdout)
    assert report == json.loads((tmp_path / "c" / "report.json").read_text())
    assert list(rows(tmp_path / "summary.csv")) == ["c", "a", "b"]


def run_killing(arguments, *, kills):
    """Run a command and kill its first `kills` workers; (exit code, stdout, stderr)."""
    environment = {**os.environ, "COLUMNS": "200"}
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    kill_workers(process, kills=kills, limit_s=LIMIT_S)
    return process.returncode, *process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")
def test_workers_that_are_killed_are_survived_and_their_scans_named(bundle, scans, tmp_path):
    """The first of two is killed: nothing is lost. All are: each scan is named, and none is half there."""
    options = ("--model", bundle, "--layout", "flat", "--workers", "2", "--retries", "0")
    code, out, err = run_killing(("segment", scans, "--out", tmp_path / "one", *options), kills=1)
    assert code == 0, err
    assert out.count("ml hemorrhage") == 4
    assert list(rows(tmp_path / "one" / "summary.csv")) == list("abcd")
    pattern = f"{scans}/[ab].nii.gz"
    code, out, err = run_killing(("segment", pattern, "--out", tmp_path / "all", *options), kills=10**6)
    assert code == 3, err
    table = err.partition("2 failed")[2]
    assert re.search(r"│ a +│", table)
    assert re.search(r"│ b +│", table)
    assert "signal 9" in table
    assert "Traceback" not in err
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["manifest.jsonl", "summary.csv"]
    done = hemoseg("segment", pattern, "--out", tmp_path / "all", *options)
    assert done.stdout.count("ml hemorrhage") == 2


@pytest.mark.parametrize("options", [(), ("--json",), ("--workers", "2")])
def test_warnings_say_of_which_scan_they_are(bundle, scans, tmp_path, options):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, apart_mm in (("thick", 9.0), ("usual", 5.0)):
        write_scan(folder / f"{name}.nii.gz", head_volume(spacing_mm=(apart_mm, 2.0, 2.0)))
    done = hemoseg("segment", folder, "--out", tmp_path / "out", "--model", bundle, *options)
    found = [line for line in done.stderr.splitlines() if "warning: " in line]
    assert "thick: warning: slices are 9.0 mm apart; small bleeds fall between them" in found
    assert all(line.startswith(("thick: warning: ", "usual: warning: ")) for line in found)
    alone = hemoseg("segment", folder / "thick.nii.gz", "--out", tmp_path / "alone", "--model", bundle)
    assert "  warning: slices are 9.0 mm apart; small bleeds fall between them" in alone.stderr.splitlines()


def test_shards_and_the_join(bundle, scans, tmp_path):
    options = ("--out", tmp_path, "--model", bundle, "--layout", "flat")
    first = hemoseg("segment", scans, *options, "--shard", "1/2")
    assert first.stdout.count("ml hemorrhage") == 2
    hemoseg("segment", scans, *options, "--shard", "2/2")
    joined = hemoseg("segment", scans, *options)
    assert joined.stdout == ""
    head, *parts = (tmp_path / "summary-1-of-2.csv").read_text().splitlines()
    parts += (tmp_path / "summary-2-of-2.csv").read_text().splitlines()[1:]
    assert len(parts) == 8
    assert (tmp_path / "summary.csv").read_text().splitlines() == [head, *sorted(parts, key=lambda line: line[0])]
    assert "like 1/8" in hemoseg("segment", scans, *options, "--shard", "0/2", code=2).stderr
