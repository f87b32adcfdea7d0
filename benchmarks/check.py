"""How long does it take to check a data set, against reading and inflating its files?

Run: python benchmarks/check.py --data DATA --out runs/bench-check

The data set has 100 scans of 30 x 512 x 512 voxels with their label maps: those of the standard workload, each under
several names with noise of its own, so that no two are equal. Ours is `hemoseg check`, from process start to the last
line of its table. The floor is a program that reads and inflates the same files in as many processes and does nothing
else. Ours has to stay below twice the floor's time and below 500 MB.

The outputs agree if what was found is what is there: every scan is clipped as its source is, and each group of names
of one scan is told to be nearly equal. Nothing else may be an error or a warning.
"""

import gzip
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from measure import Cost, finish, is_disturbed, make_parser, measure_command, median_cost
from rich.console import Console
from rich.table import Table
from workload import GZIP_LEVEL, write_dataset

from hemoseg.artifacts import write_json
from hemoseg.io.nifti import read_stored
from hemoseg.scale import default_workers

OURS = Path(sys.executable).with_name("hemoseg")
FLOOR = Path(__file__).with_name("inflate.py")
SCANS, SOURCES = 100, 10
ROUNDS = 3
MOST_TIMES, MOST_MB = 2.0, 500.0
EXPECTED = {"clipped", "near-duplicate"}
"""Errors and warnings that the data set deserves."""


def write_many(data: Path, out: Path, *, scans: int = SCANS, sources: int = SOURCES) -> Path:
    """Write the data set, unless it is there with that many scans.

    Args:
        data: folder that holds phe-sich.
        out: folder for the data set's folder.
        scans: how many cases.
        sources: scans of the standard workload they are made from.
    """
    root = out / "Dataset002_Many"
    if len(list(root.glob("imagesTr/*.nii.gz"))) == scans:
        return root
    source = write_dataset(data, out / "source", cases=sources)
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    names = sorted(path.name.removesuffix(".nii.gz") for path in (source / "labelsTr").glob("*.nii.gz"))
    for number in range(scans):
        name = names[number % len(names)]
        case = f"{name}_{number:03d}"
        image = source / "imagesTr" / f"{name}_0000.nii.gz"
        (root / "imagesTr" / f"{case}_0000.nii.gz").write_bytes(_noisy(image, seed=number))
        os.link(source / "labelsTr" / f"{name}.nii.gz", root / "labelsTr" / f"{case}.nii.gz")
    description = json.loads((source / "dataset.json").read_text())
    write_json(root / "dataset.json", {**description, "numTraining": scans})
    return root


def _noisy(path: Path, *, seed: int) -> bytes:
    """A file whose voxels are one HU higher or lower, or as they were, by chance."""
    stored = read_stored(path)
    low, high = stored.array.min(), stored.array.max()
    noise = np.random.default_rng(seed).integers(-1, 2, stored.array.shape, dtype=np.int8)
    array = np.clip(stored.array + noise, low, high).astype(stored.array.dtype)
    content = gzip.decompress(path.read_bytes())
    return gzip.compress(content[: stored.header.offset] + array.tobytes(), GZIP_LEVEL, mtime=0)


def run_rounds(sides: dict[str, list[str]], out: Path) -> dict[str, Cost]:
    """Median cost of each side, which take turns, after one round that warms the cache; memory in rounds of its own."""
    timed: dict[str, list[Cost]] = {side: [] for side in sides}
    peaks: dict[str, float] = {}
    for number in range(ROUNDS + 2):
        for side in list(sides) if number % 2 else list(reversed(sides)):
            memory = number > ROUNDS
            cost = measure_command(sides[side], {"OMP_NUM_THREADS": "1"}, out / f"{side}.log", memory=memory)
            if memory:
                peaks[side] = cost.peak_mb
            elif number:
                timed[side].append(cost)
    medians = {side: median_cost(costs) for side, costs in timed.items()}
    return {
        side: Cost(wall_s=c.wall_s, cpu_s=c.cpu_s, peak_mb=peaks[side], others_cpu_s=c.others_cpu_s)
        for side, c in medians.items()
    }


def differences(log: Path, scans: int, sources: int) -> list[str]:
    """What of the findings is not as it has to be, in words.

    Args:
        log: what `hemoseg check --json` printed, after lines of progress.
        scans: cases of the data set.
        sources: scans that they were made from.
    """
    text = log.read_text()
    result = json.loads(text[text.index("{") :])
    rows = {row["code"]: row for row in result["rows"] if row["severity"] != "note"}
    found = [f"unexpected: {code}" for code in sorted(set(rows) - EXPECTED)]
    found += [f"not found: {code}" for code in sorted(EXPECTED - set(rows))]
    if not found:
        pairs = sources * (scans // sources) * (scans // sources - 1) // 2
        for code, expected in (("clipped", scans), ("near-duplicate", pairs)):
            if len(rows[code]["instances"]) != expected:
                found.append(f"{code}: {len(rows[code]['instances'])} times, expected {expected}")
    return found


def compare(data: Path, out: Path) -> bool:
    """Run all, print all, and say whether findings, time and memory are as they have to be."""
    console, processes = Console(highlight=False, soft_wrap=True), default_workers()
    dataset = write_many(data, out)
    files = sorted(str(path) for path in dataset.glob("*Tr/*.nii.gz"))
    sides = {
        "ours": [str(OURS), "check", str(dataset), "--json"],
        "floor": [sys.executable, str(FLOOR), str(processes), *files],
    }
    for side, command in sides.items():
        console.print(f"{side}: {' '.join(command[:6])}", markup=False)
    costs = run_rounds(sides, out)
    table = Table("side", "wall s", "CPU s", "peak MB", "others' CPU s", title=f"medians of {ROUNDS} rounds")
    for side, cost in costs.items():
        table.add_row(side, *(f"{v:.2f}" for v in (cost.wall_s, cost.cpu_s, cost.peak_mb, cost.others_cpu_s)))
    console.print(table)
    if any(is_disturbed(cost, os.cpu_count() or 1) for cost in costs.values()):
        console.print("warning: other programs were at work; the ratios are not to be relied on")
    found = differences(out / "ours.log", SCANS, SOURCES)
    ratio = costs["ours"].wall_s / costs["floor"].wall_s
    if ratio > MOST_TIMES or costs["ours"].peak_mb > MOST_MB:
        found.append(f"{ratio:.2f} times the floor's time, {costs['ours'].peak_mb:.0f} MB")
    for text in found:
        console.print(f"DOES NOT AGREE: {text}", markup=False)
    result = {
        "name": "check",
        "ratio": round(1 / ratio, 3),
        "memory_ratio": round(costs["floor"].peak_mb / costs["ours"].peak_mb, 3),
        "floor_ratio": round(ratio, 3),
        "n": SCANS,
        "agree": not found,
    }
    print(json.dumps(result))
    return not found


def main() -> None:
    """Parse, compare, tell."""
    options = make_parser(__doc__).parse_args()
    finish(lambda: compare(options.data.resolve(), options.out.resolve()))


if __name__ == "__main__":
    main()
