"""How long does one iteration of training take, against nnU-Net's trainer, and what does it take of memory?

Run: python benchmarks/train_step.py --data DATA --out runs/bench-train [--memory-gb 2] [--curve 40]

The data set is the standard workload: ten scans of 30 x 512 x 512 voxels with their label maps. The plan is that of
the planner `nnunet`, 3d_fullres, for its default memory, or for the one that is given; the peer gets the same plan as
plans.json. So patch, batch, network, loss, optimizer, sampling and augmentation are the same. Ours is `hemoseg train`
in the plan's precision, bf16 where the machine has it; the peer is nnU-Net's own trainer (`make peers`), which knows
fp32 alone on a CPU, with its own number of loader processes. Both compute with one thread per CPU, augmentation
beside it. Iterations are timed from batch to batch after some that warm up; validation and checkpoints are not.

The floor is the products of the step's convolutions, forward and backward, at the machine's own rate of matrix
products in the precision of either side. OUT/train_step.json has what the last line prints.

`--curve N` also trains N iterations in fp32 with three seeds, and in bf16 with the first of them. In each tenth of the
curve, bf16 may differ from fp32 with the same seed by no more than the three seeds differ among each other. A curve
that is whole is kept in OUT, and the same command goes on with the others; after a change of the code, take another.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from floor import step_gflop
from measure import Cost, finish, is_disturbed, make_parser, measure_command, measure_gemm_gflops
from preprocess import CONFIGURATION, PEERS, give_plans
from rich.console import Console
from rich.table import Table
from train_step_side import made_with
from workload import write_dataset

from hemoseg.artifacts import write_json, write_model
from hemoseg.errors import ArtifactError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.plan import Configuration, Plan, Precision
from hemoseg.scale import default_workers

OURS = str(Path(sys.executable).with_name("hemoseg"))
BESIDE = Path(__file__).parent
ITERATIONS = 1000
"""Length of the schedule; a few of them are run."""
SEEDS = (0, 1, 2)
PARTS = 10
"""Parts of a curve, in each of which the mean counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one side took."""

    cost: Cost
    """Of the whole process."""
    seconds: float
    """Mean of an iteration."""
    waited_s: float
    """Mean of what it waited for its batch."""
    patch: tuple[int, ...]
    """Shape of a batch."""
    precision: str
    """In which it computed; the peer has one alone on a CPU."""


def prepare(dataset: Path, out: Path, memory_gb: float | None) -> Path:
    """Plan and prepared cases of both sides, which are not timed; our run folder."""
    run, preprocessed = out / "run", out / "preprocessed"
    shutil.rmtree(run, ignore_errors=True)
    memory = [] if memory_gb is None else ["--memory-gb", f"{memory_gb:g}"]
    options = ["--planner", "nnunet", "--config", CONFIGURATION, "--folds", "0", "--iterations", str(ITERATIONS)]
    for command in (
        [OURS, "fingerprint", str(dataset), "--run", str(run)],
        [OURS, "plan", "--run", str(run), *options, *memory],
        [OURS, "preprocess", "--run", str(run)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    give_plans(run, dataset, preprocessed)
    command = [str(PEERS / "nnUNetv2_preprocess"), "-d", "1", "-c", CONFIGURATION, "-np", str(default_workers())]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **peer_environment(out)})
    return run


def peer_environment(out: Path) -> dict[str, str]:
    """Where the peer finds its folders."""
    return {
        "nnUNet_raw": str(out / "raw"),
        "nnUNet_preprocessed": str(out / "preprocessed"),
        "nnUNet_results": str(out / "results"),
    }


def run_sides(run: Path, out: Path, options: argparse.Namespace) -> dict[str, list[Timing]]:
    """Timings of each round of each side; they take turns."""
    count = [str(options.warm_up), str(options.steps)]
    commands = {
        "ours": [sys.executable, str(BESIDE / "train_step_side.py"), str(run), *count],
        "peer": [str(PEERS / "python"), str(BESIDE / "train_step_peer.py"), CONFIGURATION, *count],
    }
    found: dict[str, list[Timing]] = {side: [] for side in commands}
    for number in range(options.rounds):
        for side in commands if number % 2 else reversed(commands):
            shutil.rmtree(run / CONFIGURATION, ignore_errors=True)
            result = out / f"{side}.json"
            cost = measure_command([*commands[side], str(result)], peer_environment(out), out / f"{side}.log")
            found[side].append(read_timing(result, cost))
    return found


def read_timing(path: Path, cost: Cost) -> Timing:
    """What a side wrote."""
    found = json.loads(path.read_text())
    return Timing(
        cost=cost,
        seconds=mean(row["seconds"] for row in found["rows"]),
        waited_s=mean(row["waited_s"] for row in found["rows"]),
        patch=tuple(found["patch"]),
        precision=found.get("precision", "fp32"),
    )


def print_table(found: dict[str, list[Timing]], floors: dict[str, float], console: Console) -> None:
    """Medians over the rounds."""
    table = Table("side", "s per iteration", "floor s", "over the floor", "waiting", "peak MB", "others' CPU s")
    for side, rounds in found.items():
        seconds = median(one.seconds for one in rounds)
        table.add_row(
            side,
            f"{seconds:.2f}",
            f"{floors[side]:.2f}",
            f"{seconds / floors[side]:.2f}",
            f"{median(one.waited_s / one.seconds for one in rounds):.1%}",
            f"{median(one.cost.peak_mb for one in rounds):.0f}",
            f"{median(one.cost.others_cpu_s for one in rounds):.1f}",
        )
    console.print(table)


def train_curve(run: Path, out: Path, *, precision: Precision, seed: int, steps: int) -> list[float]:
    """Loss of each iteration of a training in a precision, from a seed, on the same prepared cases."""
    folder, result = RunFolder(out / f"curve-{precision}-{seed}"), out / f"curve-{precision}-{seed}.json"
    plan = changed(RunFolder(run).plan(), precision=precision, seed=seed)
    if result.is_file() and folder.plan_file.is_file() and folder.plan() == plan:
        known = json.loads(result.read_text())
        if len(known["rows"]) == steps and known["made_with"] == made_with():
            return [row["loss"] for row in known["rows"]]
    result.unlink(missing_ok=True)
    shutil.rmtree(folder.path, ignore_errors=True)
    shutil.copytree(run, folder.path, ignore=shutil.ignore_patterns("cases*", CONFIGURATION))
    store = RunFolder(run).store(RunFolder(run).plan().configuration(CONFIGURATION))
    (folder.path / store.name).symlink_to(store)
    write_model(folder.plan_file, plan)
    command = [sys.executable, str(BESIDE / "train_step_side.py"), str(folder.path), "0", str(steps)]
    subprocess.run([*command, str(result)], check=True, capture_output=True)
    return [row["loss"] for row in json.loads(result.read_text())["rows"]]


def changed(plan: Plan, *, precision: Precision, seed: int) -> Plan:
    """The plan in another precision, from another seed."""
    items = tuple(item.model_copy(update={"precision": precision}) for item in plan.configurations)
    return plan.model_copy(update={"configurations": items, "seed": seed})


def parts(losses: list[float]) -> list[float]:
    """Means of the parts of a curve."""
    count = min(PARTS, len(losses))
    bounds = [len(losses) * number // count for number in range(count + 1)]
    return [mean(losses[low:high]) for low, high in pairwise(bounds)]


def is_inside(half: list[float], full: list[list[float]]) -> bool:
    """Whether a bf16 curve is as near to the first fp32 curve as the fp32 curves are to each other, in each part."""
    return all(abs(one - many[0]) <= max(many) - min(many) for one, *many in zip(half, *full, strict=True))


def compare_curves(run: Path, out: Path, steps: int, console: Console) -> dict[str, Any]:
    """Train all curves and print them: means of their parts, and whether bf16 is inside the spread."""
    full = [parts(train_curve(run, out, precision="fp32", seed=seed, steps=steps)) for seed in SEEDS]
    half = parts(train_curve(run, out, precision="bf16", seed=SEEDS[0], steps=steps))
    table = Table("part", *(f"fp32, seed {seed}" for seed in SEEDS), f"bf16, seed {SEEDS[0]}", title="loss")
    for number, row in enumerate(zip(*full, half, strict=True), start=1):
        table.add_row(str(number), *(f"{value:.4f}" for value in row))
    console.print(table)
    inside = is_inside(half, full)
    console.print(f"bf16 is {'inside' if inside else 'outside'} the spread of the fp32 runs")
    return {"steps": steps, "fp32": full, "bf16": half, "inside": inside}


def floor_seconds(plan: Plan, item: Configuration, console: Console) -> dict[str, float]:
    """The least seconds of a step of either side."""
    gflop = step_gflop(item, channels=plan.input_channels(item), classes=plan.outputs)
    precisions: dict[str, Precision] = {"ours": item.precision, "peer": "fp32"}
    floors = {}
    for side, precision in precisions.items():
        rate = measure_gemm_gflops(precision, os.cpu_count() or 1)
        floors[side] = gflop / rate
        console.print(f"{side}: {gflop:.0f} GFLOP a step; matrix products in {precision} {rate:.0f} GFLOP/s")
    return floors


def compare(options: argparse.Namespace) -> bool:
    """Run all, print all, and say whether patches agree and the curve is inside."""
    if not PEERS.is_dir():
        raise ArtifactError("no such folder", where=PEERS, expected="nnU-Net beside us", remedy="`make peers`")
    console, out = Console(highlight=False, soft_wrap=True), options.out.resolve()
    run = prepare(write_dataset(options.data.resolve(), out / "raw"), out, options.memory_gb)
    plan = RunFolder(run).plan()
    item = plan.configuration(CONFIGURATION)
    console.print(f"patch {item.patch_size}, batch {item.batch_size}, features {item.features}, {item.precision}")
    floors = floor_seconds(plan, item, console)
    found = run_sides(run, out, options)
    print_table(found, floors, console)
    if any(is_disturbed(one.cost, os.cpu_count() or 1) for rounds in found.values() for one in rounds):
        console.print("warning: other programs were at work; the ratios are not to be relied on")
    ours, peer = found["ours"], found["peer"]
    agree = ours[0].patch == peer[0].patch
    if ours[0].precision != item.precision:
        console.print(f"warning: ours computed in {ours[0].precision}, the floor is that of {item.precision}")
    curves = compare_curves(run, out, options.curve, console) if options.curve else None
    result: dict[str, Any] = {
        "name": "train_step",
        "patch": list(item.patch_size),
        "batch": item.batch_size,
        "precision": ours[0].precision,
        "seconds": {side: [round(one.seconds, 3) for one in rounds] for side, rounds in found.items()},
        "floor_s": {side: round(seconds, 3) for side, seconds in floors.items()},
        "peak_mb": {side: [round(one.cost.peak_mb) for one in rounds] for side, rounds in found.items()},
        "ratio": round(median(b.seconds / a.seconds for a, b in zip(ours, peer, strict=True)), 3),
        "memory_ratio": round(median(b.cost.peak_mb / a.cost.peak_mb for a, b in zip(ours, peer, strict=True)), 3),
        "floor_ratio": round(median(one.seconds for one in ours) / floors["ours"], 3),
        "waiting": round(median(one.waited_s / one.seconds for one in ours), 4),
        "n": options.steps,
        "curves": curves,
        "agree": agree and (curves is None or curves["inside"]),
    }
    write_json(out / "train_step.json", result)
    print(json.dumps(result))
    return bool(result["agree"])


def main() -> None:
    """Parse, compare, tell."""
    parser = make_parser(__doc__)
    parser.add_argument("--memory-gb", type=float, help="memory to plan for (default: the planner's own)")
    parser.add_argument("--steps", type=int, default=10, help="iterations that are timed (default: 10)")
    parser.add_argument("--warm-up", type=int, default=3, help="iterations before them (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side runs (default: 3)")
    parser.add_argument("--curve", type=int, default=0, help="iterations of the loss curves (default: none)")
    options = parser.parse_args()
    finish(lambda: compare(options))


if __name__ == "__main__":
    main()
