"""Many scans in one process: order, overlap, failures, and what is remembered."""

import csv
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import hemoseg.inference
from bundles import write_tiny_bundle
from cohort import hemoseg as command
from hemoseg.errors import ArtifactError, HemosegError, InputError, InterruptedRunError, ResourceError, SettingsError
from hemoseg.geometry import Volume
from hemoseg.io import write_scan
from hemoseg.labels import LabelTable
from hemoseg.models import open_bundle
from hemoseg.pipeline import Silent
from hemoseg.pipeline.batch import stream, work
from hemoseg.pipeline.batch.record import Event
from hemoseg.pipeline.batch.run import Batch, Result, run_batch
from hemoseg.pipeline.batch.sources import find_scans, take_shard
from hemoseg.pipeline.batch.summary import write_summary
from hemoseg.pipeline.batch.work import Options
from hemoseg.segmentation import ModelIdentity, Segmentation
from plans import head_volume


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "other", folds=(1,))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in "abcd":
        write_scan(folder / f"{name}.nii.gz", head_volume())
    return folder


@pytest.fixture(autouse=True)
def segmented(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the scans that the model saw, in order: one that calls dense voxels blood, which takes no time."""
    names: list[str] = []
    identity = ModelIdentity(name="tiny", version="1", sha256="0" * 64, notice="none")
    table = LabelTable(("background", "hemorrhage", "edema"))

    class Threshold:
        def check_reading(self, more: int, *, scan: str) -> None:
            assert more > 0

        def segment(self, volume: Volume, *, watch: Callable[[int, int], None]) -> Segmentation:
            names.append(volume.name)
            for done in (1, 2):
                watch(done, 2)
            labels = (volume.hu > 50).astype(np.uint8)
            return Segmentation(labels=labels, table=table, volume=volume, model=identity)

    monkeypatch.setattr("hemoseg.inference.load_model", lambda *_, **__: Threshold())
    return names


def run(bundle: Path, out: Path, *sources: Path, part: tuple[int, int] | None = None, **changes: Any) -> Result:
    found = find_scans([str(source) for source in sources])
    values: dict[str, Any] = {
        "found": found if part is None else take_shard(found, *part),
        "out": out,
        "model": str(bundle),
        "options": Options(layout=changes.pop("layout", "flat"), assume_hu=changes.pop("assume_hu", False)),
        "shard": part,
        "limit_s": 60.0,
        "retries": 0,
        "start_s": 0.0,
    }
    return run_batch(
        Batch(**values | changes),
        open_bundle(bundle),
        executor=None,
        watch=Silent(),
        ready=lambda: None,
        done=lambda scan, report: None,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def scans_of(path: Path) -> list[str]:
    """The scans of a summary in their order."""
    return list(dict.fromkeys(row["scan"] for row in rows(path)))


def test_each_scan_gets_a_folder_and_a_row_for_each_class_in_order(bundle: Path, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(bundle, out, scans / "d.nii.gz", scans / "a.nii.gz", layout="folders")
    assert list(result.reports) == ["d", "a"]
    table = rows(out / "summary.csv")
    found = [(row["scan"], row["class"]) for row in table]
    assert found == [("d", "hemorrhage"), ("d", "edema"), ("a", "hemorrhage"), ("a", "edema")]
    asked = ["scan", "class", "ml", "low_ml", "high_ml", "interval_level", "warnings", "status", "seconds", "error"]
    assert list(table[0]) == asked
    report = json.loads((out / "a" / "report.json").read_text())
    assert report == result.reports["a"]
    assert float(table[2]["ml"]) == report["hemorrhage_ml"] > 0
    assert float(table[3]["ml"]) == report["volume_ml"]["edema"]
    assert [row["status"] for row in table] == ["done"] * 4
    assert all(row[name] == "" for row in table for name in ("low_ml", "high_ml", "interval_level", "error"))
    assert float(table[2]["seconds"]) > 0


def test_flat_masks_are_bytes_with_the_header_of_their_scans(bundle: Path, scans: Path, tmp_path: Path) -> None:
    run(bundle, tmp_path / "flat", scans)
    run(bundle, tmp_path / "folders", scans / "a.nii.gz", scans / "b.nii.gz", layout="folders")
    names = sorted(path.name for path in (tmp_path / "flat").glob("*.nii.gz"))
    assert names == ["a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz"]
    mask, scan = nibabel.load(tmp_path / "flat" / "a.nii.gz"), nibabel.load(scans / "a.nii.gz")
    assert np.asarray(mask.dataobj).dtype == np.uint8
    assert np.array_equal(mask.affine, scan.affine)
    for field in ("dim", "pixdim", "qform_code", "sform_code", "xyzt_units"):
        assert np.array_equal(mask.header[field], scan.header[field])
    flat = (tmp_path / "flat" / "a.nii.gz").read_bytes()
    assert flat == (tmp_path / "folders" / "a" / "mask.nii.gz").read_bytes()


def test_a_file_in_the_place_of_a_mask_is_refused_even_if_it_is_the_scan(
    bundle: Path, scans: Path, tmp_path: Path, segmented: list[str]
) -> None:
    before = (scans / "a.nii.gz").read_bytes()
    with pytest.raises(InputError, match="is there already"):
        run(bundle, scans, scans)
    assert (scans / "a.nii.gz").read_bytes() == before
    assert segmented == []
    (scans / "a.nii.gz").rename(scans / "summary.csv.nii.gz")
    with pytest.raises(InputError, match=r"named summary\.csv"):
        run(bundle, tmp_path / "out", scans, layout="folders")


def test_done_scans_are_not_done_again(bundle: Path, scans: Path, tmp_path: Path, segmented: list[str]) -> None:
    out = tmp_path / "out"
    first = run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz")
    assert segmented == ["a", "b"]
    summary = (out / "summary.csv").read_bytes()
    again = run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz")
    assert segmented == ["a", "b"]
    assert again.reports == first.reports
    assert again.earlier == 2
    assert (out / "summary.csv").read_bytes() == summary
    run(bundle, out, scans)
    assert segmented == ["a", "b", "c", "d"]
    assert scans_of(out / "summary.csv") == ["a", "b", "c", "d"]


def test_a_changed_scan_and_a_result_that_is_gone_are_done_again(
    bundle: Path, scans: Path, tmp_path: Path, segmented: list[str]
) -> None:
    out = tmp_path / "out"
    run(bundle, out, scans)
    os.utime(scans / "b.nii.gz", ns=(0, 10**18))
    (out / "c.nii.gz").unlink()
    del segmented[:]
    run(bundle, out, scans)
    assert segmented == ["b", "c"]


def test_a_mask_or_report_that_is_gone_from_its_folder_is_done_again(
    bundle: Path, scans: Path, tmp_path: Path, segmented: list[str]
) -> None:
    out = tmp_path / "out"
    run(bundle, out, scans, layout="folders")
    (out / "b" / "mask.nii.gz").unlink()
    (out / "d" / "report.json").unlink()
    (out / "d" / "report.html").unlink()
    del segmented[:]
    run(bundle, out, scans, layout="folders")
    assert segmented == ["b", "d"]


@pytest.mark.parametrize("layout", ["flat", "folders"])
def test_a_result_is_not_replaced_by_that_of_another_folder_s_scan(
    bundle: Path, scans: Path, tmp_path: Path, segmented: list[str], layout: str
) -> None:
    """As where each ward has a `a.nii.gz`: one call with both is refused, so are two."""
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    write_scan(other / "a.nii.gz", replace(head_volume(), hu=head_volume().hu + 1))
    run(bundle, out, scans, layout=layout)
    before = (out / "manifest.jsonl").read_bytes()
    with pytest.raises(InputError, match="result of another scan of this name"):
        run(bundle, out, other, layout=layout)
    assert (out / "manifest.jsonl").read_bytes() == before
    assert segmented == ["a", "b", "c", "d"]
    scans.rename(tmp_path / "moved")
    os.utime(tmp_path / "moved" / "b.nii.gz")  # as copying does
    assert run(bundle, out, tmp_path / "moved", layout=layout).earlier == 3


def test_what_the_model_cannot_do_is_refused_before_anything_is_written(
    bundle: Path, scans: Path, tmp_path: Path, segmented: list[str]
) -> None:
    with pytest.raises(SettingsError, match="--low-vote with"):
        run(bundle, tmp_path / "out", scans, options=Options(layout="flat", low_vote=True))
    assert not (tmp_path / "out").exists()
    assert segmented == []


def test_the_summary_keeps_what_earlier_calls_did(bundle: Path, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (scans / "c.nii.gz").write_bytes(b"no scan")
    run(bundle, out, scans / "c.nii.gz", scans / "b.nii.gz")
    run(bundle, out, scans / "d.nii.gz", scans / "a.nii.gz")
    assert scans_of(out / "summary.csv") == ["d", "a", "b"]
    (out / "b.nii.gz").unlink()
    run(bundle, out, scans / "a.nii.gz", scans / "d.nii.gz")
    assert scans_of(out / "summary.csv") == ["a", "d"]


def test_another_model_or_option_in_the_same_folder_is_refused(
    bundle: Path, other_bundle: Path, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz")
    before = (out / "manifest.jsonl").read_bytes()
    with pytest.raises(SettingsError, match="its SHA-256 was"):
        run(other_bundle, out, scans)
    with pytest.raises(SettingsError, match="--layout was flat, is folders"):
        run(bundle, out, scans, layout="folders")
    with pytest.raises(SettingsError, match="--assume-hu was False, is True"):
        run(bundle, out, scans, part=(1, 2), assume_hu=True)
    assert (out / "manifest.jsonl").read_bytes() == before
    assert not (out / "c.nii.gz").exists()


def test_a_line_cut_short_is_left_out_and_a_damaged_one_refused(
    bundle: Path, scans: Path, tmp_path: Path, segmented: list[str]
) -> None:
    out = tmp_path / "out"
    run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz")
    manifest = out / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    for length in (len(b"".join(lines[:3])), len(b"".join(lines)) - 3):
        manifest.write_bytes(b"".join(lines)[:length])
        run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz")
        assert all(json.loads(line) for line in manifest.read_bytes().splitlines())
    assert segmented == ["a", "b", "a", "b", "b"]
    for length in (0, 5, len(lines[0])):
        manifest.write_bytes(lines[0][:length])
        with pytest.raises(InputError, match="no earlier call with this folder wrote it"):
            run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz")
    manifest.write_bytes(lines[0] + b"{}\n" + lines[-1])
    with pytest.raises(ArtifactError, match="a damaged line"):
        run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz")


def test_two_processes_do_not_work_in_one_folder(bundle: Path, scans: Path, tmp_path: Path) -> None:
    from hemoseg.pipeline.batch.record import Header, open_record

    header = Header(model="tiny 1", model_sha256=open_bundle(bundle).sha256, options=Options())
    with open_record(tmp_path / "out", header, None), pytest.raises(ResourceError, match="another process works"):
        run(bundle, tmp_path / "out", scans)


@pytest.mark.parametrize(
    ("running", "part"), [((1, 2), None), (None, (1, 2)), ((1, 2), (1, 3))], ids=["join", "shard", "other-count"]
)
def test_a_part_is_not_done_while_another_process_does_the_same_scans(
    bundle: Path, scans: Path, tmp_path: Path, running: tuple[int, int] | None, part: tuple[int, int] | None
) -> None:
    from hemoseg.pipeline.batch.record import Header, open_record

    header = Header(model="tiny 1", model_sha256=open_bundle(bundle).sha256, options=Options(layout="flat"))
    with open_record(tmp_path / "out", header, running):
        with pytest.raises(ResourceError, match="another process works"):
            run(bundle, tmp_path / "out", scans, part=part)
        assert running is None or run(bundle, tmp_path / "out", scans, part=(2, running[1])).reports


def test_shards_are_joined_by_the_command_without_them(
    bundle: Path, scans: Path, tmp_path: Path, segmented: list[str]
) -> None:
    out = tmp_path / "out"
    (scans / "c.nii.gz").write_bytes(b"no scan")
    second = run(bundle, out, scans, part=(2, 2))
    first = run(bundle, out, scans, part=(1, 2))
    assert (list(first.reports), list(first.failures), list(second.reports)) == (["a"], ["c"], ["b", "d"])
    assert scans_of(out / "summary-1-of-2.csv") == ["a", "c"]
    assert list(rows(out / "summary-1-of-2.csv")[0]) == list(rows(out / "summary-2-of-2.csv")[0])
    write_scan(scans / "c.nii.gz", head_volume())
    run(bundle, out, scans)
    assert segmented == ["b", "d", "a", "c"]
    assert [row["status"] for row in rows(out / "summary.csv")] == ["done"] * 8
    assert run(bundle, out, scans / "a.nii.gz", scans / "b.nii.gz", part=(9, 9)).reports == {}


def fail_at(
    monkeypatch: pytest.MonkeyPatch, step: str, name: str, error: BaseException | Callable[[], None], *, times: int = 9
) -> None:
    """Let a step of one scan fail, or do something else first, so many times."""
    true, left = getattr(stream, step), [times]

    def act(*arguments: Any, **others: Any) -> Any:
        subject = next(part for part in arguments if hasattr(part, "name") or hasattr(part, "volume"))
        if (
            name in (getattr(subject, "name", None), getattr(getattr(subject, "volume", None), "name", None))
            and left[0]
        ):
            left[0] -= 1
            if isinstance(error, BaseException):
                raise error
            error()
        return true(*arguments, **others)

    monkeypatch.setattr(stream, step, act)


FULL = ResourceError("cannot be written", where="b", expected="space", remedy="free space")


@pytest.mark.parametrize("step", ["read_one", "segment_one", "write_one"])
@pytest.mark.parametrize("name", ["a", "b", "d"])
@pytest.mark.parametrize(
    "error", [FULL, MemoryError(), OSError(5, "Input/output error"), ZeroDivisionError("odd")], ids=repr
)
def test_a_scan_that_fails_anywhere_stops_no_other(
    bundle: Path,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    name: str,
    error: BaseException,
) -> None:
    fail_at(monkeypatch, step, name, error)
    result = run(bundle, tmp_path / "out", scans)
    assert list(result.failures) == [name]
    assert sorted(result.reports) == sorted({"a", "b", "c", "d"} - {name})
    assert isinstance(result.failures[name], HemosegError)
    assert not (tmp_path / "out" / f"{name}.nii.gz").exists()
    row = {row["scan"]: row for row in rows(tmp_path / "out" / "summary.csv")}[name]
    assert (row["status"], row["error"]) == ("failed", result.failures[name].found)
    assert (tmp_path / "out" / "errors.log").exists() == isinstance(error, ZeroDivisionError)


def test_what_a_resource_failed_for_is_tried_again_at_the_end(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segmented: list[str]
) -> None:
    fail_at(monkeypatch, "write_one", "a", FULL, times=1)
    (scans / "b.nii.gz").write_bytes(b"no scan")
    result = run(bundle, tmp_path / "out", scans, retries=2)
    assert segmented == ["a", "c", "d", "a"]
    assert list(result.failures) == ["b"]
    assert list(result.reports) == ["c", "d", "a"]


@pytest.mark.parametrize(
    ("step", "advice"), [("read_one", "can be read at all"), ("write_one", "can be written at all")]
)
def test_a_disk_that_does_not_answer_costs_one_scan(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, advice: str
) -> None:
    release = threading.Event()
    fail_at(monkeypatch, step, "b", lambda: release.wait(30) and None)
    began = time.monotonic()
    result = run(bundle, tmp_path / "out", scans, limit_s=2.0)
    release.set()
    assert list(result.failures) == ["b"]
    assert result.failures["b"].found == "not done after 2 s"
    assert advice in result.failures["b"].remedy
    assert sorted(result.reports) == ["a", "c", "d"]
    assert time.monotonic() - began < 20


def test_a_network_that_takes_too_long_is_ended_between_tiles(bundle: Path, scans: Path, tmp_path: Path) -> None:
    result = run(bundle, tmp_path / "out", scans, limit_s=1e-9)
    assert sorted(result.failures) == ["a", "b", "c", "d"]
    assert {error.found for error in result.failures.values()} == {"not done after 1e-09 s"}
    assert all("--time-limit" in error.remedy for error in result.failures.values())


def test_reading_and_writing_overlap_the_network_with_two_scans_at_most(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the network has `b`, `c` is read once `a` is written: never are three in memory."""
    events: list[str] = []
    seen = threading.Event()

    def noted(step: str, subject: Callable[..., str]) -> None:
        true = getattr(stream, step)

        def act(*arguments: Any, **others: Any) -> Any:
            events.append(f"{step} {subject(*arguments)}")
            if events[-1] == "read_one c":
                seen.set()
            value = true(*arguments, **others)
            events.append(f"{step} {subject(*arguments)} ended")
            return value

        monkeypatch.setattr(stream, step, act)

    noted("read_one", lambda scan, _options: scan.name)
    noted("write_one", lambda segmentation, *_others: segmentation.volume.name)
    fail_at(monkeypatch, "segment_one", "b", lambda: seen.wait(20) and None)
    run(bundle, tmp_path / "out", scans)
    assert seen.is_set(), "c was not read while the network had b"
    assert events.index("write_one a ended") < events.index("read_one c")
    assert events.index("write_one b ended") < events.index("read_one d")


@pytest.mark.parametrize("has_room", [True, False])
def test_the_next_scan_is_read_ahead_only_where_the_limit_of_memory_holds_both(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    model, asked, events, seen = hemoseg.inference.load_model(), [], [], threading.Event()

    def room(volume: Volume, more: int) -> bool:
        asked.append((volume.name, more))
        return has_room

    def read(scan: Any, options: Options) -> Any:
        events.append(f"read {scan.name}")
        if scan.name == "b":
            seen.set()
        return work.read_one(scan, options)

    def write(segmentation: Segmentation, *others: Any) -> Any:
        report = work.write_one(segmentation, *others)
        events.append(f"written {segmentation.volume.name}")
        return report

    (scans / "d.nii.gz").write_bytes(b"no scan")
    monkeypatch.setattr(model, "has_room_beside", room, raising=False)
    monkeypatch.setattr("hemoseg.inference.load_model", lambda *_, **__: model)
    monkeypatch.setattr(stream, "read_one", read)
    monkeypatch.setattr(stream, "write_one", write)
    if has_room:
        fail_at(monkeypatch, "segment_one", "a", lambda: seen.wait(20) and None)
    result = run(bundle, tmp_path / "out", scans, max_memory_gb=9.0)
    assert sorted(result.reports) == ["a", "b", "c"]
    assert asked == [("a", 6 * 12 * 40 * 36), ("b", 6 * 12 * 40 * 36)], "of 16 bits as stored, and of 32"
    assert (events.index("read b") < events.index("written a")) == has_room
    assert has_room or events.index("read c") > events.index("written b")


def test_what_cannot_be_remembered_ends_the_batch(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hemoseg.pipeline.batch import record

    true = record._line

    def full(value: Any) -> bytes:
        if getattr(value, "status", "") == "done":
            raise OSError(28, "No space left on device")
        return true(value)

    monkeypatch.setattr(record, "_line", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        run(bundle, tmp_path / "out", scans)


def test_what_ends_a_batch_is_told_and_not_that_the_summary_fails_too(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for the manifest is full for the summary."""
    from hemoseg.pipeline.batch import record

    true = record._write

    def full(handle: Any, data: bytes) -> None:
        if b'"done"' in data and b'"b"' in data:
            handle.write(data[:20])
            raise OSError(28, "No space left on device")
        true(handle, data)

    out = tmp_path / "out"
    (out / "summary.csv").mkdir(parents=True)
    monkeypatch.setattr(record, "_write", full)
    with pytest.raises(ResourceError, match=r"manifest\.jsonl: .*No space left on device; what became of b is not"):
        run(bundle, out, scans)
    assert (out / "manifest.jsonl").read_bytes().endswith(b"}\n"), "a line cut short would spoil one that follows"


def test_a_summary_that_cannot_be_written_hides_no_failure(bundle: Path, scans: Path, tmp_path: Path) -> None:
    (scans / "b.nii.gz").write_bytes(b"no scan")
    (tmp_path / "out" / "summary.csv").mkdir(parents=True)
    result = run(bundle, tmp_path / "out", scans)
    assert list(result.failures) == ["b"]
    assert result.unwritten is not None
    assert result.unwritten.where == tmp_path / "out" / "summary.csv"
    done = command("segment", scans, "--out", tmp_path / "out", "--model", bundle, "--layout", "flat", code=3)
    assert "1 failed" in done.stderr
    assert "error: " in done.stderr.partition("1 failed")[2]


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_folder_of_results_that_goes_away_ends_the_batch(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_moved: bool
) -> None:
    """What is written to a file without a name would be forgotten."""
    out = tmp_path / "out"

    def go_away() -> None:
        out.rename(tmp_path / "away")  # at once, whatever is being written there
        if not is_moved:
            shutil.rmtree(tmp_path / "away", ignore_errors=True)

    fail_at(monkeypatch, "segment_one", "c", go_away, times=1)
    with pytest.raises(ResourceError, match=r"manifest\.jsonl: was removed or moved away"):
        run(bundle, out, scans)
    assert not (out / "summary.csv").exists()


def test_the_time_of_a_scan_is_that_of_its_steps_together() -> None:
    deadline = work.Deadline(name="a", limit_s=10.0, spent_s=9.0)
    deadline.begin()
    deadline.check()
    deadline.spent_s = 10.0
    with pytest.raises(ResourceError, match="a: not done after 10 s"):
        deadline.check()


@pytest.mark.parametrize(
    ("read_s", "network_s", "advice"), [(1.0, 9.5, "mirrorings"), (9.5, 1.0, "whether its file can be read at all")]
)
def test_what_to_try_is_for_what_took_the_time(read_s: float, network_s: float, advice: str) -> None:
    deadline = work.Deadline(name="a", limit_s=10.0, spent_s=read_s, began=time.monotonic() - network_s)
    with pytest.raises(ResourceError, match="a: not done after 10 s") as caught:
        deadline.check()
    assert advice in caught.value.remedy
    assert "a longer --time-limit" in caught.value.remedy


def test_an_interrupted_batch_says_what_waits(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segmented: list[str]
) -> None:
    stop = InterruptedRunError(15, where="here", kept="what is done")
    fail_at(monkeypatch, "segment_one", "c", stop, times=1)
    with pytest.raises(InterruptedRunError):
        run(bundle, tmp_path / "out", scans)
    assert [row["status"] for row in rows(tmp_path / "out" / "summary.csv")] == ["done"] * 4 + ["waiting"] * 2
    run(bundle, tmp_path / "out", scans)
    assert segmented == ["a", "b", "c", "d"]


def test_a_summary_has_the_intervals_that_reports_have(tmp_path: Path) -> None:
    interval = {"level": 0.9, "hemorrhage_ml": [10.0, 15.5], "volume_ml": {"edh": [1.0, 2.0], "edema": None}}
    report = {
        "volume_ml": {"edh": 1.5, "edema": 3.0},
        "hemorrhage_ml": 12.0,
        "warnings": ["a", "b"],
        "interval": interval,
    }
    event = Event(name="x", source="", status="done", seconds=1.25, report=report)
    write_summary(tmp_path / "s.csv", [("x", event), ("y", None)])
    assert (tmp_path / "s.csv").read_text().splitlines() == [
        "scan,class,ml,low_ml,high_ml,interval_level,warnings,status,seconds,error",
        "x,hemorrhage,12.0,10.0,15.5,0.9,a; b,done,1.250,",
        "x,edh,1.5,1.0,2.0,0.9,a; b,done,1.250,",
        "x,edema,3.0,,,0.9,a; b,done,1.250,",
        "y,,,,,,,waiting,,",
    ]


def test_a_folder_without_any_result_takes_another_model(
    bundle: Path, other_bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a model that could not be loaded."""
    with monkeypatch.context() as patch:
        fail_at(patch, "segment_one", "a", InterruptedRunError(15, where="here", kept="nothing"))
        with pytest.raises(InterruptedRunError):
            run(bundle, tmp_path / "out", scans)
    assert sorted(run(other_bundle, tmp_path / "out", scans).reports) == ["a", "b", "c", "d"]


def test_a_worker_computes_with_its_share_of_the_threads(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    true = hemoseg.inference.load_model

    def load(*arguments: Any, threads: int | None = None, **others: Any) -> Any:
        asked.append(threads)
        return true(*arguments, **others)

    monkeypatch.setattr("hemoseg.inference.load_model", load)
    work._model_for.cache_clear()
    (scan,) = find_scans([str(scans / "a.nii.gz")]).scans
    found = work.segment_file(
        work.Work(
            scan=scan,
            model=str(bundle),
            options=Options(layout="flat"),
            out=tmp_path,
            limit_s=60.0,
            max_memory_gb=None,
            threads=3,
        )
    )
    work._model_for.cache_clear()
    assert asked == [3]
    assert found["hemorrhage_ml"] > 0
