"""What becomes of the workers when their parent is stopped. They are busy in C code all the while."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).with_name("scale_script.py")


def wait_until(condition, seconds):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def run(tmp_path):
    """A run in a process of its own, with its workers' ids."""
    parent = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path)], stderr=subprocess.PIPE, text=True)
    try:
        assert wait_until(lambda: len(list(tmp_path.iterdir())) == 2, 60)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert all(is_running(pid) for pid in workers)
        yield parent, workers
    finally:
        for path in tmp_path.iterdir():
            if is_running(int(path.name)):
                psutil.Process(int(path.name)).kill()
        parent.kill()
        parent.communicate()


def test_workers_die_with_a_killed_parent(run):
    parent, workers = run
    parent.kill()
    assert wait_until(lambda: not any(is_running(pid) for pid in workers), 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_ends_all(run, number):
    parent, workers = run
    parent.send_signal(number)
    assert parent.wait(10) == 128 + number
    assert not any(is_running(pid) for pid in workers)
    assert parent.stderr.read() == ""


def test_a_script_without_a_guard_runs_once(tmp_path):
    """Its last lines are not run again in each worker."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "from hemoseg.scale import Job, ProcessPool\n"
        "import scale_jobs\n"
        "print('begun')\n"
        "jobs = [Job(name=str(n), argument=n) for n in range(3)]\n"
        "ProcessPool(workers=2).run(scale_jobs.double, jobs, done=lambda name, result: print(name, result))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert sorted(done.stdout.split("\n")) == ["", "0 0", "1 2", "2 4", "begun"], done.stderr
