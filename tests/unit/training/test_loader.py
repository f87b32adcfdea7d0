"""Batches made by other processes: the same as here, and a clear error when one dies."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from hemoseg.data import Batch, BatchSource, CaseRecord, Sampler, open_case, write_case
from hemoseg.errors import ArtifactError, InputError, ResourceError
from hemoseg.plan import Channel, Recipe
from hemoseg.training.augment import AugmentedSource
from hemoseg.training.loader import MOST_WORKERS, Loader, default_workers
from plans import tiny_plan, tiny_preparation

SHAPE = (8, 30, 28)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        record = CaseRecord(case=name, source_sha256="s", plan_sha256="p", shape=(1, *SHAPE))
        labels = (rng.random(SHAPE) < 0.01).astype(np.uint8)
        write_case(tmp_path / name, record, rng.normal(size=(1, *SHAPE)).astype(np.float32), labels)
    return tmp_path


def opened(store):
    return [open_case(store / name, plan_sha256="p") for name in ("a", "b", "c")]


def augmented(store):
    preparation = tiny_preparation(windowed="first", channels=(Channel(name="CT", normalization="zscore"),))
    plan = tiny_plan(preparation=preparation, recipe=Recipe(name="nnunet", forced_foreground=0.33))
    return AugmentedSource(opened(store), plan, plan.configurations[0], fold=0, held_out=opened(store)[:1])


def sampled(store):
    plan = tiny_plan()
    return Sampler(opened(store), plan, plan.configurations[0], fold=0)


def same(a: Batch, b: Batch) -> bool:
    return np.array_equal(a.inputs, b.inputs) and np.array_equal(a.labels, b.labels) and a.cases == b.cases


def test_workers_change_no_bit(store):
    """From another place on too, and the process's own generators stay as they were."""
    source = augmented(store)
    expected = [source.batch(i) for i in range(14)]
    before = torch.get_rng_state()
    for workers in (0, 1, 2):
        with Loader(source, workers=workers) as batches:
            assert isinstance(batches, BatchSource)
            for i in (*range(3, 9), *(range(12, 14) if workers < 2 else ())):
                assert same(batches.batch(i), expected[i]), (workers, i)
            assert same(batches.validation_batch(1), source.validation_batch(1))
            assert (batches.ignore, batches.names_of(2)) == (None, expected[2].cases)
    assert torch.equal(torch.get_rng_state(), before)


def kill_worker():
    (child,) = multiprocessing.active_children()
    os.kill(child.pid, signal.SIGKILL)


def test_a_killed_worker_is_named_with_its_cases(store):
    source = augmented(store)

    def go():
        with Loader(source, workers=1) as batches:
            batches.batch(5)
            kill_worker()
            for iteration in range(6, 100):
                batches.batch(iteration)

    with pytest.raises(ResourceError, match="a process that prepares batches died") as caught:
        go()
    iteration = int(str(caught.value.where).split()[1].strip(","))
    assert iteration >= 6
    names = ", ".join(dict.fromkeys(source.names_of(iteration)))
    assert str(caught.value.where) == f"iteration {iteration}, cases {names}"
    assert caught.value.exit_code == 3


def test_a_worker_that_dies_during_a_step_is_named_too(store):
    def go():
        with Loader(augmented(store), workers=1) as batches:
            batches.batch(5)
            kill_worker()
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                time.sleep(0.01)  # torch raises here

    with pytest.raises(ResourceError, match=r"iteration [678], cases"):  # it was at one of those ahead, or waited
        go()
    assert not multiprocessing.active_children()


class Deadly:
    """A source whose batch 7 kills the process that makes it, as the system does where memory is short."""

    ignore = None

    def names_of(self, iteration):
        return (f"case{iteration}",)

    def batch(self, iteration):
        if iteration == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return Batch(
            inputs=np.zeros((1, 1, 2, 2, 2), dtype=np.float32),
            labels=np.zeros((1, 2, 2, 2), dtype=np.uint8),
            cases=self.names_of(iteration),
        )

    def validation_batch(self, number):
        return self.batch(number)


@pytest.mark.parametrize("waits", [False, True])
def test_the_batch_that_killed_its_worker_is_named_and_no_other(waits):
    """Two workers make 4 to 7 ahead; the fourth is deadly while the trainer is at the first or asks for the next."""

    def go():
        with Loader(Deadly(), workers=2) as batches:
            batches.batch(4)
            deadline = time.monotonic() + (20 if waits else 0)
            while time.monotonic() < deadline:
                time.sleep(0.01)  # torch raises here
            for iteration in range(5, 10):
                batches.batch(iteration)

    with pytest.raises(ResourceError, match="a process that prepares batches died") as caught:
        go()
    assert caught.value.where == "iteration 7, cases case7"
    assert not multiprocessing.active_children(), "the other worker, which takes no SIGTERM, would hold the program"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_case_is_named(store, workers):
    source = sampled(store)
    for name in ("a", "b", "c"):
        file = store / name / "image.npy"
        os.truncate(file, file.stat().st_size // 2)
        source.cases.cases[["a", "b", "c"].index(name)].image._opened = None  # as in a process that opens it now
    with pytest.raises(ArtifactError, match=r"[abc]/image.npy: cannot be read"), Loader(source, workers=workers) as b:
        b.batch(0)


@pytest.mark.parametrize(("error", "kind"), [(OSError(5, "read error"), ResourceError), (IndexError("x"), InputError)])
def test_what_else_fails_is_named(store, monkeypatch, error, kind):
    source = sampled(store)

    def fail(iteration):
        raise error

    monkeypatch.setattr(source, "batch", fail)
    with pytest.raises(kind, match=r"iteration 7, cases [abc]"), Loader(source, workers=0) as batches:
        batches.batch(7)


def test_workers_leave_signals_alone_and_end(store):
    source = augmented(store)
    with Loader(source, workers=1) as batches:
        first = batches.batch(0)
        (child,) = multiprocessing.active_children()
        os.kill(child.pid, signal.SIGINT)
        os.kill(child.pid, signal.SIGTERM)
        assert same(batches.batch(1), source.batch(1))
        for i in range(2, 9):
            batches.batch(i)
        assert same(first, source.batch(0))
    assert not psutil.pid_exists(child.pid)


PARENT = """
import numpy as np
import os
import signal
import sys
from test_loader import augmented, Loader
from pathlib import Path
import multiprocessing, time
from dataclasses import replace

class Large:
    # batches that no pipe holds

    def __init__(self, source):
        self.source = source

    def batch(self, iteration):
        return replace(self.source.batch(iteration), inputs=np.zeros((2, 2, 4, 256, 256), np.float32))

if __name__ == "__main__":
    with Loader(Large(augmented(Path(sys.argv[1]))), workers=1) as batches:
        batches.batch(0)
        (child,) = multiprocessing.active_children()
        os.kill(child.pid, signal.SIGTERM)
        os.kill(child.pid, signal.SIGINT)
        for iteration in range(1, 9):
            batches.batch(iteration)
        print(child.pid, flush=True)
        time.sleep(60)
"""


def test_workers_end_with_the_process_that_started_them(store, tmp_path):
    """The first worker of a process leaves signals alone like all others; batches wait when its parent is killed."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, script, store], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as parent:
        (pid,) = map(int, parent.stdout.readline().split())
        parent.kill()
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_how_many_workers():
    assert default_workers(Recipe(), "cpu", iterations=5000) == 0
    assert 1 <= default_workers(Recipe(), "cuda", iterations=5000) <= MOST_WORKERS
    assert 1 <= default_workers(Recipe(name="nnunet"), "cpu", iterations=5000) <= MOST_WORKERS
    assert default_workers(Recipe(name="nnunet"), "cpu", iterations=20) == 0
