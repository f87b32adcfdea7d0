"""How much memory does a large scan with six classes take, here and with nnU-Net?

Run: python benchmarks/segment_memory.py --data DATA --out runs/bench-segment-memory [--without-peer]

One scan of 200 x 512 x 512 voxels, made from the first of phe-sich; six classes; nnU-Net's patch for BHSD, 28 x 256 x
256, one fold, no mirroring. The network has few channels and is not trained: what counts here are the arrays of the
volume, and large networks add the same on both sides (`predict.py` has the memory of one). Ours is `hemoseg segment`
with the imported model by default, in fp32 and in bf16 (where the CPU has none that is fp32 again: `engines` says what
ran), and with `--max-memory` at 0.95 of what fp32 took, which must keep to it; the peer is `nnUNetv2_predict` (`make
peers`). Memory is sampled over the process tree. An untrained network gives a mask of noise, whose million lesions are
measured too: real masks take less.

The last line is one JSON object: `name`, `memory_ratio` (the peer's peak over the larger of ours), `peak_gb` (by
precision), `engines`, `n`, `agree` (whether the limit was kept to, and both of our masks in fp32 are the same).
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measure import Cost, finish, make_parser, measure_command
from untrained import SIX, environment, make_models, peer_command, rewrite_bundle

from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io import read_labels, read_scan, scan_name, write_scan
from hemoseg.plan import Precision
from hemoseg.preprocess import resample

PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")
"""Bundles, named after what they run in."""
SHAPE = (200, 512, 512)
LESS = 0.95
"""What `--max-memory` allows, as a share of what was taken without it."""


def write_large(data: Path, path: Path) -> Path:
    """The first scan of phe-sich on 200 x 512 x 512 voxels."""
    volume = read_scan(min((data / "phe-sich" / "imagesTr").glob("*.nii.gz")))
    ratio = np.array(volume.hu.shape) / SHAPE
    affine = volume.grid.affine_lps
    affine[:3, 3] = volume.grid.world([float(value) for value in (ratio - 1) / 2])
    affine[:3, :3] *= ratio
    grid = Grid.from_affine(SHAPE, affine)
    hu = np.rint(resample(volume.hu, SHAPE))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scan(path, Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name=path.name))
    return path


def compare(options: argparse.Namespace) -> bool:
    """Run all, print all, and say whether the limit was kept to."""
    out, threads = options.out.resolve(), os.cpu_count() or 1
    scan = write_large(options.data, out / "scans" / "large.nii.gz")
    bundle = make_models(SIX, read_scan(scan).grid.rounded_spacing_mm, out, [0], mirror=False)
    rewrite_bundle(bundle, out / "bf16", mirror=False, precision="bf16")

    def ours(name: str, model: str, *options: str) -> Cost:
        program = str(Path(sys.executable).with_name("hemoseg"))
        return run(
            name, [program, "segment", str(scan), "--model", str(out / model), "--out", str(out / name), *options]
        )

    def run(name: str, command: list[str]) -> Cost:
        print(f"{name}: {' '.join(command)}", flush=True)
        cost = measure_command(command, environment(out, threads), out / f"{name}.log")
        print(f"{name}: peak {cost.peak_mb:.0f} MB, {cost.wall_s:.0f} s, CPU {cost.cpu_s:.0f} s", flush=True)
        return cost

    free = {model: ours(f"default-{model}", model) for model in PRECISIONS}
    peak_mb = max(cost.peak_mb for cost in free.values())
    limit_gb = round(LESS * free["fp32"].peak_mb / 1000, 3)
    limited = ours("limited", "fp32", "--max-memory", str(limit_gb))
    results = {
        name: out / name / scan_name(scan) for name in (*(f"default-{model}" for model in PRECISIONS), "limited")
    }
    masks = [read_labels(results[name] / "mask.nii.gz")[0] for name in ("default-fp32", "limited")]
    agree = limited.peak_mb <= 1000 * limit_gb and bool(np.array_equal(masks[0], masks[1]))
    result: dict[str, Any] = {"name": "segment_memory", "n": 1, "agree": agree}
    result["peak_gb"] = {model: round(cost.peak_mb / 1000, 3) for model, cost in free.items()}
    result["engines"] = {
        model: json.loads((results[f"default-{model}"] / "report.json").read_text())["model"]["engine"]
        for model in free
    }
    result |= {"limit_gb": limit_gb, "limited_peak_gb": round(limited.peak_mb / 1000, 3), "memory_ratio": None}
    if not options.without_peer:
        peer = run("peer", peer_command(scan, out, [0], mirror=False)[0])
        result |= {"memory_ratio": round(peer.peak_mb / peak_mb, 2), "peer_peak_gb": round(peer.peak_mb / 1000, 3)}
    (out / "segment_memory.json").write_text(json.dumps(result, indent=2))
    print(json.dumps(result))
    return agree


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--without-peer", action="store_true", help="only ours")
    arguments = parser.parse_args()
    finish(lambda: compare(arguments))
