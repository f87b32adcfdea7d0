"""The data set of a run as it was measured, for every stage after that."""

import shutil

import pytest

from cohort import write_cohort
from hemoseg.datasets import index_dataset
from hemoseg.errors import SettingsError
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measured import measured_dataset
from hemoseg.pipeline.out_of_fold import add_previous
from hemoseg.pipeline.watch import Silent
from plans import tiny_configuration, tiny_plan

NAMES = ("head0", "head1", "head2")


@pytest.fixture
def run(tmp_path):
    root = write_cohort(tmp_path / "Heads", cases=3)
    folder = RunFolder(tmp_path / "run")
    fingerprint_stage(folder, index_dataset(root), Silent())
    return folder, root


def test_the_same_files_are_taken(run):
    folder, _ = run
    assert tuple(case.name for case in measured_dataset(folder, NAMES).cases) == NAMES


def test_a_case_whose_files_are_another_s_is_named(run):
    """Names and patients are as before: the index alone sees no change."""
    folder, root = run
    for kind in ("imagesTr/head{}_0000.nii.gz", "labelsTr/head{}.nii.gz"):
        shutil.copy(root / kind.format(0), root / kind.format(2))
    with pytest.raises(SettingsError, match=r"head2 changed since it was measured|data set .* changed"):
        measured_dataset(folder, ("head0", "head2"))
    plan = tiny_plan(tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres"))
    with pytest.raises(SettingsError, match="changed since it was measured"):
        add_previous(folder, plan, plan.configurations[-1])


def test_cases_that_came_or_went_are_told(run):
    folder, root = run
    for path in (root / "imagesTr" / "head1_0000.nii.gz", root / "labelsTr" / "head1.nii.gz"):
        path.unlink()
    text = (root / "dataset.json").read_text()
    (root / "dataset.json").write_text(text.replace('"numTraining": 3', '"numTraining": 2'))
    with pytest.raises(SettingsError, match=r"the data set \S+ changed since it was measured"):
        measured_dataset(folder)
