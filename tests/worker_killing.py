"""Kills the worker processes of a command while it runs."""

import subprocess
import time
from contextlib import suppress

import psutil
import pytest


def workers_of(process):
    """Worker processes of a command, started by its executor."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any("spawn_main" in part for part in child.cmdline()):
                    yield child


def kill_workers(process: subprocess.Popen[str], *, kills: int, limit_s: float) -> int:
    """Wait for a command's end, kill its first `kills` workers meanwhile, and return how many were killed."""
    killed, until = set(), time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < until:
        for worker in workers_of(process):
            if len(killed) < kills and worker.pid not in killed:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
                    killed.add(worker.pid)
        time.sleep(0.005)
    if process.poll() is None:
        process.kill()
        pytest.fail(f"still running after {limit_s} s")
    return len(killed)
