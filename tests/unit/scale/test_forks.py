"""Jobs in copies of this process: results, failures, time limits, copies that are killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hemoseg.errors import HemosegError, InputError, ResourceError
from hemoseg.scale import Executor, Forks, Job, can_fork

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are copied on Linux alone")


def jobs(*arguments: object) -> list[Job[object]]:
    return [Job(name=f"case{number}", argument=argument) for number, argument in enumerate(arguments)]


def run(function, *arguments: object, workers: int = 2, limit_s: float = 60.0, log: Path | None = None) -> list[str]:
    found: list[str] = []
    executor = Forks(workers=workers, limit_s=limit_s, log=log)
    assert isinstance(executor, Executor)
    executor.run(function, jobs(*arguments), done=lambda name, _: found.append(name))
    return found


def children() -> set[int]:
    """Processes that this one has started and not waited for; other tests may have left some."""
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


def test_every_job_is_done_once_in_another_process(tmp_path: Path) -> None:
    def note(number: int) -> None:
        with (tmp_path / str(number)).open("a") as file:
            file.write(f"{os.getpid()}\n")

    assert sorted(run(note, *range(50), workers=3)) == sorted(f"case{number}" for number in range(50))
    processes = [(tmp_path / str(number)).read_text().split() for number in range(50)]
    assert {len(one) for one in processes} == {1}
    assert str(os.getpid()) not in {one[0] for one in processes}
    assert run(note) == []


def test_jobs_run_at_the_same_time(tmp_path: Path) -> None:
    def meet(number: int) -> None:
        (tmp_path / str(number)).touch()
        until = time.monotonic() + 10
        while not (tmp_path / str(1 - number)).exists():
            assert time.monotonic() < until
            time.sleep(0.001)

    assert sorted(run(meet, 0, 1)) == ["case0", "case1"]


def test_our_errors_keep_their_class_and_end_the_run(tmp_path: Path) -> None:
    def fail(number: int) -> None:
        (tmp_path / str(number)).touch()
        if number == 1:
            raise InputError("a bad file", where="case1", expected="a good one", remedy="mend it")
        time.sleep(0.002)

    with pytest.raises(InputError, match="a bad file"):
        run(fail, *range(2000), workers=1)
    assert len(list(tmp_path.iterdir())) < 2000


def test_failures_are_told_where_somebody_wants_to_know() -> None:
    found: list[str] = []
    errors: dict[str, HemosegError] = {}
    Forks(workers=2, limit_s=60.0).run(
        lambda x: 1 // x, jobs(1, 0, 1), done=lambda name, _: found.append(name), failed=errors.__setitem__
    )
    assert sorted(found) == ["case0", "case2"]
    assert "ZeroDivisionError" in str(errors["case1"])


def test_other_errors_name_the_job_and_leave_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="case0: failed with ZeroDivisionError") as caught:
        run(lambda x: 1 // x, 0, log=tmp_path / "log")
    assert "ZeroDivisionError" in caught.value.__notes__[0]
    assert "case0" in (tmp_path / "log").read_text()
    with pytest.raises(ResourceError, match="SystemExit"):
        run(sys.exit, 3)


def test_a_job_whose_process_is_killed_is_begun_again(tmp_path: Path) -> None:
    def die_once(number: int) -> None:
        if number == 3 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (tmp_path / str(number)).touch()

    assert sorted(run(die_once, *range(6))) == [f"case{number}" for number in range(6)]
    assert all((tmp_path / str(number)).exists() for number in range(6))


def test_a_job_that_kills_its_process_again_is_named() -> None:
    def die(number: int) -> None:
        if number == 1:
            os._exit(9)

    with pytest.raises(ResourceError, match="case1: its process was killed 2 times"):
        run(die, *range(3))


def test_a_job_that_is_stuck_is_named_and_ended() -> None:
    began = time.monotonic()
    with pytest.raises(ResourceError, match=r"case1: not done after 0\.3 s"):
        run(lambda wait: time.sleep(30) if wait else None, False, True, limit_s=0.3)
    assert time.monotonic() - began < 10


def test_a_job_whose_process_died_is_not_called_stuck_while_others_work(tmp_path: Path) -> None:
    def die_once(number: int) -> None:
        if number == 0 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.1)

    assert len(run(die_once, *range(10), limit_s=0.5)) == 10


@pytest.mark.parametrize("allowed", [0, 1])
def test_where_processes_are_refused_fewer_do_the_work_or_it_is_told(
    allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = os.fork
    started: list[int] = []

    def refuse() -> int:
        if len(started) == allowed:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", refuse)
    if allowed:
        assert sorted(run(lambda _: None, 0, 1, 2, workers=3)) == ["case0", "case1", "case2"]
    else:
        with pytest.raises(ResourceError, match="no process could be started"):
            run(lambda _: None, 0, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_copies_end_with_their_parent(number: int, tmp_path: Path) -> None:
    script = f"""
import os, time
from pathlib import Path
from hemoseg.scale import Forks, Job
def slow(n):
    Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(0.2)
Forks(workers=2, limit_s=60.0).run(slow, [Job(name=str(n), argument=n) for n in range(500)], done=lambda *_: None)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        until = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        parent.send_signal(number)
        parent.wait(10)
    copies = [int(path.name) for path in tmp_path.iterdir()]
    assert len(copies) == 2
    until = time.monotonic() + 10
    while any(Path(f"/proc/{copy}").exists() for copy in copies) and time.monotonic() < until:
        time.sleep(0.02)
    assert not [copy for copy in copies if Path(f"/proc/{copy}").exists()]


def test_with_another_thread_at_work_nothing_is_copied() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    assert not can_fork(3)
    release.set()
    thread.join()
