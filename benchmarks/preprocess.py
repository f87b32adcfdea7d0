"""How long does it take to prepare a data set, against nnU-Net's preprocessing?

Run: python benchmarks/preprocess.py --data DATA --out runs/bench-preprocess

The data set is the standard workload: ten scans of 30 x 512 x 512 voxels with their label maps; the configuration is
3d_fullres of the planner `nnunet`, whose plans.json the peer is given. Ours is `hemoseg preprocess`, the peer
`nnUNetv2_preprocess` (`make peers`), each from process start to files on the disk, with one worker process per CPU.
The peer compresses its arrays and does not wait for the disk; ours are plain and synced.

The outputs agree if 99.99 % of the voxels are within 1e-4 standard deviations, and all labels are equal.

The floor is reading, inflating, converting and writing the same arrays, synced, with the same number of processes, in
a program that does nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from measure import Cost, finish, is_disturbed, make_parser, measure_command, median_cost
from rich.console import Console
from rich.table import Table
from workload import write_dataset

from hemoseg.errors import ArtifactError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.scale import default_workers

PEERS = Path(__file__).parent.parent / ".venv-peers" / "bin"
OURS = Path(sys.executable).with_name("hemoseg")
BESIDE = Path(__file__).parent
CONFIGURATION = "3d_fullres"
ROUNDS = 5
CLOSE_SD = 1e-4
"""Values agree within this many standard deviations of their image."""
CLOSE_SHARE = 0.9999
"""Share of voxels that must."""


def make_run(dataset: Path, run: Path) -> None:
    """Our fingerprint and plan, which are not timed."""
    shutil.rmtree(run, ignore_errors=True)
    plan = [str(OURS), "plan", "--run", str(run), "--planner", "nnunet", "--config", CONFIGURATION]
    plan += ["--iterations", "1000"]
    for command in ([str(OURS), "fingerprint", str(dataset), "--run", str(run)], plan):
        subprocess.run(command, check=True, capture_output=True)


def give_plans(run: Path, dataset: Path, preprocessed: Path) -> None:
    """Put our plans.json, with what belongs to it, where the peer looks for it."""
    target = preprocessed / dataset.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(run / "nnunet" / "plans.json", target / "nnUNetPlans.json")
    for name in ("dataset_fingerprint.json", "dataset.json"):
        source = run / "nnunet" / name
        shutil.copy(source if source.is_file() else dataset / name, target / name)


def run_rounds(sides: dict[str, list[str]], results: dict[str, Path], environment: dict[str, str]) -> dict[str, Cost]:
    """Median cost of each side. They take turns, after one round that warms the cache and does not count."""
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for number in range(ROUNDS + 1):
        for side in sides if number % 2 else list(reversed(sides)):
            shutil.rmtree(results[side], ignore_errors=True)
            os.sync()  # what one side left to the system is not to be written in the time of another
            cost = measure_command(sides[side], environment, results[side].parent / f"{side}.log")
            if number:
                costs[side].append(cost)
    return {side: median_cost(found) for side, found in costs.items()}


def agreement(ours: Path, peer: Path) -> tuple[float, int]:
    """(smallest share of voxels of a case that agree, label voxels that differ in all)."""
    share, differ = 1.0, 0
    for folder in sorted(path for path in ours.iterdir() if path.is_dir()):
        image, labels = (np.load(folder / f"{name}.npy") for name in ("image", "label"))
        theirs, their_labels = (np.load(peer / f"{folder.name}{ending}.npy") for ending in ("", "_seg"))
        if image.shape != theirs.shape:
            return 0.0, labels.size
        share = min(share, float(np.mean(np.abs(image - theirs) <= CLOSE_SD * theirs.std())))
        differ += int(np.count_nonzero(labels != their_labels[0]))
    return share, differ


def cost_table(costs: dict[str, Cost]) -> Table:
    """Medians of each side."""
    table = Table("side", "wall s", "CPU s", "peak MB", "others' CPU s", title=f"medians of {ROUNDS} rounds")
    for side, cost in costs.items():
        numbers = (f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}", f"{cost.peak_mb:.0f}", f"{cost.others_cpu_s:.1f}")
        table.add_row(side, *numbers)
    return table


def compare(data: Path, out: Path) -> bool:
    """Run all, print all, and say whether the outputs agree."""
    if not PEERS.is_dir():
        raise ArtifactError("no such folder", where=PEERS, expected="nnU-Net beside us", remedy="`make peers`")
    console, processes = Console(highlight=False, soft_wrap=True), default_workers()
    dataset = write_dataset(data, out / "raw")
    run, preprocessed = out / "run", out / "preprocessed"
    make_run(dataset, run)
    give_plans(run, dataset, preprocessed)
    plan = RunFolder(run).plan()
    peer = preprocessed / dataset.name / f"nnUNetPlans_{CONFIGURATION}"
    files = [
        str(dataset / folder / f"{path.name.removesuffix('.nii.gz')}{ending}")
        for path in sorted((dataset / "labelsTr").glob("*.nii.gz"))
        for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz"))
    ]
    sides = {
        "ours": [str(OURS), "preprocess", "--run", str(run)],
        "peer": [str(PEERS / "nnUNetv2_preprocess"), "-d", "1", "-c", CONFIGURATION, "-np", str(processes)],
        "floor": [sys.executable, str(BESIDE / "inflate_write.py"), str(processes), str(out / "floor"), *files],
    }
    results = {"ours": RunFolder(run).store(plan.configuration(CONFIGURATION)), "peer": peer, "floor": out / "floor"}
    environment = {
        "OMP_NUM_THREADS": "1",
        "nnUNet_raw": str(dataset.parent),
        "nnUNet_preprocessed": str(preprocessed),
        "nnUNet_results": str(out / "results"),
    }
    for side, command in sides.items():
        console.print(f"{side}: {' '.join(command[:6])}", markup=False)
    console.print(f"{processes} worker processes of one thread on either side")
    costs = run_rounds(sides, results, environment)
    console.print(cost_table(costs))
    if any(is_disturbed(cost, os.cpu_count() or 1) for cost in costs.values()):
        console.print("warning: other programs were at work; the ratios are not to be relied on")
    dump = [PEERS / "python", BESIDE / "nnunet_arrays_peer.py", peer, out / "peer-arrays"]
    subprocess.run(dump, check=True, capture_output=True)
    share, differ = agreement(results["ours"], out / "peer-arrays")
    console.print(f"least share of voxels within {CLOSE_SD:g} sd: {share:.6f}; label voxels that differ: {differ}")
    agree = share >= CLOSE_SHARE and differ == 0
    result = {
        "name": "preprocess",
        "ratio": round(costs["peer"].wall_s / costs["ours"].wall_s, 3),
        "memory_ratio": round(costs["peer"].peak_mb / costs["ours"].peak_mb, 3),
        "floor_ratio": round(costs["ours"].wall_s / costs["floor"].wall_s, 3),
        "n": len(files) // 2,
        "agree": agree,
    }
    print(json.dumps(result))
    return agree


def main() -> None:
    """Parse, compare, tell."""
    options = make_parser(__doc__).parse_args()
    finish(lambda: compare(options.data.resolve(), options.out.resolve()))


if __name__ == "__main__":
    main()
