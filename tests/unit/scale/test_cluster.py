"""Jobs on a real scheduler with two workers, one of which is killed."""

import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import scale_jobs

from dask_cluster import local_cluster
from hemoseg.errors import InputError, ResourceError
from hemoseg.scale import Executor, Job, cluster, make_executor

pytestmark = [
    pytest.mark.skipif(find_spec("distributed") is None, reason="dask is not installed: pip install 'hemoseg[dask]'"),
    pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux"),
]


def jobs(*arguments: object) -> list[Job[object]]:
    return [Job(name=f"case_{number}", argument=argument) for number, argument in enumerate(arguments)]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with local_cluster(tmp_path_factory.mktemp("dask"), workers=2) as running:
        yield running


@pytest.fixture
def executor(local):
    return make_executor(9, limit_s=60.0, cluster=local.address)


def run(executor, function, *arguments):
    done, failed = {}, {}
    executor.run(function, jobs(*arguments), done=done.__setitem__, failed=failed.__setitem__)
    return done, failed


def test_every_job_is_done_once_in_another_process(executor):
    assert isinstance(executor, Executor)
    assert run(executor, scale_jobs.double, *range(20)) == ({f"case_{n}": 2 * n for n in range(20)}, {})
    assert run(executor, scale_jobs.double) == ({}, {})


def test_failures_keep_their_class_and_stop_no_other(executor, tmp_path):
    odd = InputError("no voxels", where=Path("a.nii"), expected="voxels", remedy="add some")
    done, failed = run(executor, scale_jobs.raise_it, odd, "fine", ValueError("odd"))
    assert list(done) == ["case_1"]
    assert type(failed["case_0"]) is InputError
    assert str(failed["case_0"]) == str(odd)
    assert failed["case_2"].found.startswith("failed with ValueError: odd")
    _, failed = run(executor, scale_jobs.leave, 5)
    assert "SystemExit: 5" in failed["case_0"].found
    _, failed = run(executor, scale_jobs.double, lambda: None)
    assert "failed with" in failed["case_0"].found
    with pytest.raises(InputError, match="no voxels"):
        executor.run(scale_jobs.raise_it, jobs(odd), done=lambda *_: None)


def test_a_job_beyond_its_time_is_named(local):
    began = time.monotonic()
    executor = make_executor(1, limit_s=1.0, cluster=local.address)
    done, failed = run(executor, scale_jobs.sleep_s, 6.0, 0.0)
    assert list(done) == ["case_1"]
    assert failed["case_0"].found == "not done after 1 s"
    assert time.monotonic() - began < 6


def test_a_worker_that_is_killed_costs_nothing(executor, local, tmp_path):
    """Killed while both have a job: the other does it all."""
    victim = local.workers[0]
    timer = threading.Timer(1.0, victim.kill)
    timer.start()
    try:
        done, failed = run(executor, scale_jobs.sleep_s, 2.0, 2.0, 0.0, 0.0)
    finally:
        timer.join()
    assert victim.wait(30) != 0
    assert failed == {}
    assert sorted(done) == ["case_0", "case_1", "case_2", "case_3"]


def test_a_job_that_kills_its_workers_is_named_and_without_workers_nothing_hangs(tmp_path, monkeypatch):
    with local_cluster(tmp_path, workers=2, deaths=1) as own:
        executor = make_executor(1, limit_s=60.0, cluster=own.address)
        done, failed = run(executor, scale_jobs.kill_always, None, tmp_path / "deaths", None)
        assert sorted(done) == ["case_0", "case_2"]
        assert "no worker finished it: KilledWorker" in failed["case_1"].found
        assert failed["case_1"].where == "case_1"
        assert (tmp_path / "deaths").read_text() == "x"
        for worker in own.workers:
            worker.kill()
            worker.wait()
        monkeypatch.setattr(cluster, "NOBODY_S", 1.0)
        with pytest.raises(ResourceError, match="no worker for 1 s; not done: case_0"):
            run(executor, scale_jobs.double, 1)


def test_no_scheduler_is_told(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with pytest.raises(ResourceError, match="no scheduler answers"):
        run(make_executor(1, cluster="tcp://127.0.0.1:9"), scale_jobs.double, 1)
    with pytest.raises(ResourceError, match="no scheduler answers"):
        run(make_executor(1, cluster="nonsense://x"), scale_jobs.double, 1)


def test_dask_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ResourceError, match="pip install 'hemoseg"):
        run(make_executor(1, cluster="tcp://127.0.0.1:9"), scale_jobs.double, 1)
