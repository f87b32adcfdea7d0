"""`segment` and `preprocess` on a real dask scheduler with two workers, one of which is killed."""

import csv
import re
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from bundles import write_tiny_bundle
from cohort import command, hemoseg, write_cohort
from dask_cluster import local_cluster
from hemoseg.io import write_scan
from plans import head_volume

pytestmark = [
    pytest.mark.skipif(find_spec("distributed") is None, reason="dask is not installed: pip install 'hemoseg[dask]'"),
    pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux"),
]


def test_scans_and_cases_go_to_workers_of_which_one_is_killed(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in "abcd":
        write_scan(scans / f"{name}.nii.gz", head_volume())
    (scans / "c.nii.gz").write_bytes(b"no scan")
    out = tmp_path / "out"
    run = tmp_path / "run"
    hemoseg("fingerprint", write_cohort(tmp_path / "Heads", cases=5), "--run", run)
    hemoseg("plan", "--run", run, "--folds", "0", "--iterations", "3")
    (tmp_path / "dask").mkdir()
    with local_cluster(tmp_path / "dask", workers=2) as local:
        arguments = ("segment", scans, "--out", out, "--model", bundle, "--layout", "flat", "--cluster", local.address)
        process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()
        local.workers[0].kill()
        rest, err = process.communicate(timeout=120)
        assert process.returncode == 3, err
        assert (first + rest).count("ml hemorrhage") == 3
        assert re.search(r"│ c +│", err.partition("1 failed")[2])
        with (out / "summary.csv").open(newline="") as handle:
            found = [row["status"] for row in csv.DictReader(handle) if row["class"] in ("hemorrhage", "")]
        assert found == ["done", "done", "failed", "done"]
        began = time.monotonic()
        hemoseg("preprocess", "--run", run, "--cluster", local.address)
        assert time.monotonic() - began < 60
    assert all((run / "cases" / f"head{number}" / "image.npy").is_file() for number in range(5))
    assert "exclude each other" in hemoseg(*arguments, "--workers", "2", code=2).stderr
