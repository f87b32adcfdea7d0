"""A data set of pseudo-HU with ignored slices, from its check to a scan that its model segments."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cohort import hemoseg, write_cohort
from hemoseg.artifacts import write_model
from hemoseg.datasets import CaseNotes, DatasetSources, Source, index_dataset
from hemoseg.io import read_labels, read_scan, write_mask, write_scan
from hemoseg.models import open_bundle
from hemoseg.pipeline import Silent
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import train_stage
from hemoseg.pipeline.measure import plan_stage
from hemoseg.pipeline.preprocess import preprocess_stage
from hemoseg.settings import Settings

BOUNDS = (0.0, 120.0)
IGNORED = {"head0": (5, 6, 11), "head1": (0, 5), "head2": (4, 6, 7), "head3": (6,), "head4": (6, 8), "head5": (9,)}
"""Slices that are ignored: some hold a part of the bleed."""
SETTINGS = Settings(folds=(0,), config="2d", iterations=2, memory_gb=0.6)  # the smallest takes 0.51 GB in float32
PSEUDO = "pseudo-HU rebuilt from 8-bit windows, range [0, 120] HU"
SOURCE = Source(name="Windows <1.0>", license="CC BY 4.0", citation="A. Author, J. Test 1:2 (2020).")


def write_recorded(root: Path, *, hidden: int) -> Path:
    """Heads in a window; `hidden` is what lies in ignored slices: another image, and another label before."""
    write_cohort(root)
    for name, slices in IGNORED.items():
        image, label = root / "imagesTr" / f"{name}_0000.nii.gz", root / "labelsTr" / f"{name}.nii.gz"
        volume, (labels, _) = read_scan(image), read_labels(label)
        hu, marked = np.clip(volume.hu, *BOUNDS), labels.astype(np.uint8)
        for z in slices:
            if hidden:
                hu[z, 10:30, 10:26] = np.random.default_rng(hidden).integers(20, 70, (20, 16))
                marked[z, 10:20, 10:20] = 1
            marked[z] = 3
        write_scan(image, replace(volume, hu=hu))
        write_mask(label, marked, volume)
    description = json.loads((root / "dataset.json").read_text())
    description["labels"]["ignore"] = 3
    (root / "dataset.json").write_text(json.dumps(description))
    notes = {
        name: CaseNotes(source=0, annotates=("hemorrhage", "edema"), ignored_slices=slices)
        for name, slices in IGNORED.items()
    }
    notes["head5"] = notes["head5"].model_copy(update={"filled_slices": (9,)})
    record = DatasetSources(sources=(SOURCE,), intensity="pseudo-hu", bounds_hu=BOUNDS, cases=notes)
    write_model(root / "hemoseg.json", record)
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recorded(tmp_path_factory.mktemp("data") / "Heads", hidden=0)


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = hemoseg("run", dataset, "--run", folder, *SETTINGS.options().split())
    return folder, done.stdout + done.stderr


def test_check_takes_it_for_what_it_is_and_names_its_source(dataset: Path, tmp_path: Path) -> None:
    out = hemoseg("check", dataset).stdout
    assert "source: Windows <1.0>. License: CC BY 4.0. Cite: A. Author, J. Test 1:2 (2020)." in out
    assert PSEUDO in out
    silent = write_recorded(tmp_path / "Heads", hidden=0)
    (silent / "hemoseg.json").unlink()
    assert "none below 0" in hemoseg("check", silent, code=2).stdout


def test_the_record_stands_in_every_file_of_the_run(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert "source: Windows <1.0>. License: CC BY 4.0" in printed
    assert PSEUDO in printed
    page = (folder / "report.html").read_text()
    card = (folder / "model" / "card.md").read_text()
    for text in ("Windows &lt;1.0&gt;", "CC BY 4.0", "J. Test 1:2", PSEUDO, "6 cases have voxels that nobody labeled"):
        assert text in page, text
    assert "1 slices of 1 cases are missing at the source and were filled" in page
    for text in (
        "- Windows <1.0>. License: CC BY 4.0. Cite: A. Author",
        f"HU of a scanner: the data were {PSEUDO}",
        "Voxels that nobody labeled had no part",
    ):
        assert text in card, text
    assert "Windows <1.0>. License: CC BY 4.0" in (folder / "model" / "LICENSE").read_text()
    assert PSEUDO in (folder / "methods.md").read_text()
    plan = json.loads((folder / "plan.json").read_text())
    assert {"intensity", "ignore"} <= {reason["name"] for reason in plan["reasons"]}
    assert all(0 <= c["window"]["low_hu"] <= 120 for c in plan["preparation"]["channels"])
    fingerprint = json.loads((folder / "fingerprint.json").read_text())
    assert (fingerprint["pseudo_hu"], fingerprint["ignore"]) == ([0, 120], 3)
    assert fingerprint["sources"][0]["name"] == "Windows <1.0>"


def test_every_scan_that_its_model_segments_is_warned_of(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    cohort = write_cohort(tmp_path / "Others", cases=1)
    scan = cohort / "imagesTr" / "head0_0000.nii.gz"
    done = hemoseg("segment", scan, "--out", tmp_path / "out", "--model", folder / "model")
    assert f"warning: the model was trained on {PSEUDO}" in done.stderr
    target = tmp_path / "out" / "head0_0000"
    report = json.loads((target / "report.json").read_text())
    assert any(text.startswith(f"the model was trained on {PSEUDO}") for text in report["warnings"])
    assert f"<li>the model was trained on {PSEUDO}" in (target / "report.html").read_text()
    assert set(report["volume_ml"]) == {"hemorrhage", "edema"}
    assert set(np.unique(read_labels(target / "mask.nii.gz")[0]).tolist()) <= {0, 1, 2}
    assert json.loads((folder / "model" / "labels.json").read_text()) == {"background": 0, "hemorrhage": 1, "edema": 2}
    assert len(open_bundle(folder / "model").manifest.warnings) == 1


def test_figures_are_those_of_labeled_voxels(finished: tuple[Path, str], dataset: Path) -> None:
    folder, _ = finished
    result = json.loads((folder / "evaluation.json").read_text())
    for case in result["cases"]:
        reference, _ = read_labels(dataset / "labelsTr" / f"{case['case']}.nii.gz")
        predicted, _ = read_labels(folder / "2d" / "fold_0" / "validation" / f"{case['case']}.nii.gz")
        known = reference != 3
        assert not known.all()
        for number, name in ((1, "hemorrhage"), (2, "edema")):
            r, p = (reference == number) & known, (predicted == number) & known
            expected = 2 * (r & p).sum() / (r.sum() + p.sum()) if r.any() or p.any() else None
            assert case["classes"][name]["dice"] == (None if expected is None else pytest.approx(expected))


def test_what_lies_under_ignored_slices_changes_no_bit_of_the_weights(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    """Networks of single slices see nothing of an ignored slice: neither another label nor another image matters."""
    other = index_dataset(write_recorded(tmp_path / "Heads", hidden=7))
    run = RunFolder(tmp_path / "run")
    fingerprint_stage(run, other, Silent())
    plan = plan_stage(run, SETTINGS, Silent())
    preprocess_stage(run, plan, Silent())
    train_stage(run, plan, SETTINGS, Silent())
    folder, _ = finished
    assert run.weights("2d", 0).read_bytes() == RunFolder(folder).weights("2d", 0).read_bytes()
    images = [np.load(root / "cases" / "head0" / "image.npy") for root in (run.path, folder)]
    differing = np.flatnonzero((images[0] != images[1]).any(axis=(0, 2, 3)))
    assert differing.tolist() == list(IGNORED["head0"])
    labels = np.load(folder / "cases" / "head0" / "label.npy")
    assert np.flatnonzero((labels == 3).all(axis=(1, 2))).tolist() == list(IGNORED["head0"])
