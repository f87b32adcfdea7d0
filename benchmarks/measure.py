"""What a command costs, and how fast the machine multiplies: shared by the benchmarks."""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NoReturn

import psutil
import torch

from hemoseg.errors import HemosegError, ResourceError
from hemoseg.plan import Precision

SAMPLE_S = 0.05
"""Least seconds between two looks at the memory of a process tree."""
REST = 20
"""Seconds between two looks per second that a look takes: the kernel walks the pages of gigabytes for long."""
QUIET = 0.1
"""Largest share of the CPUs that others may take."""
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Python keeps byte code, as every installation has it; else our sources alone would be compiled at each start, since
those of the peer were compiled when it was installed."""
GEMM_SIZE = 4096
"""Edge of the matrices that are multiplied: too large for the caches, as convolutions of a scan are."""
GEMM_ROUNDS = 5


def make_parser(description: str | None, *, data: str = "folder that holds phe-sich") -> argparse.ArgumentParser:
    """The options that every benchmark on data has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--out", type=Path, required=True, help="folder for data sets, results and logs")
    return parser


def finish(compare: Callable[[], bool]) -> NoReturn:
    """Compare, and end the process: 0 where the outputs agree, 1 where not, an error's own code otherwise."""
    try:
        agree = compare()
    except HemosegError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    raise SystemExit(not agree)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one command took."""

    wall_s: float
    """Seconds from the start of the process to its end."""
    cpu_s: float
    """Seconds of all its threads and children, user and system."""
    peak_mb: float
    """Largest memory of the process tree, in 10^6 bytes."""
    others_cpu_s: float
    """Seconds of CPU that the rest of the machine used meanwhile: the result counts only if they are few."""


def measure_command(command: Sequence[str], environment: Mapping[str, str], log: Path, *, memory: bool = True) -> Cost:
    """Run a command to its end.

    Args:
        command: program and arguments.
        environment: added to this process's own.
        log: file for what the command prints.
        memory: whether to look at the memory, which holds the command up: by a tenth where it takes a second. Else
            `peak_mb` is 0.

    Raises:
        ResourceError: the command failed.
    """
    before, machine_before = _children_cpu_s(), _machine_cpu_s()
    peak = 0
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        began = time.monotonic()
        process = subprocess.Popen(command, env={**os.environ, **COMPILED, **environment}, stdout=file, stderr=file)
        while memory and process.poll() is None:
            looked = time.monotonic()
            peak = max(peak, _tree_bytes(process.pid))
            time.sleep(max(SAMPLE_S, REST * (time.monotonic() - looked)))
        process.wait()
        wall = time.monotonic() - began
    if process.returncode:
        raise ResourceError(
            f"exit code {process.returncode}: {' '.join(log.read_text().splitlines()[-3:])}",
            where=" ".join(command[:2]),
            expected="a command that ends well",
            remedy=f"read {log}",
        )
    used, machine = _children_cpu_s() - before, _machine_cpu_s() - machine_before
    return Cost(wall_s=wall, cpu_s=used, peak_mb=peak / 1e6, others_cpu_s=max(0.0, machine - used))


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The median of each quantity alone."""
    return Cost(
        wall_s=median(cost.wall_s for cost in costs),
        cpu_s=median(cost.cpu_s for cost in costs),
        peak_mb=median(cost.peak_mb for cost in costs),
        others_cpu_s=median(cost.others_cpu_s for cost in costs),
    )


def is_disturbed(cost: Cost, threads: int) -> bool:
    """Whether other programs took more of the machine than the sampling of memory, which is part of "others", does."""
    return cost.others_cpu_s > QUIET * threads * cost.wall_s


def measure_gemm_gflops(precision: Precision, threads: int) -> float:
    """The machine's rate of matrix products in 10^9 floating-point operations a second, the best of some rounds."""
    torch.set_num_threads(threads)
    a = torch.rand(GEMM_SIZE, GEMM_SIZE).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    seconds = []
    for _ in range(GEMM_ROUNDS):
        began = time.monotonic()
        a @ a
        seconds.append(time.monotonic() - began)
    return 2 * GEMM_SIZE**3 / min(seconds) / 1e9


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _machine_cpu_s() -> float:
    """Seconds of CPU that the machine has worked, with what its host took away from it."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _tree_bytes(pid: int) -> int:
    """Memory of a process and all below it; those that ended meanwhile count nothing.

    The proportional set size: a page that several processes share is divided among them. Resident sizes would
    count the pages of a forked child again for each child: with nnU-Net, five times the truth.
    """
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in tree:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total
