"""The run folder: one process at a time, and nothing half-written stays."""

import errno
import os
import signal
import threading
from pathlib import Path

import pytest

from hemoseg.errors import ArtifactError, InputError, ResourceError
from hemoseg.pipeline.folder import RunFolder, digest_of
from hemoseg.pipeline.watch import held_signals
from hemoseg.plan import Plan


def test_a_second_process_is_kept_out(tmp_path):
    with RunFolder(tmp_path / "run").lock(), pytest.raises(ResourceError, match="another process"):  # noqa: SIM117
        with RunFolder(tmp_path / "run").lock():
            pass
    with RunFolder(tmp_path / "run").lock():
        assert (tmp_path / "run").is_dir()


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path):
    (tmp_path / "cases" / ".hemoseg.tmp.x1y2").mkdir(parents=True)
    (tmp_path / ".hemoseg.tmp.123.plan.json").write_text("half")
    (tmp_path / "settings.json").write_text("whole")
    (tmp_path / ".mine.old").write_text("not ours")
    with RunFolder(tmp_path).lock():
        pass
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".lock", ".mine.old", "cases", "settings.json"]


def test_what_a_killed_worker_leaves_is_swept_after_success_too(tmp_path):
    (tmp_path / "settings.json").write_text("whole")
    with RunFolder(tmp_path).lock():
        (tmp_path / "cases" / ".hemoseg.tmp.x1y2").mkdir(parents=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".lock", "cases", "settings.json"]


def test_a_folder_that_is_no_run_is_not_swept(tmp_path):
    (tmp_path / ".hemoseg.tmp.123.plan.json").write_text("whose?")
    with RunFolder(tmp_path).lock():
        pass
    assert (tmp_path / ".hemoseg.tmp.123.plan.json").exists()


def test_a_file_in_the_folders_place_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match=r"file.*: cannot be used"), RunFolder(path).lock():
            pass


def test_a_folder_that_cannot_be_made_is_a_failed_resource(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ResourceError, match="Permission denied"), RunFolder(tmp_path / "run").lock():
        pass


@pytest.mark.parametrize("name", ["settings", "fingerprint", "device", "plan", "splits"])
def test_an_absent_file_names_the_stage_that_writes_it(tmp_path, name):
    with pytest.raises(ArtifactError, match="try: run `hemoseg"):
        getattr(RunFolder(tmp_path), name)()


@pytest.mark.parametrize("name", ["settings", "fingerprint", "device", "plan", "splits"])
def test_a_folder_in_a_files_place_is_named(tmp_path, name):
    (tmp_path / f"{name}.json").mkdir()
    with pytest.raises(ArtifactError, match=rf"{name}\.json: cannot be read: Is a directory"):
        getattr(RunFolder(tmp_path), name)()


def test_signals_are_held_and_the_old_handlers_return():
    before = signal.getsignal(signal.SIGTERM)
    with held_signals() as stop:
        assert stop() is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_thread_holds_nothing():
    seen = []

    def work():
        with held_signals() as stop:
            seen.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_plan_that_was_written_before_keeps_its_digest():
    """The first embedded model's, of a time when a recipe had seven fields; a later field that is set counts."""
    plan = Plan.model_validate_json((Path(__file__).parents[2] / "golden" / "first-plan.json").read_text())
    assert digest_of(plan) == "168fb62bfbb4e4c1aef344076e0140e97e204b7bc34789e6e0f5f109bd61326b"
    changed = plan.model_copy(update={"recipe": plan.recipe.model_copy(update={"validation_batches": 1})})
    assert digest_of(changed) != digest_of(plan)
