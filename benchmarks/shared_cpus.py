"""What does a training step cost on CPUs that others use too, by how long threads spin before they sleep?

Run: python benchmarks/shared_cpus.py [--rounds 3] [--steps 10]

The network of the default plan of phe-sich (patches of 16 x 96 x 96, 16 base features, float32) on random patches, one
thread per CPU, each measurement in a process of its own. torch's threads wait for each other after every operation:
they spin for milliseconds, as libgomp does unless told otherwise, for as long as `hemoseg` asks for, or not at all.
The machine has nothing else to do, or one endless loop per CPU. Printed are medians over the rounds.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from memory import THICK, configuration, plan
from rich.console import Console
from rich.table import Table

from hemoseg.cli import SPINS
from hemoseg.scale.executor import default_workers
from hemoseg.training.timing import measure_step_seconds

POLICIES = {"libgomp's": {}, "hemoseg's": {"GOMP_SPINCOUNT": SPINS}, "none": {"OMP_WAIT_POLICY": "PASSIVE"}}


def step_here(steps: int) -> None:
    """Print the median seconds of a step in this process."""
    made = plan(configuration(THICK, (16, 96, 96), 16, "fp32"), channels=3, classes=3)
    print(measure_step_seconds(made, made.configurations[0], device="cpu", layout="contiguous", steps=steps))


def measure(policy: str, steps: int) -> float:
    """Seconds of a step in a process whose threads spin so long."""
    own = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, __file__, "--step", "--steps", str(steps)]
    done = subprocess.run(command, env={**own, **POLICIES[policy]}, check=True, capture_output=True, text=True)
    return float(done.stdout)


@contextmanager
def others(count: int) -> Iterator[None]:
    """As many processes that do nothing but work, while the block runs."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    """Measure in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--step", action="store_true", help="measure in this process alone")
    options = parser.parse_args()
    if options.step:
        step_here(options.steps)
        return
    cpus = default_workers()
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for count in (0, cpus):
            for policy in POLICIES:
                with others(count):
                    seconds.setdefault((policy, count), []).append(measure(policy, options.steps))
    table = Table("spinning", "other processes", "seconds of a step", "least", "most")
    for (policy, count), found in seconds.items():
        table.add_row(policy, str(count), *(f"{value:.2f}" for value in (median(found), min(found), max(found))))
    Console().print(table)


if __name__ == "__main__":
    main()
