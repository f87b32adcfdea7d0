"""How long does an nnU-Net model take for one scan, here and with nnU-Net, from process start to mask on disk?

Run: python benchmarks/predict.py --data DATA --out runs/bench-predict [--scans 1] [--rounds 1] [--crop two-tile]
     [--without-peer] [--again ROW …]

The model is INSTANCE-like: nnU-Net's 3d_fullres plan for thick head CT, patch 20 x 320 x 256, 43.5 million weights,
drawn by nnU-Net's own trainer and not trained, so the results folder is a real one and labels mean nothing, unless
`teach.py` taught them a little before. One fold, mirroring off. Scans are phe-sich's, enlarged to 30 x 512 x 512; the
plan has their spacing. `--crop two-tile` cuts the middle of a scan, of two tiles, and takes two folds and all
mirrorings: what costs nnU-Net its hours.

The peer is `nnUNetv2_predict -device cpu` (`make peers`), without processes of its own, which would only start later.
Ours is `hemoseg segment`, which also writes report.json and report.html, with the imported model: by default, on the
engine that the import's measurement chose; in float32; and with `--exact`. Either is one process per scan with one
thread per CPU. The sides take turns; one round is the default, for the peer takes many minutes. CPU seconds are told
too: on a busy machine they say more than seconds on the wall.

Each measurement is written to OUT/measured as soon as it is made, and one that is there is not made again, so a run
that was stopped goes on; `--again` names rows to measure anew. `--without-peer` takes the peer's from there, or does
without.

The floor is the multiply-adds of the tiles that were run, mirrorings and folds counted, at the machine's rate of
matrix products in each row's precision, measured before each of our rows; for the peer and `--exact`, of all tiles.
Multiply-adds are those of plain convolutions: ours take fewer in float32 where they are wide, so a row may undercut it.
An untrained network finds something everywhere, so by default it is given all tiles that hold brain; one that
`teach.py` taught is given fewer. Asked are 0.70 of the floor's rate by default; with `--exact` 1 / 1.3, or 1.7 times
the peer.

Masks of an untrained network are noise with edges everywhere. `--exact` agrees if at most 5 voxels in 10,000
differ from the peer's, those where float32 sums in another order decide. Of the default, which looks at the brain
alone, the share of equal voxels where the brain can be is told, and the milliliters that either found; with such
weights they judge nothing (`agreement.py` judges).
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

from hemoseg.artifacts import write_json
from hemoseg.brain import find_brain
from hemoseg.errors import ArtifactError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.inference import load_model
from hemoseg.inference.field import whole_field
from hemoseg.inference.sliding import mirror_sets
from hemoseg.io import read_labels, read_scan, scan_name, write_scan
from hemoseg.models import Bundle
from hemoseg.plan import Precision
from hemoseg.preprocess import prepare
from hemoseg.types import LabelMap

OURS = Path(sys.executable).with_name("hemoseg")
TWO_TILES = (20, 320, 384)
"""Voxels of the crop."""
MOST_DIFFER = 5e-4
"""Largest share of voxels in which `--exact` may differ from the peer."""
LEAST_SHARE, LEAST_SHARE_EXACT, LEAST_RATIO_EXACT = 0.70, 1 / 1.3, 1.7
"""What is asked: of the floor's rate by default; of it with `--exact`, or times the peer."""
NAMES = ("default", "fp32", "peer", "exact")
"""The rows, in turn; the exact one takes as long as the peer."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Tiles of a scan."""

    whole: int
    """Of the whole field."""
    run: int
    """That we run by default."""
    precision: Precision
    """Arithmetic of the engine that runs them."""


def make_rows(scan: Path, out: Path, folds: list[int], tiles: Tiles, *, mirror: bool) -> list[Row]:
    """All ways to segment one scan."""
    rows = {}
    for name, bundle, options in (("default", "default", []), ("fp32", "fp32", []), ("exact", "fp32", ["--exact"])):
        command = [
            str(OURS),
            "segment",
            str(scan),
            "--out",
            str(out / "ours" / name),
            "--model",
            str(out / bundle),
            *options,
        ]
        precision: Precision = tiles.precision if name == "default" else "fp32"
        mask = out / "ours" / name / scan_name(scan) / "mask.nii.gz"
        rows[name] = Row(name=name, precision=precision, whole=name == "exact", command=command, mask=mask)
    command, mask = peer_command(scan, out, folds, mirror=mirror)
    rows["peer"] = Row(name="peer", precision="fp32", whole=True, command=command, mask=mask)
    return [rows[name] for name in NAMES]


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


def count_tiles(scan: Path, out: Path) -> Tiles:
    """How many tiles there are, by a run that is not timed: which are worth running turns out on the way.

    It also leaves in the user's cache that the engine is right on this machine, which is looked at once.
    """
    stored = out / "measured" / scan_name(scan) / "tiles.json"
    if stored.is_file():
        return Tiles(**json.loads(stored.read_text()))
    model, volume, told = load_model(out / "default"), read_scan(scan), [(0, 0)]
    (item,) = (stage.configuration for stage in model.stages)
    model.segment(volume, watch=lambda done, whole: told.append((done, whole)))
    whole = whole_field(prepare(volume, model.plan.preparation, item.spacing_mm).shape, item.patch_size)
    precision: Precision = "bf16" if "bf16" in model.identity.engine else "fp32"
    tiles = Tiles(whole=len(whole.corners), run=told[-1][0], precision=precision)
    write_json(stored, asdict(tiles))
    return tiles


def run_rows(rows: list[Row], folder: Path, out: Path, options: argparse.Namespace) -> tuple[dict[str, Cost], Rates]:
    """Median cost of each row, and the best rates of matrix products; what was measured before is taken from there."""
    costs: dict[str, list[Cost]] = {}
    rates: dict[Precision, list[float]] = {}
    threads = os.cpu_count() or 1
    for number in range(options.rounds):
        for row in rows:
            stored = folder / f"{row.name}-{number}.json"
            if not stored.is_file() and row.name == "peer" and options.without_peer:
                continue
            if not stored.is_file():
                rate = measure_gemm_gflops(row.precision, threads)
                cost = measure_command(row.command, environment(out, threads), out / f"{row.name}.log")
                write_json(stored, {"cost": asdict(cost), "gflops": rate, "precision": row.precision})
                print(row.name, cost, file=sys.stderr, flush=True)
            found = json.loads(stored.read_text())
            costs.setdefault(row.name, []).append(Cost(**found["cost"]))
            rates.setdefault(found["precision"], []).append(found["gflops"])
    return {name: median_cost(found) for name, found in costs.items()}, {key: max(all_) for key, all_ in rates.items()}


def agreement(masks: dict[str, LabelMap], rows: list[Row], volume: Volume) -> dict[str, float]:
    """Share of voxels in which each of ours equals the peer: of all, and by default where the brain can be."""
    region = find_brain(volume).at([np.arange(size) for size in volume.hu.shape])
    return {row.name: float((masks[row.name] == masks["peer"])[... if row.whole else region].mean()) for row in rows}


def scan_lines(rows: list[Row], scan: Path, costs: dict[str, Cost], floors_s: dict[str, float]) -> list[dict[str, Any]]:
    """What was found of each row of a scan; what is held against the peer only where there is one."""
    measured = [row for row in rows if row.name in costs]
    peer, threads = costs.get("peer"), os.cpu_count() or 1
    masks, volume = {row.name: read_labels(row.mask)[0] for row in measured}, read_scan(scan)
    equal = agreement(masks, measured, volume) if peer else {}
    lines = []
    for row in measured:
        cost, floor_s = costs[row.name], floors_s[row.name]
        line: dict[str, Any] = {"scan": scan_name(scan), "row": row.name, **asdict(cost), "floor_s": floor_s}
        line |= {"floor_share": floor_s / cost.wall_s, "floor_cpu_share": threads * floor_s / cost.cpu_s}
        line |= {"over_floor": cost.wall_s / floor_s, "equal": equal.get(row.name)}
        line["found_ml"] = int(np.count_nonzero(masks[row.name])) * volume.grid.voxel_ml
        line |= {"ratio": peer and peer.wall_s / cost.wall_s, "cpu_ratio": peer and peer.cpu_s / cost.cpu_s}
        lines.append(line | {"memory_ratio": peer and peer.peak_mb / cost.peak_mb})
    return lines


def scan_table(lines: list[dict[str, Any]]) -> Table:
    """The same for the reader."""
    keys = {"wall_s": 1, "cpu_s": 1, "peak_mb": 0, "ratio": 2, "cpu_ratio": 2, "memory_ratio": 2}
    keys |= {"floor_s": 1, "floor_share": 2, "floor_cpu_share": 2, "others_cpu_s": 0, "equal": 5, "found_ml": 1}
    table = Table("row", *keys)
    for line in lines:
        cells = ("-" if line[key] is None else f"{line[key]:.{digits}f}" for key, digits in keys.items())
        table.add_row(line["row"], *cells)
    return table


def summary(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The median over scans of each row, as far as all scans have it."""
    keys: tuple[str, ...] = ("wall_s", "cpu_s", "peak_mb", "ratio", "cpu_ratio", "memory_ratio")
    keys += ("over_floor", "floor_share", "floor_cpu_share")
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(line["row"] for line in lines):
        values = {key: [line[key] for line in lines if line["row"] == name] for key in keys}
        found[name] = {key: None if None in some else round(median(some), 3) for key, some in values.items()}
    return found


def asked(medians: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Whether what is asked of the rows is met."""
    exact, ratio = medians["exact"]["floor_share"], medians["exact"]["ratio"]
    return {
        "default": medians["default"]["floor_share"] >= LEAST_SHARE,
        "exact": exact >= LEAST_SHARE_EXACT or (ratio is not None and ratio >= LEAST_RATIO_EXACT),
    }


def measure_scan(scan: Path, bundle: Bundle, out: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows of one scan, and what they are, for the reader."""
    console, crop = Console(highlight=False, soft_wrap=True, width=150), options.crop is not None
    (item,) = bundle.stages
    gflop = network_gflop(item, channels=1, classes=bundle.plan.outputs)
    folds = list(bundle.selection.folds[item.name])
    passes = len(folds) * len(mirror_sets(item.mirror_axes if crop else ()))
    folder = out / "measured" / scan_name(scan)
    patterns = [f"{name}-*.json" for name in options.again] + ["tiles.json"] * ("default" in options.again)
    for old in [path for pattern in patterns for path in folder.glob(pattern)]:
        old.unlink()
    tiles = count_tiles(scan, out)
    rows = make_rows(scan, out, folds, tiles, mirror=crop)
    for row in rows:
        console.print(f"{row.name}: {' '.join(row.command)}", markup=False)
    costs, rates = run_rows(rows, folder, out, options)
    counts = f"{tiles.whole} tiles, {tiles.run} run by default"
    console.print(f"{scan_name(scan)}: {counts}, {passes} passes of {gflop:.0f} GFLOP each")
    console.print(f"GEMM {', '.join(f'{rate:.0f} GFLOP/s in {key}' for key, rate in rates.items())}")
    floors_s = {
        row.name: (tiles.whole if row.whole else tiles.run) * passes * gflop / rates[row.precision] for row in rows
    }
    lines = scan_lines(rows, scan, costs, floors_s)
    console.print(scan_table(lines))
    if any(is_disturbed(cost, os.cpu_count() or 1) for cost in costs.values()):
        console.print("DISTURBED: other programs took more than a tenth of the CPUs")
    return lines


def compare(options: argparse.Namespace) -> bool:
    """Run all, print all, and say whether the exact masks agree."""
    if not (PEERS / "nnUNetv2_predict").is_file():
        raise ArtifactError("no such program", where=PEERS, expected="nnU-Net beside us", remedy="`make peers`")
    out, crop = options.out.resolve(), options.crop is not None
    scans = write_workload(options.data, out / "scans", scans=options.scans)
    scans = [two_tiles(scan, out / "crops") for scan in scans] if crop else scans
    out = out / (options.crop or "whole")
    out.mkdir(exist_ok=True)
    spacing_mm = read_scan(scans[0]).grid.rounded_spacing_mm
    bundle = make_models(INSTANCE, spacing_mm, out, [0, 1] if crop else [0], mirror=crop)
    lines = [line for scan in scans for line in measure_scan(scan, bundle, out, options)]
    agree = all(line["equal"] is None or 1 - line["equal"] <= MOST_DIFFER for line in lines if line["row"] == "exact")
    medians = summary(lines)
    taught = options.out / "taught" / "done.json"
    result = {"name": "predict", "crop": options.crop, "rounds": options.rounds, "n": len(scans), "agree": agree}
    result["taught_steps"] = json.loads(taught.read_text())["steps"] if taught.is_file() else 0
    result |= {"ratio": medians["default"]["ratio"], "memory_ratio": medians["default"]["memory_ratio"]}
    result |= {"floor_ratio": medians["default"]["over_floor"], "asked": asked(medians), "rows": medians}
    write_json(out / "predict.json", result | {"scans": lines})
    print(json.dumps(result))
    return agree


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--scans", type=int, default=1, help="how many scans")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of all rows for each scan")
    parser.add_argument("--crop", choices=["two-tile"], help="a part of each scan, with two folds and all mirrorings")
    parser.add_argument(
        "--without-peer", action="store_true", help="take the peer's from an earlier run, or do without"
    )
    parser.add_argument("--again", nargs="+", choices=NAMES, default=[], metavar="ROW", help="rows to measure anew")
    arguments = parser.parse_args()
    finish(lambda: compare(arguments))
