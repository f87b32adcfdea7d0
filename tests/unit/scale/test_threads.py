"""Jobs in threads: results, failures, time limits."""

import sys
import threading
import time
from pathlib import Path

import pytest

from hemoseg.errors import InputError, ResourceError
from hemoseg.scale import Executor, Job, Threads, threads


def jobs(*arguments: object) -> list[Job[object]]:
    return [Job(name=f"case{number}", argument=argument) for number, argument in enumerate(arguments)]


def run(function, *arguments: object, workers: int = 2, limit_s: float = 60.0, log: Path | None = None) -> dict:
    found: dict[str, object] = {}
    executor = Threads(workers=workers, limit_s=limit_s, log=log)
    assert isinstance(executor, Executor)
    executor.run(function, jobs(*arguments), done=found.__setitem__)
    return found


def test_every_job_is_done_once_and_named() -> None:
    assert run(lambda x: x * x, *range(50), workers=4) == {f"case{n}": n * n for n in range(50)}
    assert run(len) == {}


def test_jobs_run_at_the_same_time() -> None:
    meet = threading.Barrier(3, timeout=10)
    assert len(run(lambda _: meet.wait(), 0, 0, 0, workers=3)) == 3


def test_our_errors_keep_their_class_and_end_the_run() -> None:
    begun = []

    def fail(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise InputError("a bad file", where="case1", expected="a good one", remedy="mend it")
        time.sleep(0.002)

    with pytest.raises(InputError, match="a bad file"):
        run(fail, *range(100), workers=1)
    assert begun[:2] == [0, 1]
    assert len(begun) < 100


def test_other_errors_name_the_job_and_leave_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="case0: failed with ZeroDivisionError") as caught:
        run(lambda x: 1 // x, 0, log=tmp_path / "log")
    assert "ZeroDivisionError" in caught.value.__notes__[0]
    assert "case0" in (tmp_path / "log").read_text()
    with pytest.raises(ResourceError, match="SystemExit"):
        run(sys.exit, 3)


def test_a_job_that_is_stuck_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "END_LIMIT_S", 0.1)
    release = threading.Event()
    began = time.monotonic()
    with pytest.raises(ResourceError, match=r"case1: not done after 0\.2 s"):
        run(lambda wait: release.wait(30) if wait else None, False, True, limit_s=0.2)
    release.set()
    assert time.monotonic() - began < 10
