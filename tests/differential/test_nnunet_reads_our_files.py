"""The real nnunetv2 extracts, plans and preprocesses from the files that we write."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from hemoseg.datasets import Measuring, index_dataset, measure_one, read_record
from hemoseg.interop import plan_from_files, write_dataset_json, write_fingerprint_json
from hemoseg.planning import make_fingerprint
from planner_peer import PYTHON

pytestmark = [
    pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers"),
    pytest.mark.slow,
]
NAME = "Dataset001_Phantom"


@pytest.fixture
def ours(phantom_cohort, tmp_path) -> Path:
    """A raw data set of two phantoms, and beside it our dataset_fingerprint.json and plans.json."""
    raw = phantom_cohort(2, shape=(14, 40, 44))
    dataset = index_dataset(raw)
    for case in dataset.cases:
        measure_one(Measuring(case=case, table=dataset.table, folder=tmp_path / "facts"))
    fingerprint = make_fingerprint(
        [read_record(tmp_path / "facts", case.name) for case in dataset.cases],
        dataset=str(raw),
        dataset_name=NAME,
        digest=dataset.digest,
        channel_names=dataset.channel_names,
        file_ending=dataset.file_ending,
        labels=dataset.table.names,
    )
    (raw / "dataset.json").write_text(json.dumps(write_dataset_json(fingerprint)))
    preprocessed = tmp_path / "preprocessed" / NAME
    preprocessed.mkdir(parents=True)
    (preprocessed / "dataset.json").write_text((raw / "dataset.json").read_text())
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(write_fingerprint_json(fingerprint)))
    plan_from_files(
        preprocessed / "dataset_fingerprint.json",
        preprocessed / "dataset.json",
        planner="nnunet",
        memory_gb=None,
        out=preprocessed / "nnUNetPlans.json",
    )
    return preprocessed


def nnunet(command: str, preprocessed: Path, *options: str) -> None:
    """Run one of nnunetv2's commands on the data set, whose raw folder lies beside `preprocessed`."""
    folders = {
        "nnUNet_raw": str(preprocessed.parents[1]),
        "nnUNet_preprocessed": str(preprocessed.parent),
        "nnUNet_results": str(preprocessed.parents[1] / "results"),
    }
    call = [str(PYTHON.with_name(f"nnUNetv2_{command}")), "-d", "1", *options]
    done = subprocess.run(call, env=os.environ | folders, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_nnunet_preprocesses_with_our_plans(ours):
    nnunet("preprocess", ours, "-c", "2d", "3d_fullres", "-np", "1")
    for configuration in ("2d", "3d_fullres"):
        folder = ours / f"nnUNetPlans_{configuration}"
        assert sorted(path.name for path in folder.glob("*.b2nd")) == [
            f"phantom_{number:03d}{part}.b2nd" for number in range(2) for part in ("", "_seg")
        ]
    before = json.loads((ours / "nnUNetPlans.json").read_text())
    nnunet("plan_experiment", ours)
    assert json.loads((ours / "nnUNetPlans.json").read_text()) == before


def test_our_fingerprint_is_nnunets_but_for_its_sampling(ours):
    mine = json.loads((ours / "dataset_fingerprint.json").read_text())
    nnunet("extract_fingerprint", ours, "-np", "1", "--clean")
    theirs = json.loads((ours / "dataset_fingerprint.json").read_text())
    exact = ("spacings", "shapes_after_crop", "median_relative_size_after_cropping")
    assert {key: mine[key] for key in exact} == {key: theirs[key] for key in exact}
    assert mine.keys() == theirs.keys()
    sampled = "foreground_intensity_properties_per_channel"
    assert mine[sampled]["0"].keys() == theirs[sampled]["0"].keys()
    for name, value in theirs[sampled]["0"].items():
        assert mine[sampled]["0"][name] == pytest.approx(value, abs=0.5), name
