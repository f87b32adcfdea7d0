import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from hemoseg import artifacts
from hemoseg.errors import ArtifactError, InputError, ResourceError


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: Literal[1] = 1
    text: str


LEAVE = """
import sys, time
from pathlib import Path
from hemoseg.artifacts import whole_folder
with whole_folder(Path(sys.argv[1])) as temporary:
    (temporary / "half.txt").write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""
LARGEST_PID = 2**22
"""Linux gives no process this number."""


def write_half(path):
    path.write_text("half")
    raise ZeroDivisionError


def test_whole_file_appears_under_its_name_and_leaves_nothing_else(tmp_path):
    with artifacts.whole_file(tmp_path / "new" / "a.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("done")
    assert [(p.name, p.read_text()) for p in (tmp_path / "new").iterdir()] == [("a.nii.gz", "done")]


def test_a_linked_file_has_two_names_and_keeps_its_mode(tmp_path):
    source, target = tmp_path / "a", tmp_path / "new" / "b"
    source.write_text("bytes")
    source.chmod(0o444)
    assert artifacts.link_or_copy(source, target)
    assert artifacts.link_or_copy(source, target)  # once more, as after a kill
    assert (target.stat().st_ino, target.stat().st_mode & 0o777) == (source.stat().st_ino, 0o444)
    (tmp_path / "c").symlink_to(source)
    assert artifacts.link_or_copy(tmp_path / "c", tmp_path / "d")
    assert not (tmp_path / "d").is_symlink()


def test_what_cannot_be_linked_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(artifacts.os, "link", refuse)
    (tmp_path / "a").write_text("bytes")
    assert not artifacts.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "bytes"
    assert (tmp_path / "b").stat().st_ino != (tmp_path / "a").stat().st_ino


def test_failure_keeps_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), artifacts.whole_file(path) as temporary:
        write_half(temporary)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_file_in_a_folders_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file lies where a folder should be"):
        artifacts.write_text(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(InputError, match="a file lies"), artifacts.whole_folder(tmp_path / "file" / "sub"):
        pass


def test_a_full_disk_is_a_resource_error(tmp_path):
    def fill(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with pytest.raises(ResourceError, match="free space"), artifacts.whole_file(tmp_path / "a.txt") as temporary:
        fill(temporary)
    with pytest.raises(ResourceError, match="free space"), artifacts.whole_folder(tmp_path / "a") as temporary:
        fill(temporary)


def test_a_file_of_a_folder_that_fails_is_named_where_it_was_to_be(tmp_path):
    def fill(folder):
        with artifacts.whole_file(folder / "mask.nii.gz"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ResourceError, match="free space") as caught, artifacts.whole_folder(tmp_path / "a") as folder:
        fill(folder)
    assert caught.value.where == tmp_path / "a" / "mask.nii.gz"
    assert list(tmp_path.iterdir()) == []


def test_whole_folder_replaces_an_older_one(tmp_path):
    folder = tmp_path / "result"
    for text in ("old", "new"):
        with artifacts.whole_folder(folder) as temporary:
            (temporary / f"{text}.txt").write_text(text)
    assert [p.name for p in tmp_path.iterdir()] == ["result"]
    assert [p.name for p in folder.iterdir()] == ["new.txt"]


def test_failed_folder_keeps_the_old_one(tmp_path):
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), artifacts.whole_folder(folder) as temporary:
        write_half(temporary / "half.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["result"]
    assert [p.name for p in folder.iterdir()] == ["old.txt"]


def test_json_escapes_bytes_of_names_that_are_no_text():
    text = artifacts.dump_json({"b\udce9": "µ"})
    assert text.encode() == '{\n  "b\\udce9": "µ"\n}\n'.encode()
    assert json.loads(text) == {"b\udce9": "µ"}


def test_json_refuses_nan_and_keeps_text(tmp_path):
    path = tmp_path / "a.json"
    artifacts.write_json(path, {"a": "µ"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "µ"}
    assert "µ" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(path, float("nan"))
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "µ"}


def test_model_round_trip(tmp_path):
    path = tmp_path / "note.json"
    artifacts.write_model(path, Note(text="x"))
    assert artifacts.read_model(path, Note, remedy="again") == Note(text="x")


@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"text": 1}', '{"version": 2, "text": "x"}', '{"text": "x", "more": 1}']
)
def test_absent_foreign_and_future_files_are_artifact_errors(tmp_path, text):
    path = tmp_path / "note.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ArtifactError, match="run the stage again"):
        artifacts.read_model(path, Note, remedy="run the stage again")


def test_a_folder_in_a_models_place_is_named(tmp_path):
    (tmp_path / "note.json").mkdir()
    with pytest.raises(ArtifactError, match=r"note\.json: cannot be read: Is a directory"):
        artifacts.read_model(tmp_path / "note.json", Note, remedy="again")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "note.json").write_text("{}")

    def refuse(self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ArtifactError, match=r"note\.json: cannot be read: Permission denied"):
        artifacts.read_model(tmp_path / "note.json", Note, remedy="again")
    with (
        pytest.raises(InputError, match=r"note\.json: cannot be read: Permission denied"),
        artifacts.readable(tmp_path),
    ):
        (tmp_path / "note.json").read_bytes()


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert artifacts.sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_link_or_device_is_not_replaced(tmp_path):
    (tmp_path / "target.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    with pytest.raises(InputError, match="a link"):
        artifacts.write_json(tmp_path / "link.json", [])
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "target.json").read_text() == "{}"


def test_what_gone_processes_left_is_swept_and_nothing_else(tmp_path):
    """One process was killed, one is at work, one works on another machine that shares the disk."""
    killed = subprocess.Popen([sys.executable, "-c", LEAVE, str(tmp_path / "a")], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    killed.stdout.readline()
    with artifacts.whole_folder(tmp_path / "b") as ours, artifacts.whole_file(tmp_path / "c.txt") as file:
        file.write_text("c")
        other = ours.with_name(ours.name.replace(f".{os.getpid()}.", f".{LARGEST_PID}.elsewhere-"))
        other.mkdir()
        (tmp_path / ".hemoseg.tmp.notes").write_text("not in our form")
        before = sorted(tmp_path.iterdir())
        artifacts.sweep_gone(tmp_path)
        assert sorted(tmp_path.iterdir()) == before
        killed.kill()
        killed.communicate()
        artifacts.sweep_gone(tmp_path)
        left = set(before) - set(tmp_path.iterdir())
        assert [path.name.split(".")[3] for path in left] == [str(killed.pid)]
    assert {path.name for path in tmp_path.iterdir()} == {"b", "c.txt", ".hemoseg.tmp.notes", other.name}
    artifacts.sweep_gone(tmp_path / "nowhere")
