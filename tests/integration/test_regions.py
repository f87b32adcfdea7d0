"""The whole story where classes are regions that share voxels, with and without ignored ones."""

import json

import numpy as np
import pytest

from cohort import hemoseg, write_cohort
from hemoseg.io import read_labels

LABELS = {"background": 0, "hemorrhage": [1, 2], "ivh": [1]}
"""All that is labeled, and its core."""
REGIONS = {"labels": LABELS, "regions_class_order": [2, 1]}
RUNS = {
    "headct": (REGIONS, ("--config", "all")),
    "nnunet": (
        {"labels": LABELS | {"ignore": 3}, "regions_class_order": [2, 1]},
        ("--planner", "nnunet", "--memory-gb", "0.5", "--config", "3d_fullres"),
    ),
}
"""{planner: what dataset.json has, and how it is planned}."""


@pytest.fixture(scope="module", params=RUNS)
def story(request, tmp_path_factory):
    """A data set, and a run of a few steps."""
    description, options = RUNS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    dataset = write_cohort(root / "Heads", description=description)
    hemoseg("check", dataset)
    hemoseg("run", dataset, "--run", root / "run", "--folds", "0", "--iterations", "3", *options)
    return dataset, root / "run", description


def read(path):
    return json.loads(path.read_text())


def test_plan_and_facts_know_the_regions(story):
    _, run, description = story
    plan, fingerprint = read(run / "plan.json"), read(run / "fingerprint.json")
    assert plan["regions"] == fingerprint["regions"] == [{"labels": [1, 2], "paint": 2}, {"labels": [1], "paint": 1}]
    assert fingerprint["ignore"] == description["labels"].get("ignore")
    for case in fingerprint["cases"]:
        assert case["class_ml"]["hemorrhage"] >= case["class_ml"]["ivh"] == case["shared_ml"]
    assert (
        "regions of label numbers, which may overlap: hemorrhage of 1 and 2, ivh of 1"
        in (run / "methods.md").read_text()
    )
    if plan["planner"] == "nnunet":
        assert read(run / "nnunet" / "dataset.json")["labels"] == description["labels"]
        assert read(run / "nnunet" / "dataset.json")["regions_class_order"] == [2, 1]


def test_every_region_is_evaluated_and_shared_voxels_count_once(story):
    dataset, run, _ = story
    result = read(run / "evaluation.json")
    assert list(result["mean"]) == ["hemorrhage", "ivh", "any"]
    for case in result["cases"]:
        classes = case["classes"]
        reference, _ = read_labels(dataset / "labelsTr" / f"{case['case']}.nii.gz")
        voxel_ml = 5 * 4 * 4 / 1000
        assert classes["hemorrhage"]["reference_ml"] == pytest.approx(np.isin(reference, (1, 2)).sum() * voxel_ml)
        assert classes["ivh"]["reference_ml"] == pytest.approx((reference == 1).sum() * voxel_ml)
        assert classes["any"]["reference_ml"] == classes["hemorrhage"]["reference_ml"]
    trials = read(run / "selection.json")["evidence"]["candidates"]
    assert {tuple(trial["class_scores"]) for trial in trials} == {("hemorrhage", "ivh")}
    assert "hemorrhage" in (run / "report.html").read_text()


def test_the_bundle_segments_and_its_masks_are_evaluated(story, tmp_path):
    dataset, run, _ = story
    assert read(run / "model" / "labels.json") == LABELS
    scan = dataset / "imagesTr" / "head0_0000.nii.gz"
    hemoseg("segment", scan, "--out", tmp_path / "out", "--model", run / "model")
    report = read(tmp_path / "out" / "head0_0000" / "report.json")
    mask, _ = read_labels(tmp_path / "out" / "head0_0000" / "mask.nii.gz")
    assert set(np.unique(mask)) <= {0, 1, 2}
    assert report["hemorrhage_ml"] == pytest.approx(np.count_nonzero(mask) * 5 * 4 * 4 / 1000, abs=0.01)
    references = tmp_path / "references"
    references.mkdir()
    for case in read(run / "evaluation.json")["cases"]:
        name = f"{case['case']}.nii.gz"
        (references / name).write_bytes((dataset / "labelsTr" / name).read_bytes())
    options = ("--labels", dataset / "dataset.json", "--out", tmp_path / "m.json")
    hemoseg("evaluate", run / "predictions", references, *options)
    assert read(tmp_path / "m.json")["mean"] == read(run / "evaluation.json")["mean"]
    hemoseg("evaluate", run / "predictions", references, *options, "--protocol", "nnunet")
    assert list(read(tmp_path / "m.json")["mean"]) == ["(1, 2)", "(1,)"]
