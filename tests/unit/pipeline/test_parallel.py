"""Folds in processes: who fails is named and stops no other, and a signal reaches all."""

import os
import signal
import threading
import time

import fold_jobs
import pytest

from hemoseg.artifacts import write_model
from hemoseg.errors import InputError, InterruptedRunError, ResourceError
from hemoseg.pipeline import learn
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import Manner, train_stage
from hemoseg.pipeline.parallel import FoldWork, steps_done, train_folds
from hemoseg.pipeline.watch import Silent
from hemoseg.planning import DeviceTiming
from hemoseg.settings import Settings
from plans import tiny_configuration, tiny_plan


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.told, self.said = [], []

    def advance(self, done, text=""):
        self.told.append((done, text))

    def say(self, text):
        self.said.append(text)


def train(folder, folds, function, watch):
    works = [FoldWork(run=folder, configuration="3d_fullres", fold=fold, threads=1, choices=None) for fold in folds]
    train_folds(RunFolder(folder), tiny_configuration(), works, function, at_once=2, watch=watch)


def test_each_fold_is_trained_with_its_own_number(tmp_path, monkeypatch):
    """Its number decides its initial weights."""
    item = tiny_configuration()
    plan = tiny_plan(item)
    folder = RunFolder(tmp_path)
    write_model(folder.device_file, DeviceTiming(device="cpu", threads=1, bf16=False))
    begun = []
    monkeypatch.setattr(learn, "_check_cases", lambda *_: None)
    monkeypatch.setattr(learn, "decide", lambda folder, plan, work, **_: work)
    monkeypatch.setattr(
        learn, "_train_one", lambda folder, plan, work, **_: begun.append((work.fold, work.choices.fold))
    )
    train_stage(folder, plan, Settings(folds=(0, 3), iterations=1), Silent())
    assert begun == [(0, 0), (3, 3)]


def test_folds_that_fail_in_any_way_stop_no_other(tmp_path):
    watch = Listener()
    (tmp_path / ".stop").touch()  # of a run that was killed
    with pytest.raises(InputError) as caught:
        train(tmp_path, (2, 1, 3, 0, 4), fold_jobs.train, watch)
    assert {path.name for path in tmp_path.iterdir()} == {"trained-0", "trained-4", "workers.log"}
    assert caught.value.found.startswith("3d_fullres fold 2: no labels; ")
    assert "3d_fullres fold 1: its worker was killed by signal 9" in caught.value.found
    assert "3d_fullres fold 3: failed with ZeroDivisionError" in caught.value.found
    assert "the other folds are trained" in caught.value.expected
    assert {"3d_fullres fold 0: trained", "3d_fullres fold 4: trained", "3d_fullres fold 2: no labels"} <= set(
        watch.said
    )


def test_a_fold_that_dies_twice_is_a_failed_resource(tmp_path):
    with pytest.raises(ResourceError, match="3d_fullres fold 1: its worker was killed"):
        train(tmp_path, (1, 0), fold_jobs.train, Silent())
    assert (tmp_path / "trained-0").exists()


def test_a_fold_that_dies_twice_leaves_the_others_at_work(tmp_path):
    """They are not killed and begun again from their last saved states."""
    with pytest.raises(ResourceError, match="3d_fullres fold 1: its worker was killed") as caught:
        train(tmp_path, (0, 1, 2), fold_jobs.train_beside_a_death, Silent())
    begun = {fold: len((tmp_path / f"begun-{fold}").read_text()) for fold in (0, 1, 2)}
    assert begun == {0: 1, 1: 2, 2: 1}
    assert "fold 0" not in str(caught.value)


def test_a_signal_stops_all_and_what_waits_is_not_begun(tmp_path):
    watch = Listener()

    def interrupt():
        while not all((tmp_path / f"begun-{fold}").exists() for fold in (0, 1)):
            time.sleep(0.01)
        log = tmp_path / "3d_fullres" / "fold_1" / "train.jsonl"
        log.parent.mkdir(parents=True)
        log.write_text('{"iteration": 10}\n{"iteration": 20}\n{"itera')
        time.sleep(1.2)  # more than one look at the logs
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(InterruptedRunError, match="the states of all trainings are saved") as caught:
        train(tmp_path, (0, 1, 2), fold_jobs.wait, watch)
    thread.join()
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert watch.told[-1] == (20, "fold 0: 0, fold 1: 20, fold 2: 0")
    assert not (tmp_path / ".stop").exists()


@pytest.mark.parametrize(
    ("content", "steps"),
    [
        (b"", 0),
        (b'{"iteration": 1', 0),
        (b'{"iteration": 10}\n', 10),
        (b'{"iteration": 10}\n{"iteration": 20}\n{"it', 20),
        (b"x" * 5000 + b'\n{"iteration": 30}\n', 30),
        (b"{}\n", 0),
        (b"[1]\n", 0),
    ],
)
def test_steps_are_those_of_the_last_whole_line(tmp_path, content, steps):
    (tmp_path / "log").write_bytes(content)
    assert steps_done(tmp_path / "log") == steps
    assert steps_done(tmp_path / "none") == 0


@pytest.mark.parametrize(("trained", "parallel", "threads"), [((), 2, 5), ((0, 1), 2, 5), ((), 8, 3), ((0, 2), 8, 3)])
def test_a_fold_has_the_same_threads_however_many_are_left(tmp_path, monkeypatch, trained, parallel, threads):
    """Threads decide the last bits of weights: one fold that is left trains as it would have beside others."""
    folder, plan = RunFolder(tmp_path), tiny_plan(tiny_configuration())
    settings = Settings(folds=(0, 1, 2), iterations=1)
    write_model(folder.device_file, DeviceTiming(device="cpu", threads=10, bf16=False))
    for fold in trained:
        folder.weights("3d_fullres", fold).parent.mkdir(parents=True)
        folder.weights("3d_fullres", fold).touch()
    done = []
    monkeypatch.setattr("hemoseg.pipeline.learn._check_cases", lambda *_: None)
    monkeypatch.setattr("hemoseg.nets.weights.check_plan", lambda *_: None)
    monkeypatch.setattr("hemoseg.nets.use_threads", lambda _: None)
    monkeypatch.setattr("hemoseg.pipeline.learn.train_folds", lambda _f, _c, works, *_, **__: done.extend(works))
    train_stage(folder, plan, settings, Silent(), manner=Manner(parallel_folds=parallel))
    assert [(work.fold, work.threads) for work in done] == [
        (fold, threads) for fold in settings.folds if fold not in trained
    ]
