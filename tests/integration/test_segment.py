"""`hemoseg segment` and the Python API on files: contracts, frames, refusals."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import permutations, product

import nibabel
import numpy as np
import pytest

from bundles import write_tiny_bundle
from cohort import command, hemoseg
from hemoseg import load_model, read_scan
from hemoseg.artifacts import sha256_of
from hemoseg.geometry import Orientation, uniform_slices
from hemoseg.io import write_scan
from plans import head_volume, tiny_configuration, tiny_plan, tiny_preparation

ORDERS = [
    Orientation(axes=axes, flips=flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans") / "head.nii.gz"
    write_scan(path, head_volume())
    return path


def reordered(volume, orientation):
    """The same scan stored in another order of axes."""
    grid = volume.grid.reoriented(orientation)
    hu = np.ascontiguousarray(orientation.apply(volume.hu))
    return replace(volume, hu=hu, grid=grid, slices=uniform_slices(grid))


def test_all_48_orders_of_axes_give_the_same_mask_in_their_own_frame(bundle):
    assert len({(o.axes, o.flips) for o in ORDERS}) == 48
    model = load_model(bundle)
    volume = head_volume()
    expected = model.segment(volume)
    assert len(np.unique(expected.labels)) > 1, "a mask of one value would prove nothing"
    for orientation in ORDERS:
        found = model.segment(reordered(volume, orientation))
        assert np.array_equal(found.labels, orientation.apply(expected.labels))
        assert found.volume_ml == pytest.approx(expected.volume_ml)
        assert found.lesions[0].centroid_mm == pytest.approx(expected.lesions[0].centroid_mm, abs=1e-3)


def test_as_stored_follows_the_file(tmp_path):
    plan = tiny_plan(preparation=tiny_preparation(orientation="as-stored"))
    model = load_model(write_tiny_bundle(tmp_path / "stored", plan=plan))
    volume = head_volume()
    flipped = Orientation(axes=(0, 1, 2), flips=(False, True, False))
    straight = model.segment(volume).labels
    assert not np.array_equal(model.segment(reordered(volume, flipped)).labels, flipped.apply(straight))


def test_the_folder_and_the_report(bundle, scan, tmp_path):
    done = hemoseg("segment", scan, "--out", tmp_path, "--model", bundle, "--json")
    folder = tmp_path / "head"
    assert sorted(path.name for path in folder.iterdir()) == ["mask.nii.gz", "report.html", "report.json"]
    report = json.loads(done.stdout)
    assert report == json.loads((folder / "report.json").read_text())
    assert set(report) == {
        *("volume_ml", "hemorrhage_ml", "interval", "doubt", "lesion_count", "lesions"),
        *("model", "warnings", "seconds", "provenance"),
    }
    assert set(report["volume_ml"]) == {"hemorrhage", "edema"}
    assert report["hemorrhage_ml"] == report["volume_ml"]["hemorrhage"]
    assert set(report["seconds"]) == {"start", "read", "prepare", "network", "restore", "write"}
    assert report["seconds"]["start"] > 0
    assert set(report["model"]) == {"name", "version", "sha256", "notice", "engine"}
    assert "Untrained. Research use only." in done.stderr
    assert "research use only" in (folder / "report.html").read_text().lower()


def test_the_report_agrees_with_the_mask(bundle, scan, tmp_path):
    report = json.loads(hemoseg("segment", scan, "--out", tmp_path, "--model", bundle, "--json").stdout)
    mask = nibabel.load(tmp_path / "head" / "mask.nii.gz")
    data = np.asarray(mask.dataobj)
    voxel_ml = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    assert data.dtype == np.uint8
    for number, name in enumerate(("hemorrhage", "edema"), start=1):
        assert report["volume_ml"][name] == pytest.approx((data == number).sum() * voxel_ml, abs=2e-3)
        parts = sum(lesion["volume_ml"] for lesion in report["lesions"] if lesion["class"] == name)
        assert parts == pytest.approx(report["volume_ml"][name], abs=0.002 * (1 + len(report["lesions"])))
    source = nibabel.load(scan)
    assert data.shape == source.shape
    assert np.array_equal(mask.affine, source.affine)
    for code in ("sform_code", "qform_code"):
        assert mask.header[code] == source.header[code]
    largest = report["lesions"][0]
    number = {"hemorrhage": 1, "edema": 2}[largest["class"]]
    first, last = largest["slices"]
    assert (data[:, :, first] == number).any()
    assert (data[:, :, last] == number).any()


def test_folds_a_cascade_and_its_first_stage_are_one_command(scan, tmp_path):
    """Two folds of each, averaged: with maps, probabilities and the doubt of all eight members."""
    low = tiny_configuration(name="3d_lowres")
    cascade = tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres")
    folder = write_tiny_bundle(tmp_path / "cascade", plan=tiny_plan(low, cascade), folds=(0, 1))
    selection = json.loads((folder / "selection.json").read_text())
    selection["configurations"] = ["3d_lowres", "3d_cascade_fullres"]
    (folder / "selection.json").write_text(json.dumps(selection))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["selection.json"] = sha256_of(folder / "selection.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    asked = ("--doubt", "--probabilities", "--low-vote", "--second-look", "--average", "probabilities")
    done = hemoseg("segment", scan, "--out", tmp_path / "out", "--model", folder, *asked, "--json")
    report = json.loads(done.stdout)
    assert report["doubt"]["members"] == 8
    assert report["doubt"]["disagreement_ml"] > 0
    shares = {path.name: nibabel.load(path) for path in (tmp_path / "out" / "head").glob("*.nii.gz")}
    assert set(shares) == {
        *("mask.nii.gz", "entropy.nii.gz", "disagreement.nii.gz"),
        *("probability_1_hemorrhage.nii.gz", "probability_2_edema.nii.gz"),
    }
    total = np.asarray(shares["probability_1_hemorrhage.nii.gz"].dataobj).sum(dtype=np.float64)
    voxel_ml = abs(np.linalg.det(nibabel.load(scan).affine[:3, :3])) / 1000
    assert report["doubt"]["classes"]["hemorrhage"]["expected_ml"] == pytest.approx(total * voxel_ml, rel=2e-3)
    hemoseg("segment", scan, "--out", tmp_path / "out", "--model", folder)
    assert len(list((tmp_path / "out" / "head").iterdir())) == 3
    refused = hemoseg("segment", scan, "--out", tmp_path / "flat", "--layout", "flat", "--doubt", code=2)
    assert "--layout flat has one per scan" in refused.stderr


def test_several_scans_print_an_array(bundle, scan, tmp_path):
    other = tmp_path / "second.nii"
    write_scan(other, head_volume())
    done = hemoseg("segment", scan, other, "--out", tmp_path / "out", "--model", bundle, "--json")
    reports = json.loads(done.stdout)
    assert len(reports) == 2
    assert reports[1]["seconds"]["start"] == 0
    assert (tmp_path / "out" / "second" / "mask.nii.gz").is_file()


@pytest.mark.parametrize("shape", [(1, 40, 36), (2, 12, 9), (1, 1024, 1024)])
def test_a_scan_of_any_size_gets_a_mask_and_a_page(bundle, tmp_path, shape):
    """A single slice, one smaller than a patch, and a large picture; of one slice the report says what it rests on."""
    volume = head_volume(shape, (5.0, *(round(80 / size, 3) for size in shape[1:])))
    write_scan(tmp_path / "odd.nii.gz", volume)
    done = hemoseg("segment", tmp_path / "odd.nii.gz", "--out", tmp_path / "out", "--model", bundle, "--json")
    assert nibabel.load(tmp_path / "out" / "odd" / "mask.nii.gz").shape == shape[::-1]
    assert (tmp_path / "out" / "odd" / "report.html").is_file()
    warnings = json.loads(done.stdout)["warnings"]
    assert any("a single slice: volumes rest on the 5 mm" in text for text in warnings) == (shape[0] == 1)


def test_two_scans_of_one_name_are_refused_before_any_work(bundle, scan, tmp_path):
    other = tmp_path / "head.nii"
    write_scan(other, head_volume())
    done = hemoseg("segment", scan, other, "--out", tmp_path / "out", "--model", bundle, code=2)
    assert "head" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_bad_scan_does_not_stop_the_others(bundle, scan, tmp_path):
    garbage, text, last = tmp_path / "garbage.nii", tmp_path / "notes.txt", tmp_path / "last.nii"
    garbage.write_bytes(b"not a scan")
    text.write_text("no scan either")
    write_scan(last, head_volume())
    out = tmp_path / "out"
    done = hemoseg("segment", text, scan, garbage, last, "--out", out, "--model", bundle, "--json", code=3)
    reports = json.loads(done.stdout)
    assert [report is None for report in reports] == [True, False, True, False]
    assert reports[1] == json.loads((out / "head" / "report.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == ["head", "last", "manifest.jsonl", "summary.csv"]
    assert "2 failed" in done.stderr
    table = done.stderr.partition("2 failed")[2]
    assert "notes.txt" in table
    assert "garbage " in table
    assert "last " not in table


def test_memory_that_runs_out_for_one_scan_stops_no_other(bundle, scan, tmp_path):
    """Memory that runs out for the second of three scans, the first of which is no scan at all."""
    bad, out = tmp_path / "bad.nii", tmp_path / "out"
    bad.write_bytes(b"not a scan")
    script = (
        "import sys, hemoseg.report as report, hemoseg.cli as cli\n"
        "write = report.write_result\n"
        "def fail(result, out, **rest):\n"
        "    if result.volume.name == 'head': raise MemoryError\n"
        "    return write(result, out, **rest)\n"
        "report.write_result = fail\n"
        "cli.main()\n"
    )
    second = tmp_path / "second.nii"
    write_scan(second, head_volume())
    done = subprocess.run(
        [sys.executable, "-c", script, "segment", bad, scan, second, "--out", out, "--model", bundle],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 3, done.stderr
    assert "out of memory" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["manifest.jsonl", "second", "summary.csv"]
    assert done.stdout.count("ml hemorrhage") == 1


@pytest.mark.parametrize(
    ("error", "found"), [("MemoryError", "out of memory"), ("ValueError('odd')", "failed with ValueError: odd")]
)
def test_whatever_goes_wrong_with_a_scan_alone_names_it(bundle, scan, tmp_path, error, found):
    """No traceback but in a log, and nothing half-written."""
    script = (
        "import hemoseg.report as report, hemoseg.cli as cli\n"
        f"def fail(*_, **__): raise {error}\n"
        "report.write_result = fail\n"
        "cli.main()\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, "segment", scan, "--out", out, "--model", bundle]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert f"error: {scan}: {found}" in done.stderr
    assert "Traceback" not in done.stderr
    logs = [path.name for path in out.iterdir()] if out.exists() else []
    assert logs == (["errors.log"] if "ValueError" in error else [])


def test_what_a_killed_segmentation_left_goes_with_the_next(bundle, scan, tmp_path):
    script = (
        "import os, signal, sys, hemoseg.report.scan as scan, hemoseg.cli as cli\n"
        "scan.write_mask = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main()\n"
    )
    arguments = ["segment", str(scan), "--out", str(tmp_path), "--model", str(bundle)]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name.startswith(".hemoseg.tmp.") for path in tmp_path.iterdir()] == [True]
    hemoseg(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["head"]


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"not a scan"), ""),
        (lambda path: write_scan(path, windowed()), "0"),
    ],
    ids=["absent", "garbage", "8-bit"],
)
def test_bad_scans_end_with_code_2_and_nothing_written(bundle, tmp_path, make, found):
    path = tmp_path / "bad.nii"
    make(path)
    done = hemoseg("segment", path, "--out", tmp_path / "out", "--model", bundle, code=2)
    assert found in done.stderr
    assert re.search(r"expected: .+\n\s+try: ", done.stderr)
    assert not list((tmp_path / "out").glob("*"))


def test_assume_hu_overrides_the_doubt_and_says_so(bundle, tmp_path):
    path = tmp_path / "windowed.nii"
    write_scan(path, windowed())
    hemoseg("segment", path, "--out", tmp_path / "out", "--model", bundle, code=2)
    done = hemoseg("segment", path, "--out", tmp_path / "out", "--model", bundle, "--assume-hu", "--json")
    assert any("HU" in warning for warning in json.loads(done.stdout)["warnings"])


def windowed():
    """A head as an 8-bit export shows it: 0 to 255."""
    volume = head_volume()
    return replace(volume, hu=np.round(np.clip((volume.hu + 20) / 120, 0, 1) * 255).astype(np.float32))


def test_a_changed_bundle_is_refused(scan, tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    (folder / "card.md").write_text("another card")
    assert "card.md has SHA-256" in hemoseg("segment", scan, "--out", tmp_path, "--model", folder, code=2).stderr


def test_no_cuda_is_a_failed_resource(bundle, scan, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = hemoseg("segment", scan, "--out", tmp_path, "--model", bundle, "--device", "cuda", code=3)
    assert "--device cpu" in done.stderr


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_in_the_place_of_the_results_is_refused_before_any_work(bundle, scan, tmp_path, out):
    (tmp_path / "file").write_text("in the way")
    done = hemoseg("segment", scan, "--out", tmp_path / out, "--model", bundle, code=2)
    assert "choose another --out folder" in done.stderr
    assert "model tiny" not in done.stderr
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_older_result_is_replaced_and_other_files_are_left_alone(bundle, scan, tmp_path):
    hemoseg("segment", scan, "--out", tmp_path, "--model", bundle)
    before = (tmp_path / "head" / "report.json").stat().st_mtime_ns
    hemoseg("segment", scan, "--out", tmp_path, "--model", bundle)
    assert (tmp_path / "head" / "report.json").stat().st_mtime_ns > before
    assert [path.name for path in tmp_path.iterdir()] == ["head"]
    (tmp_path / "head" / "notes.txt").write_text("mine")
    done = hemoseg("segment", scan, "--out", tmp_path, "--model", bundle, code=2)
    assert "notes.txt" in done.stderr
    assert (tmp_path / "head" / "notes.txt").read_text() == "mine"


def test_a_cascade_takes_its_first_stage_along(tmp_path):
    low = tiny_configuration(name="3d_lowres", spacing_mm=(5.0, 4.0, 4.0))
    full = tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres")
    model = load_model(write_tiny_bundle(tmp_path / "cascade", plan=tiny_plan(low, full)))
    assert [stage.configuration.name for stage in model.stages] == ["3d_lowres", "3d_cascade_fullres"]
    assert model.segment(head_volume()).labels.shape == (12, 40, 36)


def test_help_is_there_at_once_and_names_every_command():
    done = subprocess.run(command("--help"), capture_output=True, text=True, check=True)
    for (
        name
    ) in "segment run check fingerprint plan preprocess train validate select evaluate report demo models".split():  # noqa: SIM905
        assert re.search(rf"\b{name}\b", done.stdout)
    assert "Not a medical device" in done.stdout


def test_version_and_models(bundle):
    assert json.loads(hemoseg("version", "--json").stdout)["hemoseg"]
    listed = hemoseg("models", "--models", bundle.parent).stdout
    assert "tiny" in listed
    assert "Untrained" in listed


def test_api_in_a_notebook(bundle, scan):
    volume = read_scan(scan)
    assert volume.hu.shape == volume.grid.shape == (12, 40, 36)
    assert volume.grid.spacing_mm == pytest.approx((5.0, 2.0, 2.0))
    assert volume.slices[3].weight_mm == pytest.approx(5.0)
    assert volume.slices[3].source == "3"
    result = load_model(bundle).segment(volume)
    assert result.hemorrhage_ml == result.volume_ml["hemorrhage"]


@pytest.mark.data
def test_a_real_head_without_bleed_returns_in_its_own_frame(data, tmp_path):
    """What the embedded model says of a true-HU head of another source: measured, whatever it is."""
    scan = data / "nifti" / "cranium.nii.gz"
    report = json.loads(hemoseg("segment", scan, "--out", tmp_path, "--json").stdout)
    mask = nibabel.load(tmp_path / "cranium" / "mask.nii.gz")
    assert mask.shape == nibabel.load(scan).shape
    assert np.array_equal(mask.affine, nibabel.load(scan).affine)
    assert report["hemorrhage_ml"] >= 0
    assert report["provenance"]["source"]["shape_zyx"] == [108, 256, 256]


def test_one_scan_keeps_to_its_time_limit_if_it_has_one(bundle, scan, tmp_path):
    said = hemoseg("segment", scan, "--out", tmp_path, "--model", bundle, "--time-limit", "0.001s", code=3).stderr
    assert "not done after 0.001 s" in " ".join(said.split())
    assert not (tmp_path / "head").exists()


def test_the_start_that_reports_tell_is_not_that_of_the_whole_second():
    """Of its own start Linux tells whole seconds, so a process seemed up to one second older than it was."""
    script = (
        "import time; began = time.monotonic(); from hemoseg.cli.scans import _seconds_since_start as age; "
        "time.sleep(1); print(age() - (time.monotonic() - began))"
    )
    before = float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    assert -0.02 < before < 0.5, "seconds before Python's first line"
