"""A dask scheduler and its workers as processes of this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_LIMIT_S = 60


@dataclass
class LocalCluster:
    """A scheduler that is running, and its workers."""

    folder: Path
    workers: list[subprocess.Popen[bytes]]
    address: str = ""

    def start_worker(self) -> subprocess.Popen[bytes]:
        """One more worker with one thread, which nobody starts again."""
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder))
        self.workers.append(_start("dask_worker", self.folder, self.address, *options))
        return self.workers[-1]


@contextmanager
def local_cluster(folder: Path, *, workers: int, deaths: int = 4) -> Iterator[LocalCluster]:
    """A scheduler with so many workers, which gives a job up after so many deaths, as long as the block lasts."""
    file = folder / "scheduler.json"
    options = ("--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file))
    scheduler = _start("dask_scheduler", folder, *options, deaths=deaths)
    cluster = LocalCluster(folder=folder, workers=[])
    try:
        until = time.monotonic() + START_LIMIT_S
        while not file.is_file() or not file.read_text():
            is_alive = scheduler.poll() is None and time.monotonic() < until
            assert is_alive, (folder / "dask_scheduler.log").read_text()
            time.sleep(0.05)
        cluster.address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        for process in (scheduler, *cluster.workers):
            process.kill()
            process.wait()


def _start(program: str, folder: Path, *options: str, deaths: int = 4) -> subprocess.Popen[bytes]:
    """A program of dask's, with what tests import."""
    paths = [path for path in sys.path if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = str(deaths - 1)
    with (folder / f"{program}.log").open("ab") as log:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
