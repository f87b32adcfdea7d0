"""The pass over the data before nnU-Net's planners."""

import os
import tempfile
from pathlib import Path

import pytest

from cohort import write_cohort
from hemoseg.datasets import index_dataset
from hemoseg.errors import ResourceError, SettingsError
from hemoseg.pipeline import stepped
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measure import draft_plan
from hemoseg.pipeline.stepped import stepped_stage
from hemoseg.pipeline.watch import Silent
from hemoseg.plan import Pooling, Slab
from hemoseg.settings import Settings, Steps


class Noting(Silent):
    """Notes the stages that begin."""

    def __init__(self):
        self.began = []

    def begin(self, stage, total):
        self.began.append((stage, total))


@pytest.fixture
def run(tmp_path):
    """A run folder with the fingerprint of three small heads."""
    dataset = index_dataset(write_cohort(tmp_path / "Heads", cases=3))
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    fingerprint_stage(folder, dataset, Silent())
    return folder


def test_facts_are_those_of_the_steps(run):
    """Heads of 12 x 40 x 36 voxels at 5 x 4 x 4 mm, in air: the window makes air 0, so it is cropped."""
    steps = Steps(windows=("wide",), pooling=Pooling(kind="average", factor=2), slice_spacing_mm=2.5)
    settings = Settings(planner="nnunet", steps=steps)
    facts = stepped_stage(run, settings, Silent())
    assert [case.name for case in facts.cases] == [case.name for case in run.fingerprint().cases]
    for case in facts.cases:
        assert case.spacing_mm == pytest.approx((2.5, 8.0, 8.0))
        assert case.shape[0] <= 24
        assert case.shape[1] < 20
        assert case.shape[2] < 18
        assert case.relative_size == pytest.approx(case.shape[0] * case.shape[1] * case.shape[2] / (24 * 20 * 18))


def test_it_resumes_and_other_steps_are_measured_anew(run):
    settings = Settings(planner="nnunet", steps=Steps(windows=("wide",), slab=Slab(extend=1)))
    first = stepped_stage(run, settings, Silent())
    watch = Noting()
    assert stepped_stage(run, settings, watch) == first
    assert watch.began == []
    (run.path / "stepped.json").unlink()
    record = run.path / "stepped" / f"{first.cases[0].name}.json"
    os.utime(record, (1, 1))
    assert stepped_stage(run, settings, watch) == first
    assert record.stat().st_mtime == 1  # read, not written again
    other = stepped_stage(run, settings.model_copy(update={"steps": Steps(slab=Slab(extend=2))}), Silent())
    assert other.preparation_sha256 != first.preparation_sha256


def test_a_damaged_record_is_made_again(run):
    settings = Settings(planner="nnunet", steps=Steps(slice_spacing_mm=5.0))
    first = stepped_stage(run, settings, Silent())
    (run.path / "stepped.json").unlink()
    (run.path / "stepped" / f"{first.cases[0].name}.json").write_text("{")
    assert stepped_stage(run, settings, Silent()) == first


def test_a_case_that_changed_is_refused(run):
    label = next(Path(run.fingerprint().dataset).glob("labelsTr/head1*"))
    content = bytearray(label.read_bytes())
    content[4] ^= 1  # the time in the header of gzip
    label.write_bytes(content)
    with pytest.raises(SettingsError, match="label of head1 changed"):
        stepped_stage(run, Settings(preset="paper"), Silent())


def test_no_pass_where_none_is_needed(run):
    watch = Noting()
    assert stepped_stage(run, Settings(), watch) is None
    assert not watch.began


def test_a_draft_leaves_no_plan(run):
    plan, _ = draft_plan(run, Settings(preset="paper-swapped"), Silent())
    assert plan.preset == "paper-swapped"
    assert not run.plan_file.exists()
    assert not run.device_file.exists()


def test_a_dry_run_that_fails_unexpectedly_leaves_the_log_that_its_error_names_and_nothing_else(
    run, tmp_path, monkeypatch
):
    """One worker runs in this process, where a job can be made to fail."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(stepped, "default_workers", lambda: 1)
    monkeypatch.setattr(stepped, "pre_steps", lambda *_, **__: 1 / 0)
    settings = Settings(planner="nnunet", steps=Steps(windows=("wide",)), iterations=3)
    with pytest.raises(ResourceError, match=r"workers\.log") as failed:
        draft_plan(run, settings, Silent())
    log = Path(failed.value.remedy.removeprefix("read the traceback in "))
    assert "ZeroDivisionError" in log.read_text()
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == [log]
