"""What does a batch that was killed leave, and what does the same command do then?

Run: python benchmarks/resumed_batch.py --out runs/resumed-batch

Four simulated heads, the third file cut in half. `hemoseg segment` is killed with SIGKILL as soon as a second result is
told of, and given again. Printed are what it says both times, and `summary.csv`; the script fails if anything was done
twice or is missing.
"""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from hemoseg.io import write_scan
from hemoseg.phantom import PhantomSpec, make_phantom

HEADS = (
    PhantomSpec(site="deep", volume_ml=12.0, side="right", seed=201),
    PhantomSpec(site="deep", volume_ml=30.0, edema_ml=10.0, side="left", seed=202),
    PhantomSpec(site="lobar", volume_ml=15.0, side="left", seed=203),
    PhantomSpec(site="lobar", volume_ml=20.0, side="right", seed=204),
)
CUT = 2
"""Which file is cut in half, from 0."""
KILLED_AFTER = 2
"""Results after which the first call is killed."""
RESULT = " -> results/"
"""Stands in the line of a result."""
FAILED = 3
"""Exit code where a scan failed."""


def make_scans(folder: Path) -> None:
    """The scans, head1.nii.gz and on."""
    for number, spec in enumerate(HEADS, start=1):
        write_scan(folder / f"head{number}.nii.gz", make_phantom(spec).volume)
    file = folder / f"head{CUT + 1}.nii.gz"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def segment(folder: Path, *, killed_after: int | None) -> tuple[list[str], int]:
    """What `hemoseg segment` says of scans, and its exit code; killed after so many results."""
    command = [sys.executable, "-m", "hemoseg", "segment", "scans", "--out", "results"]
    wide = {**os.environ, "COLUMNS": "112"}
    lines, results = [], 0
    with subprocess.Popen(
        command, cwd=folder, env=wide, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            results += RESULT in line
            if results == killed_after:
                process.kill()
                break
    return lines, process.returncode


def main() -> None:
    """Kill, go on, print and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a new folder for scans and results")
    folder = parser.parse_args().out
    make_scans(folder / "scans")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    done: list[str] = []
    for killed_after in (KILLED_AFTER, None):
        lines, code = segment(folder, killed_after=killed_after)
        console.print("$ hemoseg segment scans/ --out results", *lines, f"exit code {code}", "", sep="\n")
        done += [line.split(":")[0] for line in lines if RESULT in line]
    summary = (folder / "results" / "summary.csv").read_text(encoding="utf-8")
    console.print(summary, end="")
    names = [f"head{number}" for number in range(1, len(HEADS) + 1)]
    whole = [name for name in names if name != names[CUT]]
    failed = {row["scan"] for row in csv.DictReader(summary.splitlines()) if row["status"] == "failed"}
    if sorted(done) != whole or failed != {names[CUT]} or code != FAILED:
        raise SystemExit(f"done: {done}; failed: {failed}; exit code {code}")


if __name__ == "__main__":
    main()
