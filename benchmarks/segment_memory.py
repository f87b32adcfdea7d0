"""How much memory does a large scan with six classes take, here and with nnU-Net?

Run: python benchmarks/segment_memory.py --data DATA --out runs/bench-segment-memory [--without-peer]

One scan of 200 x 512 x 512 voxels, made from the first of phe-sich; six classes; nnU-Net's patch for BHSD, 28 x 256 x
256, one fold, no mirroring. The network has few channels and is not trained: what counts here are the arrays of the
volume, and large networks add the same on both sides (`predict.py` has the memory of one). Ours is `hemoseg segment`
with the imported model by default, and with `--max-memory` at 0.8 of what that took, which must keep to it; the peer
is `nnUNetv2_predict` (`make peers`). Memory is sampled over the process tree.

The last line is one JSON object: `name`, `memory_ratio` (the peer's peak over ours), `peak_gb`, `n`, `agree` (whether
the limit was kept to, and both of our masks are the same).
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from measure import Cost, finish, make_parser, measure_command
from untrained import SIX, environment, make_models, peer_command

from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io import read_labels, read_scan, scan_name, write_scan
from hemoseg.preprocess import resample

SHAPE = (200, 512, 512)
LESS = 0.8
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
    make_models(SIX, read_scan(scan).grid.rounded_spacing_mm, out, [0], mirror=False)
    ours = [str(Path(sys.executable).with_name("hemoseg")), "segment", str(scan), "--model", str(out / "fp32")]

    def run(name: str, command: list[str]) -> Cost:
        print(f"{name}: {' '.join(command)}", flush=True)
        cost = measure_command(command, environment(out, threads), out / f"{name}.log")
        print(f"{name}: peak {cost.peak_mb:.0f} MB, {cost.wall_s:.0f} s, CPU {cost.cpu_s:.0f} s", flush=True)
        return cost

    free = run("default", [*ours, "--out", str(out / "default")])
    limit_gb = round(LESS * free.peak_mb / 1000, 3)
    limited = run("limited", [*ours, "--out", str(out / "limited"), "--max-memory", str(limit_gb)])
    masks = [read_labels(out / name / scan_name(scan) / "mask.nii.gz")[0] for name in ("default", "limited")]
    agree = limited.peak_mb <= 1000 * limit_gb and bool(np.array_equal(*masks))
    result = {"name": "segment_memory", "n": 1, "agree": agree, "peak_gb": round(free.peak_mb / 1000, 3)}
    result |= {"limit_gb": limit_gb, "limited_peak_gb": round(limited.peak_mb / 1000, 3), "memory_ratio": None}
    if not options.without_peer:
        peer = run("peer", peer_command(scan, out, [0], mirror=False)[0])
        result |= {"memory_ratio": round(peer.peak_mb / free.peak_mb, 2), "peer_peak_gb": round(peer.peak_mb / 1000, 3)}
    (out / "segment_memory.json").write_text(json.dumps(result, indent=2))
    print(json.dumps(result))
    return agree


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--without-peer", action="store_true", help="only ours")
    arguments = parser.parse_args()
    finish(lambda: compare(arguments))
