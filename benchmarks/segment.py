"""One scan from process start to files on disk: `hemoseg segment` against nnunetv2 with the same weights.

Run: python benchmarks/segment.py --data DATA --out DIR [--model MODEL] [--scans N]   (needs `make peers`)

Scans: phe-sich cases upsampled in plane to 512 x 512, cut to 30 slices, re-noised, int16, gzip level 6. The peer
gets the windowed channels ready-made, in the orientation that the network was trained in, so that it can run the
same network; what differs by design stays: it reads the whole field instead of the head's box, resamples by cubic
splines instead of averages, and computes in float32 (it has no bf16 on a CPU) where the plan may say bf16. It
writes a mask alone; ours also draws and writes the report.

Outputs agree if the Dice of all foreground is at least 0.9 where the peer finds 1 ml or more, and if the volumes
differ by at most 1 ml below. Floor: the FLOP of our tiles and mirrorings over the machine's GEMM rate in the
plan's precision, measured in the same run.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from hemoseg import Grid, Volume, read_scan
from hemoseg.geometry import uniform_slices
from hemoseg.inference.sliding import mirror_sets
from hemoseg.inference.tiles import tile_corners
from hemoseg.io import read_labels, write_scan
from hemoseg.models import Bundle, find_bundle, open_bundle
from hemoseg.nets.weights import read_weights
from hemoseg.plan import Configuration, Plan
from hemoseg.preprocess import prepare, resample
from hemoseg.windows import apply_windows

ROOT = Path(__file__).parent.parent
PEER = ROOT / ".venv-peers" / "bin" / "python"
ROUNDS = 3
SLICES, EDGE, NOISE_HU = 30, 512, 4.0
SAMPLE_S = 0.05
GEMM_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def make_scan(source: Path, target: Path, seed: int) -> Volume:
    """A case of the standard workload, written to `target`."""
    volume = read_scan(source)
    hu = resample(volume.hu[:SLICES], (min(SLICES, len(volume.hu)), EDGE, EDGE))
    noise = np.random.default_rng(seed).normal(0, NOISE_HU, hu.shape)
    hu = np.clip(np.round(hu + noise), -1024, 3071).astype(np.float32)
    z, y, x = volume.grid.spacing_mm
    spacing = (z, y * volume.grid.shape[1] / EDGE, x * volume.grid.shape[2] / EDGE)
    grid = replace(volume.grid, shape=hu.shape, spacing_mm=spacing)
    made = replace(volume, hu=hu, grid=grid, slices=uniform_slices(grid), nifti_header=None)
    write_scan(target, made)
    return made


def make_world(folder: Path, bundle: Bundle) -> None:
    """What the peer needs to run our network: plans, dataset and weights."""
    plan = bundle.plan
    configuration = plan.configuration(bundle.selection.configuration)
    names = [window.name for window in plan.windows]
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "plans": nnunet_plans(plan, configuration, names),
        "dataset": {
            "channel_names": {str(i): "noNorm" for i in range(len(names))},
            "labels": {name: number for number, name in enumerate(plan.labels)},
            "numTraining": 1,
            "file_ending": ".nii.gz",
        },
        "mirror_axes": configuration.mirror_axes,
    }
    (folder / "world.json").write_text(json.dumps(description))
    weights = read_weights(bundle.weights(configuration)[0])
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in weights.items()}
    np.savez(folder / "weights.npz", **arrays)


def nnunet_plans(plan: Plan, configuration: Configuration, channels: list[str]) -> dict[str, Any]:
    """Our plan in nnU-Net's words."""
    stages = len(configuration.features)
    resampling: dict[str, Any] = {}
    for what, is_seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        resampling[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        kwargs = {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}
        resampling[f"resampling_fn_{what}_kwargs"] = kwargs
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": configuration.features,
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": configuration.kernels,
            "strides": configuration.strides,
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    return {
        "dataset_name": plan.dataset_name,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": configuration.spacing_mm,
        "original_median_shape_after_transp": configuration.patch_size,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(i): {} for i in range(len(channels))},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": configuration.batch_size,
                "patch_size": configuration.patch_size,
                "median_image_size_in_voxels": configuration.patch_size,
                "spacing": configuration.spacing_mm,
                "normalization_schemes": ["NoNormalization"] * len(channels),
                "use_mask_for_norm": [False] * len(channels),
                **resampling,
                "architecture": architecture,
                "batch_dice": False,
            }
        },
    }


def write_channels(folder: Path, volume: Volume, plan: Plan) -> list[Path]:
    """The windows of a scan as one NIfTI each, in canonical order, lowest value 0 so that nothing is cropped."""
    orientation = volume.grid.canonical_orientation()
    grid: Grid = volume.grid.reoriented(orientation)
    channels = apply_windows(np.ascontiguousarray(orientation.apply(volume.hu)), plan.windows)
    paths = []
    for number, channel in enumerate(channels):
        path = folder / f"{volume.name}_{number:04d}.nii.gz"
        write_scan(path, replace(volume, hu=channel, grid=grid, slices=uniform_slices(grid), nifti_header=None))
        paths.append(path)
    return paths


def run(command: list[str], log: Path) -> Cost:
    """Run a process to its end; time, CPU time and peak memory over its tree."""
    began = time.monotonic()
    with log.open("wb") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        peak, cpu = 0.0, 0.0
        while process.poll() is None:
            try:
                tree = [process, *process.children(recursive=True)]
                peak = max(peak, sum(member.memory_info().rss for member in tree) / 1e6)
                cpu = max(cpu, sum(sum(member.cpu_times()[:2]) for member in tree))
            except psutil.NoSuchProcess:
                continue
            time.sleep(SAMPLE_S)
    seconds = time.monotonic() - began
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{log.read_text()[-2000:]}")
    return Cost(seconds, cpu, peak)


def forward_flop(plan: Plan, configuration: Configuration) -> float:
    """FLOP of one patch: two per multiply-add of every convolution and transposed convolution."""
    flop, voxels = 0.0, float(prod(configuration.patch_size))
    sizes, inputs = [], plan.input_channels(configuration)
    for features, stride, kernel in zip(
        configuration.features, configuration.strides, configuration.kernels, strict=True
    ):
        voxels /= prod(stride)
        sizes.append(voxels)
        flop += 2 * prod(kernel) * features * (inputs + features) * voxels
        inputs = features
    for stage in reversed(range(len(sizes) - 1)):
        below, here = configuration.features[stage + 1], configuration.features[stage]
        flop += 2 * below * here * sizes[stage]
        flop += 2 * prod(configuration.kernels[stage]) * here * (2 * here + here) * sizes[stage]
    return flop + 2 * configuration.features[0] * len(plan.labels) * sizes[0]


def gemm_flops(precision: str) -> float:
    """FLOP per second of a large matrix product."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.ones((GEMM_SIZE, GEMM_SIZE), dtype=kind)
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        torch.mm(a, a)
        seconds.append(time.monotonic() - began)
    return 2 * GEMM_SIZE**3 / statistics.median(seconds)


def agreement(ours: np.ndarray, peer: np.ndarray, voxel_ml: float) -> tuple[bool, float, float, float]:
    """(agree, Dice of all foreground, our ml, the peer's ml)."""
    a, b = ours > 0, peer > 0
    total = int(a.sum() + b.sum())
    dice = 2 * int((a & b).sum()) / total if total else 1.0
    mine, theirs = float(a.sum()) * voxel_ml, float(b.sum()) * voxel_ml
    return (dice >= 0.9 if theirs >= 1 else abs(mine - theirs) <= 1), dice, mine, theirs


def main() -> None:
    """Make the scans, run both sides in turn, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds phe-sich/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default=None, help="bundle; the embedded default if left out")
    parser.add_argument("--scans", type=int, default=2)
    options = parser.parse_args()
    if not PEER.is_file():
        sys.exit(f"{PEER}: absent\n  expected: the peer's environment\n  try: make peers")
    bundle = open_bundle(find_bundle(options.model))
    plan, configuration = bundle.plan, bundle.plan.configuration(bundle.selection.configuration)
    sources = sorted((options.data / "phe-sich" / "imagesTr").glob("*.nii.gz"))[: options.scans]
    if len(sources) < options.scans:
        sys.exit(f"{options.data}: {len(sources)} scans\n  expected: phe-sich/imagesTr\n  try: another --data")
    shutil.rmtree(options.out, ignore_errors=True)
    make_world(options.out / "world", bundle)
    console, rate = Console(), gemm_flops(configuration.precision)
    costs: dict[str, list[Cost]] = {"hemoseg": [], "nnunetv2": []}
    rows, floors, splits, agree = [], [], [], True
    for number, source in enumerate(sources):
        scan = options.out / source.name
        volume = make_scan(source, scan, number)
        volume = replace(volume, name=source.name.removesuffix(".nii.gz"))
        channels = write_channels(options.out / "world", volume, plan)
        result = options.out / "ours" / volume.name
        theirs = options.out / "peer.nii.gz"
        ours = [str(Path(sys.executable).parent / "hemoseg"), "segment", str(scan), "--out", str(result.parent)]
        ours += ["--model", str(bundle.folder)]
        peer = [str(PEER), str(ROOT / "benchmarks" / "peer_segment.py"), str(options.out / "world"), str(theirs)]
        peer += [str(path) for path in channels]
        if number == 0:
            console.print(" ".join(ours), " ".join(peer), sep="\n", soft_wrap=True, highlight=False)
        for _ in range(ROUNDS):
            costs["hemoseg"].append(run(ours, options.out / "hemoseg.log"))
            costs["nnunetv2"].append(run(peer, options.out / "nnunetv2.log"))
            splits.append(json.loads((result / "report.json").read_text())["seconds"])
        mask, grid = read_labels(result / "mask.nii.gz")
        other, _ = read_labels(theirs)
        fits, *values = agreement(volume.grid.canonical_orientation().apply(mask), other, grid.voxel_ml)
        agree &= fits
        rows.append((volume.name, *values))
        tiles = len(tile_corners(prepare(volume, plan, configuration).hu.shape, configuration.patch_size))
        passes = tiles * len(mirror_sets(configuration.mirror_axes))
        floors.append(passes * forward_flop(plan, configuration) / rate)
    table = Table("side", "wall s", "CPU s", "peak MB", title=f"median of {len(splits)} runs, {len(sources)} scans")
    middle = {
        side: [statistics.median(getattr(c, name) for c in found) for name in ("seconds", "cpu_seconds", "peak_mb")]
        for side, found in costs.items()
    }
    for side, (wall, cpu, peak) in middle.items():
        table.add_row(side, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}")
    console.print(table)
    split = {stage: statistics.median(found[stage] for found in splits) for stage in splits[0]}
    console.print("split of hemoseg, s:", ", ".join(f"{stage} {value:.2f}" for stage, value in split.items()))
    floor = statistics.median(floors)
    console.print(f"floor {floor:.2f} s: tiles and mirrorings at {rate / 1e9:.0f} GFLOP/s ({configuration.precision})")
    for name, dice, mine, other_ml in rows:
        console.print(f"{name}: Dice {dice:.4f}, {mine:.2f} ml, peer {other_ml:.2f} ml")
    wall, _, peak = middle["hemoseg"]
    print(
        json.dumps(
            {
                "name": "segment",
                "ratio": round(middle["nnunetv2"][0] / wall, 3),
                "memory_ratio": round(middle["nnunetv2"][2] / peak, 3),
                "floor_ratio": round(wall / floor, 3),
                "n": len(sources),
                "agree": agree,
            }
        )
    )
    sys.exit(not agree)


if __name__ == "__main__":
    main()
