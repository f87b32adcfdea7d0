"""How long does it take to measure a data set, against nnU-Net's fingerprint extraction?

Run: python benchmarks/fingerprint.py --data DATA --out runs/bench-fingerprint

The data set is the standard workload: ten scans of 30 x 512 x 512 voxels with their label maps. Ours is `hemoseg
fingerprint`, the peer `nnUNetv2_extract_fingerprint` (`make peers`), each from process start to files written. Either
works on one case per CPU at a time: the peer in processes beside its own, ours, as the data are little, in threads of
one process. No library may start threads of its own. Ours also hashes the files and measures heads, brain and lesions,
which the peer does not.

The outputs agree if spacings, shapes and relative size are equal to the bit, and each foreground statistic of the
peer lies within the error of its sampling around ours, which are exact. The peer draws N = 1e8 voxels in all, the same
number from each case, so with F our mixture, m2 and m4 its central moments and s = 5 standard errors:
- mean: s · √(m2 / N); standard deviation: s · √((m4 - m2²) / (4 m2 N)), both upper bounds for a stratified sample, plus
  1e-5 of the value, as the peer adds up in float32;
- percentile q: between the percentiles q - e and q + e of F, with e = s · √(q (1 - q) / N);
- minimum and maximum: not beyond ours, and within the outermost 20 / N of F, of which a sample misses e^-20.

The floor is reading and inflating the same files with the same number of processes, in a program that does nothing
else; it starts as either side does.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any

from measure import Cost, finish, is_disturbed, make_parser, measure_command, median_cost
from rich.console import Console
from rich.table import Table
from workload import write_dataset

from hemoseg.datasets import index_dataset, read_record
from hemoseg.errors import ArtifactError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.planning import Fingerprint
from hemoseg.planning.intensity import HIGH, LOW, MEDIAN, Mixture
from hemoseg.scale import default_workers

PEER = Path(__file__).parent.parent / ".venv-peers" / "bin" / "nnUNetv2_extract_fingerprint"
OURS = Path(sys.executable).with_name("hemoseg")
FLOOR = Path(__file__).with_name("inflate.py")
ROUNDS, MEMORY_ROUNDS = 9, 3
"""Rounds that are timed: on virtual machines one differs from the next by a tenth; and rounds that measure memory."""
SAMPLES = 1e8
"""Foreground voxels that nnU-Net draws from a data set."""
ERRORS = 5.0
"""Standard errors within which statistics agree: a chance below one in a million for each."""
ROUNDING = 1e-5
"""Share of a value that the peer's sums in float32 may be off."""
MISSED = 20.0
"""Expected draws of what a sample is sure to hold."""
PERCENTILES = (("percentile_00_5", LOW), ("median", MEDIAN), ("percentile_99_5", HIGH))


def commands(dataset: Path, out: Path, processes: int) -> dict[str, list[str]]:
    """{side: command line}."""
    number = dataset.name.removeprefix("Dataset").split("_")[0].lstrip("0")
    files = sorted(str(path) for path in dataset.glob("*Tr/*.nii.gz"))
    return {
        "ours": [str(OURS), "fingerprint", str(dataset), "--run", str(out / "ours")],
        "peer": [str(PEER), "-d", number, "-np", str(processes), "--clean", "--no_pbar"],
        "floor": [sys.executable, str(FLOOR), str(processes), *files],
    }


def run_rounds(sides: dict[str, list[str]], dataset: Path, out: Path) -> tuple[dict[str, Cost], list[float]]:
    """Median cost of each side, and in each round the peer's time over ours.

    The sides take turns, after one round that warms the cache and does not count.

    Time and memory are measured in rounds of their own, as looking at the memory takes time.
    """
    environment = {
        "OMP_NUM_THREADS": "1",
        "nnUNet_raw": str(dataset.parent),
        "nnUNet_preprocessed": str(out / "peer" / "preprocessed"),
        "nnUNet_results": str(out / "peer" / "results"),
    }
    timed: dict[str, list[Cost]] = {side: [] for side in sides}
    weighed: dict[str, list[Cost]] = {side: [] for side in sides}
    for number in range(ROUNDS + MEMORY_ROUNDS + 1):
        order = list(sides) if number % 2 else list(reversed(sides))
        memory = number > ROUNDS
        for side in order:
            if side == "ours":
                shutil.rmtree(out / "ours", ignore_errors=True)  # else it would find its result there
            cost = measure_command(sides[side], environment, out / f"{side}.log", memory=memory)
            if number:
                (weighed if memory else timed)[side].append(cost)
    peaks = {side: median_cost(found).peak_mb for side, found in weighed.items()}
    ratios = [peer.wall_s / ours.wall_s for peer, ours in zip(timed["peer"], timed["ours"], strict=True)]
    return {side: replace(median_cost(found), peak_mb=peaks[side]) for side, found in timed.items()}, ratios


def differences(
    ours: Fingerprint, mixture: Mixture, peer: dict[str, Any], *, samples: float = SAMPLES
) -> Iterator[str]:
    """What of the peer's `dataset_fingerprint.json` does not agree with ours, in words.

    Args:
        ours: our fingerprint of the same data set.
        mixture: its foreground voxels.
        peer: content of the peer's file.
        samples: voxels that the peer drew.
    """
    exact = {
        "spacings": [list(case.stored_spacing_mm) for case in ours.cases],
        "shapes_after_crop": [list(case.nonzero_shape) for case in ours.cases],
        "median_relative_size_after_cropping": ours.nonzero_share,
    }
    for name, value in exact.items():
        if peer[name] != value:
            yield f"{name}: ours {value}, peer {peer[name]}"
    statistics = peer["foreground_intensity_properties_per_channel"]["0"]
    for name, (low, high) in bounds(mixture, samples=samples).items():
        if not low <= statistics[name] <= high:
            yield f"{name}: peer {statistics[name]}, expected {low} to {high}"


def bounds(mixture: Mixture, *, samples: float = SAMPLES) -> dict[str, tuple[float, float]]:
    """{statistic: the range in which a sample of the peer's size has it}; the top of this file argues it."""
    mean, m2, m4 = mixture.mean, mixture.moment(2), mixture.moment(4)
    spread = sqrt(m2)
    mean_error = ERRORS * sqrt(m2 / samples) + ROUNDING * abs(mean)
    spread_error = ERRORS * sqrt((m4 - m2**2) / (4 * m2 * samples)) + ROUNDING * spread if m2 else 0.0
    rare = MISSED / samples
    low, high = float(mixture.values[0]), float(mixture.values[-1])
    found = {
        "mean": (mean - mean_error, mean + mean_error),
        "std": (spread - spread_error, spread + spread_error),
        "min": (low, mixture.percentile(rare)),
        "max": (mixture.percentile(1 - rare), high),
    }
    for name, q in PERCENTILES:
        error = ERRORS * sqrt(q * (1 - q) / samples)
        found[name] = (mixture.percentile(q - error), mixture.percentile(q + error))
    return found


def cost_table(costs: dict[str, Cost]) -> Table:
    """Medians of each side."""
    table = Table("side", "wall s", "CPU s", "peak MB", "others' CPU s", title=f"medians of {ROUNDS} rounds")
    for side, cost in costs.items():
        numbers = (f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}", f"{cost.peak_mb:.0f}", f"{cost.others_cpu_s:.1f}")
        table.add_row(side, *numbers)
    return table


def statistics_table(ours: Fingerprint, mixture: Mixture, peer: dict[str, Any]) -> Table:
    """Each foreground statistic: ours, the peer's, and where the peer's may lie."""
    table = Table("statistic", "ours", "peer", "within", title="foreground HU")
    exact, statistics = ours.intensity[0], peer["foreground_intensity_properties_per_channel"]["0"]
    for name, (low, high) in bounds(mixture).items():
        table.add_row(name, f"{getattr(exact, name):.5f}", f"{statistics[name]:.5f}", f"{low:.5f} to {high:.5f}")
    return table


def compare(data: Path, out: Path) -> bool:
    """Run all, print all, and say whether the outputs agree."""
    if not PEER.is_file():
        raise ArtifactError("no such program", where=PEER, expected="nnU-Net beside us", remedy="`make peers`")
    console, processes = Console(highlight=False, soft_wrap=True), default_workers()
    dataset = write_dataset(data, out / "raw")
    sides = commands(dataset, out, processes)
    for side, command in sides.items():
        console.print(f"{side}: {' '.join(command[: 8 if side == 'floor' else None])}", markup=False)
    console.print(f"{processes} cases at a time on either side: threads of ours, processes of the peer and the floor")
    costs, ratios = run_rounds(sides, dataset, out)
    console.print(cost_table(costs))
    console.print(f"peer over ours in a round: {min(ratios):.1f} to {max(ratios):.1f}, median {median(ratios):.1f}")
    if any(is_disturbed(cost, os.cpu_count() or 1) for cost in costs.values()):
        console.print("warning: other programs were at work; the ratios are not to be relied on")
    folder = RunFolder(out / "ours")
    ours = folder.fingerprint()
    histograms = [read_record(folder.facts, case.name)[1][0] for case in index_dataset(dataset).cases]
    mixture = Mixture(cases=tuple(histogram for histogram in histograms if histogram.total))
    peer = json.loads((out / "peer" / "preprocessed" / dataset.name / "dataset_fingerprint.json").read_text())
    console.print(statistics_table(ours, mixture, peer))
    found = list(differences(ours, mixture, peer))
    for text in found:
        console.print(f"DOES NOT AGREE: {text}", markup=False)
    result = {
        "name": "fingerprint",
        "ratio": round(costs["peer"].wall_s / costs["ours"].wall_s, 3),
        "memory_ratio": round(costs["peer"].peak_mb / costs["ours"].peak_mb, 3),
        "floor_ratio": round(costs["ours"].wall_s / costs["floor"].wall_s, 3),
        "n": len(ours.cases),
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
