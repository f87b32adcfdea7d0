"""How long does one scan take from process start to files written, against nnU-Net with the same weights?

Run: python benchmarks/segment.py --data DATA --out runs/bench-segment

Ours is `hemoseg segment`, which reads, segments and writes mask, report.json and report.html. The peer is nnU-Net's
own `nnUNetv2_predict` (`make peers`) with our weights; it writes the mask alone. Either is one process per scan with
one thread per CPU. The peer's input is written beforehand and not timed: the windows of the scan as channels, in
canonical axes, not compressed. So the peer neither inflates nor windows.

What differs by design, and what each costs or saves is part of the answer: the peer does not crop to the head, so it
computes more tiles and places them elsewhere; resamples the image by cubic splines, where we average or interpolate
linearly; computes in fp32, since it has no bf16 on a CPU; and sums logits in fp16. Therefore outputs agree
if Dice of all foreground is at least 0.90 where the peer's mask exceeds 1 ml, and volumes within 1 ml otherwise: a
shift of the border by half a voxel costs a bleed of 20 ml about 0.05, bf16 and tile places some more,
while a wrong axis, window or weight gives far less.

The floor is the network's multiply-adds, for the passes that we run, at the machine's own GEMM rate in the plan's
precision, plus reading and inflating the scan.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from floor import network_gflop, scan_passes
from isal import igzip
from measure import Cost, finish, is_disturbed, make_parser, measure_command, measure_gemm_gflops, median_cost
from nnunet_world import ENDING, predict_command, write_channels, write_world
from rich.console import Console
from rich.table import Table
from workload import write_workload

from hemoseg.errors import ArtifactError, GeometryError
from hemoseg.evaluation.overlap import dice
from hemoseg.geometry import Grid
from hemoseg.io import read_labels, read_scan, scan_name
from hemoseg.models import Bundle, find_bundle, open_bundle
from hemoseg.preprocess import prepare
from hemoseg.types import Mask

PEER = Path(__file__).parent.parent / ".venv-peers" / "bin" / "nnUNetv2_predict"
OURS = Path(sys.executable).with_name("hemoseg")
ROUNDS = 3
LEAST_DICE = 0.90
SMALL_ML = 1.0
FRAME_WITHIN_MM = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One scan, and how either side is started on it."""

    scan: Path
    """The scan, as we read it."""
    commands: dict[str, list[str]]
    """{side: command line}."""
    masks: dict[str, Path]
    """{side: the mask it writes}."""


def make_jobs(scans: list[Path], bundle: Bundle, out: Path) -> list[Job]:
    """Write the peer's world and input, and say what is to be run."""
    write_world(bundle, out / "peer" / "results")
    jobs = []
    for scan in scans:
        name = scan_name(scan)
        source, target = out / "peer" / "input" / name, out / "peer" / "masks" / name
        write_channels(read_scan(scan), bundle, source)
        ours = [str(OURS), "segment", str(scan), "--out", str(out / "ours"), "--model", str(bundle.folder), "--json"]
        jobs.append(
            Job(
                scan=scan,
                commands={"ours": ours, "peer": predict_command(PEER, bundle, source, target)},
                masks={"ours": out / "ours" / name / "mask.nii.gz", "peer": target / f"{name}{ENDING}"},
            )
        )
    return jobs


def run_rounds(jobs: list[Job], out: Path, threads: int) -> tuple[list[dict[str, Cost]], dict[str, float]]:
    """Median cost of each job and side, and the median split of our seconds.

    The sides take turns, and the one that begins changes from round to round. One round more goes before,
    on the first scan, so that programs and files lie in the cache.
    """
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "nnUNet_def_n_proc": str(threads),
        **{f"nnUNet_{kind}": str(out / "peer" / kind) for kind in ("raw", "preprocessed", "results")},
    }
    for side, command in jobs[0].commands.items():
        measure_command(command, environment, out / f"{side}.log")
    costs: list[dict[str, list[Cost]]] = [{"ours": [], "peer": []} for _ in jobs]
    splits: list[dict[str, float]] = []
    for number in range(ROUNDS):
        for job, found in zip(jobs, costs, strict=True):
            for side in ("ours", "peer") if number % 2 == 0 else ("peer", "ours"):
                found[side].append(measure_command(job.commands[side], environment, out / f"{side}.log"))
            splits.append(json.loads(job.masks["ours"].with_name("report.json").read_text())["seconds"])
    medians = [{side: median_cost(values) for side, values in found.items()} for found in costs]
    return medians, {stage: median(split[stage] for split in splits) for stage in splits[0]}


def do_agree(ours: Mask, peer: Mask, *, voxel_ml: float) -> bool:
    """Whether two foreground masks (z, y, x) agree within the tolerance that the top of this file argues."""
    if peer.sum() * voxel_ml > SMALL_ML:
        return dice(peer, ours, both_empty="one") >= LEAST_DICE
    return abs(int(ours.sum()) - int(peer.sum())) * voxel_ml <= SMALL_ML


def read_foreground(path: Path, grid: Grid) -> Mask:
    """All classes of a mask together.

    Raises:
        GeometryError: it does not lie on the scan's grid.
    """
    labels, found = read_labels(path)
    if found.shape != grid.shape or found.corner_distance_mm(grid) > FRAME_WITHIN_MM:
        raise GeometryError(
            f"a mask of {found.shape} voxels (z, y, x) at {found.origin_lps_mm} mm",
            where=path,
            expected=f"the scan's grid, {grid.shape} at {grid.origin_lps_mm} mm",
            remedy="look at the log beside the results",
        )
    return labels > 0


def compare_masks(job: Job, console: Console) -> bool:
    """Print how far the two masks of a scan agree, and say whether they do."""
    grid = read_scan(job.scan).grid
    ours, peer = (read_foreground(job.masks[side], grid) for side in ("ours", "peer"))
    agree = do_agree(ours, peer, voxel_ml=grid.voxel_ml)
    console.print(
        f"{scan_name(job.scan)}: foreground ours {ours.sum() * grid.voxel_ml:.2f} ml, "
        f"peer {peer.sum() * grid.voxel_ml:.2f} ml, Dice {dice(peer, ours, both_empty='one'):.4f}, "
        f"{'agree' if agree else 'DO NOT AGREE'}"
    )
    return agree


def floor_seconds(jobs: list[Job], bundle: Bundle, threads: int, console: Console) -> list[float]:
    """The floor of each scan in seconds; printed with what it is made of."""
    plan = bundle.plan
    configuration = plan.configuration(bundle.selection.configurations[0])
    gflop = network_gflop(configuration, channels=plan.input_channels(configuration), classes=len(plan.labels))
    rate = measure_gemm_gflops(configuration.precision, threads)
    console.print(f"GEMM {rate:.0f} GFLOP/s in {configuration.precision}; one pass of a patch {gflop:.2f} GFLOP")
    floors = []
    for job in jobs:
        z, y, x = prepare(read_scan(job.scan), plan.preparation, configuration.spacing_mm).shape
        passes = scan_passes(bundle, (z, y, x))
        began = time.monotonic()
        igzip.decompress(job.scan.read_bytes())  # type: ignore[no-untyped-call]
        inflating = time.monotonic() - began
        floors.append(passes * gflop / rate + inflating)
        console.print(
            f"{scan_name(job.scan)}: {z} x {y} x {x} voxels, {passes} passes, {passes * gflop:.0f} GFLOP; "
            f"floor {passes * gflop / rate:.2f} s network + {inflating:.3f} s reading = {floors[-1]:.2f} s"
        )
    return floors


def cost_table(jobs: list[Job], costs: list[dict[str, Cost]]) -> Table:
    """Medians of each scan and side."""
    table = Table("scan", "side", "wall s", "CPU s", "peak MB", "others' CPU s", title=f"medians of {ROUNDS} rounds")
    for job, sides in zip(jobs, costs, strict=True):
        for side, cost in sides.items():
            numbers = (f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}", f"{cost.peak_mb:.0f}", f"{cost.others_cpu_s:.1f}")
            table.add_row(scan_name(job.scan), side, *numbers)
    return table


def compare(data: Path, out: Path, model: str | None, scans: int) -> bool:
    """Run all, print all, and say whether the outputs agree."""
    if not PEER.is_file():
        raise ArtifactError("no such program", where=PEER, expected="nnU-Net beside us", remedy="`make peers`")
    console, threads = Console(highlight=False, soft_wrap=True), os.cpu_count() or 1
    bundle = open_bundle(find_bundle(model))
    jobs = make_jobs(write_workload(data, out / "scans", scans=scans), bundle, out)
    for side, command in jobs[0].commands.items():
        console.print(f"{side}: {' '.join(command)}", markup=False)
    console.print(f"{threads} threads and one process on either side; the peer in fp32")
    costs, split = run_rounds(jobs, out, threads)
    console.print(cost_table(jobs, costs))
    if any(is_disturbed(cost, threads) for sides in costs for cost in sides.values()):
        console.print("warning: other programs were at work; the ratios are not to be relied on")
    console.print("ours, s: " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in split.items()))
    floors = floor_seconds(jobs, bundle, threads, console)
    agree = [compare_masks(job, console) for job in jobs]
    result = {
        "name": "segment",
        "ratio": round(median(cost["peer"].wall_s / cost["ours"].wall_s for cost in costs), 3),
        "memory_ratio": round(median(cost["peer"].peak_mb / cost["ours"].peak_mb for cost in costs), 3),
        "floor_ratio": round(median(c["ours"].wall_s / floor for c, floor in zip(costs, floors, strict=True)), 3),
        "n": len(jobs),
        "agree": all(agree),
    }
    print(json.dumps(result))
    return all(agree)


def main() -> None:
    """Parse, compare, tell."""
    parser = make_parser(__doc__)
    parser.add_argument("--model", help="name or folder of a model bundle; the embedded default if absent")
    parser.add_argument("--scans", type=int, default=3, help="scans to segment (default: 3)")
    options = parser.parse_args()
    finish(lambda: compare(options.data, options.out, options.model, options.scans))


if __name__ == "__main__":
    main()
