"""How long does an nnU-Net model take for one scan, here and with nnU-Net, from process start to mask on disk?

Run: python benchmarks/predict.py --data DATA --out runs/bench-predict [--scans 1] [--rounds 1] [--crop two-tile]

The model is INSTANCE-like: nnU-Net's 3d_fullres plan for thick head CT, patch 20 x 320 x 256, 43.5 million weights,
drawn by nnU-Net's own trainer and not trained, so the results folder is a real one and labels mean nothing. One fold,
mirroring off. Scans are phe-sich's, enlarged to 30 x 512 x 512; the plan has their spacing. `--crop two-tile` cuts the
middle of a scan, of two tiles, and takes two folds and all mirrorings: what costs nnU-Net its hours.

The peer is `nnUNetv2_predict -device cpu` (`make peers`), without processes of its own, which would only start later.
Ours is `hemoseg segment`, which also writes report.json and report.html, with the imported model: by default; with
bf16 written in its plan; and with `--exact`. Either is one process per scan with one thread per CPU. The sides take
turns; one round is the default, for the peer takes many minutes. CPU seconds are told too: on a busy machine they
say more than seconds on the wall.

The floor is the multiply-adds of the tiles that hold brain, mirrorings and folds counted, at the machine's rate of
matrix products in each row's precision, measured before each of our rows; for the peer and `--exact`, of all tiles.

Masks of an untrained network are noise with edges everywhere. `--exact` agrees if at most 5 voxels in 10,000
differ from the peer's, those where float32 sums in another order decide. Of the default, which runs other tiles, the
share of equal voxels where the brain can be is told; with weights that were trained nowhere, it judges nothing.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from floor import network_gflop
from measure import Cost, finish, is_disturbed, make_parser, measure_command, measure_gemm_gflops, median_cost
from rich.console import Console
from rich.table import Table
from untrained import INSTANCE, PEERS, environment, make_models, peer_command
from workload import write_workload

from hemoseg.brain import find_brain
from hemoseg.errors import ArtifactError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.inference.field import part_field, region_on, whole_field
from hemoseg.inference.sliding import mirror_sets
from hemoseg.io import read_labels, read_scan, scan_name, write_scan
from hemoseg.models import Bundle
from hemoseg.plan import Precision
from hemoseg.preprocess import prepare

OURS = Path(sys.executable).with_name("hemoseg")
TWO_TILES = (20, 320, 384)
"""Voxels of the crop."""
MOST_DIFFER = 5e-4
"""Largest share of voxels in which `--exact` may differ from the peer."""
Rates = dict[Precision, float]
"""Products of matrices in each precision, in GFLOP/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to segment."""

    name: str
    """What the table calls it."""
    precision: Precision
    """Arithmetic of its floor."""
    whole: bool
    """Whether it looks at the whole field."""
    command: list[str]
    """Command line."""
    mask: Path
    """What it writes."""


def make_rows(scan: Path, out: Path, folds: list[int], *, mirror: bool) -> list[Row]:
    """All ways to segment one scan, the peer's last but for the exact one, which takes as long."""
    rows = []
    for name, bundle, options in (("default", "fp32", []), ("bf16", "bf16", []), ("exact", "fp32", ["--exact"])):
        command = [str(OURS), "segment", str(scan), "--out", str(out / name), "--model", str(out / bundle), *options]
        precision: Precision = "bf16" if name == "bf16" else "fp32"
        mask = out / name / scan_name(scan) / "mask.nii.gz"
        rows.append(Row(name=name, precision=precision, whole=name == "exact", command=command, mask=mask))
    command, mask = peer_command(scan, out, folds, mirror=mirror)
    return [*rows[:2], Row(name="peer", precision="fp32", whole=True, command=command, mask=mask), rows[2]]


def two_tiles(scan: Path, folder: Path) -> Path:
    """The middle of a scan, so large that two tiles cover it."""
    volume = read_scan(scan)
    first = [(size - length) // 2 for size, length in zip(volume.hu.shape, TWO_TILES, strict=True)]
    part = tuple(slice(start, start + length) for start, length in zip(first, TWO_TILES, strict=True))
    affine = volume.grid.affine_lps
    affine[:3, 3] = volume.grid.world([float(start) for start in first])
    grid = Grid.from_affine(TWO_TILES, affine)
    hu = np.ascontiguousarray(volume.hu[part])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{scan_name(scan)}-crop.nii.gz"
    write_scan(path, Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name=path.name))
    return path


def tile_counts(scan: Path, bundle: Bundle) -> tuple[int, int]:
    """Tiles of the whole field, and those that we run because they hold brain."""
    volume, (item,) = read_scan(scan), bundle.stages
    prepared = prepare(volume, bundle.plan.preparation, item.spacing_mm)
    whole = whole_field(prepared.shape, item.patch_size)
    return len(whole.corners), len(part_field(region_on(prepared, find_brain(volume)), item.patch_size).corners)


def run_rows(rows: list[Row], out: Path, rounds: int, threads: int) -> tuple[dict[str, Cost], Rates]:
    """Median cost of each row, and the best rates of matrix products."""
    costs: dict[str, list[Cost]] = {row.name: [] for row in rows}
    rates: dict[Precision, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(rounds):
        for row in rows:
            rates[row.precision].append(measure_gemm_gflops(row.precision, threads))
            costs[row.name].append(measure_command(row.command, environment(out, threads), out / f"{row.name}.log"))
            print(row.name, costs[row.name][-1], file=sys.stderr, flush=True)
    return {name: median_cost(found) for name, found in costs.items()}, {key: max(all_) for key, all_ in rates.items()}


def agreement(rows: list[Row], scan: Path) -> dict[str, float]:
    """Share of voxels in which each of ours equals the peer: of all, and for other tiles, where the brain can be."""
    masks = {row.name: read_labels(row.mask)[0] for row in rows}
    volume = read_scan(scan)
    region = find_brain(volume).at([np.arange(size) for size in volume.hu.shape])
    return {row.name: float((masks[row.name] == masks["peer"])[... if row.whole else region].mean()) for row in rows}


def scan_lines(rows: list[Row], scan: Path, costs: dict[str, Cost], floors_s: dict[str, float]) -> list[dict[str, Any]]:
    """What was found of each row of a scan."""
    equal, peer = agreement(rows, scan), costs["peer"]
    return [
        {
            "scan": scan_name(scan),
            "row": row.name,
            "ratio": peer.wall_s / costs[row.name].wall_s,
            "cpu_ratio": peer.cpu_s / costs[row.name].cpu_s,
            "memory_ratio": peer.peak_mb / costs[row.name].peak_mb,
            "floor_s": floors_s[row.name],
            "over_floor": costs[row.name].wall_s / floors_s[row.name],
            "equal": equal[row.name],
            **asdict(costs[row.name]),
        }
        for row in rows
    ]


def scan_table(lines: list[dict[str, Any]]) -> Table:
    """The same for the reader."""
    keys = {"wall_s": 1, "cpu_s": 1, "peak_mb": 0, "ratio": 2, "cpu_ratio": 2, "memory_ratio": 2}
    keys |= {"floor_s": 1, "over_floor": 2, "others_cpu_s": 0, "equal": 5}
    table = Table("row", *keys)
    for line in lines:
        table.add_row(line["row"], *(f"{line[key]:.{digits}f}" for key, digits in keys.items()))
    return table


def summary(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The median over scans of each row."""
    keys = ("wall_s", "cpu_s", "peak_mb", "ratio", "cpu_ratio", "memory_ratio", "over_floor")
    return [
        {"row": name} | {key: round(median(line[key] for line in lines if line["row"] == name), 3) for key in keys}
        for name in dict.fromkeys(line["row"] for line in lines)
    ]


def compare(options: argparse.Namespace) -> bool:
    """Run all, print all, and say whether the exact masks agree."""
    if not (PEERS / "nnUNetv2_predict").is_file():
        raise ArtifactError("no such program", where=PEERS, expected="nnU-Net beside us", remedy="`make peers`")
    out, crop, threads = options.out.resolve(), options.crop is not None, os.cpu_count() or 1
    console, folds = Console(highlight=False, soft_wrap=True), [0, 1] if crop else [0]
    scans = write_workload(options.data, out / "scans", scans=options.scans)
    scans = [two_tiles(scan, out / "crops") for scan in scans] if crop else scans
    bundle = make_models(INSTANCE, read_scan(scans[0]).grid.rounded_spacing_mm, out, folds, mirror=crop)
    (item,) = bundle.stages
    gflop = network_gflop(item, channels=1, classes=bundle.plan.outputs)
    passes = len(folds) * len(mirror_sets(item.mirror_axes if crop else ()))
    lines: list[dict[str, Any]] = []
    for scan in scans:
        rows = make_rows(scan, out, folds, mirror=crop)
        if not lines:
            for row in rows:
                console.print(f"{row.name}: {' '.join(row.command)}", markup=False)
        whole, part = tile_counts(scan, bundle)
        costs, rates = run_rows(rows, out, options.rounds, threads)
        console.print(f"{scan_name(scan)}: {whole} tiles, {part} with brain, {passes} passes of {gflop:.0f} GFLOP each")
        console.print(f"GEMM {', '.join(f'{rate:.0f} GFLOP/s in {key}' for key, rate in rates.items())}")
        work = {row.name: (whole if row.whole else part) * passes * gflop / rates[row.precision] for row in rows}
        found = scan_lines(rows, scan, costs, work)
        console.print(scan_table(found))
        if any(is_disturbed(cost, threads) for cost in costs.values()):
            console.print("DISTURBED: other programs took more than a tenth of the CPUs")
        lines += found
    agree = all(1 - line["equal"] <= MOST_DIFFER for line in lines if line["row"] == "exact")
    medians = summary(lines)
    result = {"name": "predict", "crop": options.crop, "rounds": options.rounds, "n": len(scans), "agree": agree}
    result |= {"ratio": medians[0]["ratio"], "memory_ratio": medians[0]["memory_ratio"]}
    result |= {"floor_ratio": medians[0]["over_floor"], "rows": medians}
    (out / "predict.json").write_text(json.dumps(result | {"scans": lines}, indent=2))
    print(json.dumps(result))
    return agree


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--scans", type=int, default=1, help="how many scans")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of all rows for each scan")
    parser.add_argument("--crop", choices=["two-tile"], help="a part of each scan, with two folds and all mirrorings")
    arguments = parser.parse_args()
    finish(lambda: compare(arguments))
