"""Training: learns, logs, stops, and resumes to the same bits."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hemoseg.data import Sampler, StoredCase
from hemoseg.errors import ArtifactError, InterruptedRunError, ResourceError
from hemoseg.training import loop, train
from plans import head_volume, tiny_configuration, tiny_plan

ITERATIONS = 12


def cases():
    volume = head_volume()
    hu = np.clip(volume.hu, -20, 100)
    return [StoredCase(name="a", image=hu[None], labels=(volume.hu == 65).astype(np.uint8), previous=None)]


def go(folder, *, watch=lambda progress: None, stop=lambda: None, sha="p", iterations=ITERATIONS, given=cases):
    plan = tiny_plan(tiny_configuration(iterations=iterations))
    sampler = Sampler(given(), plan, plan.configurations[0], fold=0)
    train(folder, plan, plan.configurations[0], sampler, plan_sha256=sha, device="cpu", watch=watch, stop=stop)
    return load_file(folder / "last.safetensors")


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, what is on disk stays."""


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns(tmp_path, monkeypatch):
    monkeypatch.setattr("hemoseg.training.loop.SAVE_EVERY_S", 1e9)  # a saved state would end a line of the log early
    go(tmp_path, iterations=60)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(10, 61, 10))
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.3
    assert set(rows[0]["dice"]) == {"hemorrhage", "edema"}


def test_a_finished_training_is_left_alone(tmp_path):
    first = go(tmp_path)
    before = (tmp_path / "last.safetensors").stat().st_mtime_ns
    assert same(first, go(tmp_path))
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("at", [1, 5, 10, 11, 12])
def test_stopped_and_resumed_ends_with_the_same_bits(tmp_path, at):
    whole = go(tmp_path / "whole")
    done = []
    with pytest.raises(InterruptedRunError) as caught:
        go(
            tmp_path / "cut",
            watch=lambda progress: done.append(progress.iteration),
            stop=lambda: 15 if done[-1] == at else None,
        )
    assert caught.value.exit_code == 143
    seen = []
    resumed = go(tmp_path / "cut", watch=lambda progress: seen.append(progress.iteration))
    assert seen == list(range(at + 1, ITERATIONS + 1))
    assert same(whole, resumed)


def test_killed_after_a_saved_state_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = go(tmp_path / "whole")
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)

    def kill(progress):
        if progress.iteration == 7:
            raise Killed

    with pytest.raises(Killed):
        go(tmp_path / "cut", watch=kill)
    seen = []
    resumed = go(tmp_path / "cut", watch=lambda progress: seen.append(progress.iteration))
    assert seen[0] == 7  # killed while telling of 7: the state of 6 is the last one saved
    assert same(whole, resumed)
    rows = [json.loads(line)["iteration"] for line in (tmp_path / "cut" / "train.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))


def test_a_state_of_another_plan_is_refused(tmp_path):
    with pytest.raises(InterruptedRunError):
        go(tmp_path, stop=lambda: 2)
    with pytest.raises(ArtifactError, match="another plan"):
        go(tmp_path, sha="q")


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_step", lambda *_: (float("nan"), [0.0, 0.0]))
    with pytest.raises(ResourceError, match="nan at iteration 0"):
        go(tmp_path)


def test_the_schedule_falls_to_zero():
    assert loop.learning_rate(0.01, 100, 100) == 0


def test_a_part_of_a_patch_that_is_ignored_has_no_label_in_training(tmp_path):
    """Neither background nor a class: the weights are those of none of the two."""
    results = []
    for number in (0, 1, 3):
        (case,) = cases()
        case.labels[:, :, 12:20] = number
        results.append(go(tmp_path / str(number), iterations=2, given=lambda case=case: [case]))
    assert not any(same(results[2], other) for other in results[:2])
    assert all(torch.isfinite(weight).all() for weight in results[2].values())


def test_fresh_trainings_leave_the_same_bytes_however_fast_they_are(tmp_path, monkeypatch):
    """The clock runs a thousand times faster in the second: longer numbers in the log."""
    clock, contents = loop.time.monotonic, []
    for number, speed in enumerate((1, 1000)):
        monkeypatch.setattr(loop.time, "monotonic", lambda speed=speed: clock() * speed)
        folder = tmp_path / str(number)
        go(folder, iterations=3)
        contents.append([(folder / f"{name}.safetensors").read_bytes() for name in ("state", "last")])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("tail", ['{"iteration": 7, "loss": 1}\n', '{"iteration": 1', '{"iteration": 1}', "1\n", "\n"])
def test_what_a_kill_left_behind_the_state_is_cut_off_the_log(tmp_path, tail):
    with pytest.raises(InterruptedRunError):
        go(tmp_path, stop=lambda: 2)
    log = tmp_path / "train.jsonl"
    first = log.read_text()
    log.write_text(first + tail)
    with pytest.raises(InterruptedRunError):
        go(tmp_path, stop=lambda: 2)
    lines = log.read_text().splitlines(keepends=True)
    assert lines[0] == first
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2]
