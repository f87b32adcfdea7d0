"""Does the planner know how much memory training takes?

Run: python benchmarks/memory.py --out runs/memory

Trains each of the plans below for some steps on random patches, each in a process of its own, and compares the peak
of its resident memory with the estimate that the planner made before. The largest takes about 6 GB. Plans in bf16 are
left out where the CPU has none, for torch would imitate it in other memory and take an hour. The last line is one JSON
object: `name`, `n` plans, `worst_error` as a share of the measured peak, `agree` if that is at most 0.2.
"""

import argparse
import json
import resource
import subprocess
import sys
from math import inf
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hemoseg.data import Sampler, StoredCase
from hemoseg.plan import AverageResampling, Channel, Configuration, Plan, Precision, Preparation, Window
from hemoseg.planning.memory import plan_memory
from hemoseg.planning.topology import make_topology, stage_features
from hemoseg.training import Choices, bf16_fault, train
from hemoseg.training.timing import compute_threads, supports_bf16

TOLERANCE = 0.2
"""Largest error of the estimate, as a share of the measured peak."""
STEPS = 4
"""Optimizer steps of each plan: the first has no momentum yet, the second finds the heap as the first left it."""
RESIDUAL_BLOCKS = (1, 3, 4, 6, 6, 6, 6, 6)
"""Blocks of each stage, nnU-Net's."""
THICK, CUBES = (5.0, 0.94, 0.94), (1.0, 1.0, 1.0)


def configuration(
    spacing_mm: tuple[float, float, float],
    patch_size: tuple[int, int, int],
    base: int,
    precision: Precision,
    *,
    batch_size: int = 2,
    residual: bool = False,
) -> Configuration:
    """A network by nnU-Net's rules for a patch; one slice makes it 2d."""
    flat = patch_size[0] == 1
    z, y, x = patch_size
    topology = make_topology((inf, *spacing_mm[1:]) if flat else spacing_mm, (float(z), float(y), float(x)))
    stages = len(topology.strides)
    return Configuration(
        name="2d" if flat else "3d_fullres",
        dimensions=2 if flat else 3,
        spacing_mm=spacing_mm,
        median_shape=(float(z), float(y), float(x)),
        patch_size=topology.patch_size,
        batch_size=batch_size,
        encoder="residual" if residual else "plain",
        features=stage_features(base, stages),
        strides=topology.strides,
        kernels=topology.kernels,
        blocks=RESIDUAL_BLOCKS[:stages] if residual else (2,) * stages,
        decoder_blocks=(1 if residual else 2,) * (stages - 1),
        batch_dice=True,
        mirror_axes=(2,),
        precision=precision,
        iterations=STEPS,
    )


def plan(item: Configuration, *, channels: int, classes: int) -> Plan:
    """A plan of one network with as many windows as channels."""
    windows = [Window(name=f"window{i}", low_hu=0, high_hu=80 + i) for i in range(channels)]
    return Plan(
        dataset_name="Memory",
        labels=("background", *(f"class{i}" for i in range(1, classes))),
        preparation=Preparation(
            orientation="canonical",
            channels=tuple(Channel(name=window.name, window=window) for window in windows),
            windowed="last",
            head_crop=True,
            nonzero_crop=False,
            resampling=AverageResampling(),
        ),
        configurations=(item,),
        trained=(item.name,),
        memory_gb=None,
        seed=0,
    )


def plans() -> list[Plan]:
    """What is measured: small and large, deep and flat, plain and residual, in both precisions."""
    return [
        plan(configuration(THICK, (16, 64, 64), 8, "bf16"), channels=3, classes=3),
        plan(configuration(THICK, (16, 96, 96), 16, "bf16"), channels=3, classes=3),
        plan(configuration(THICK, (16, 96, 96), 16, "fp32"), channels=3, classes=3),
        plan(configuration(THICK, (16, 96, 96), 32, "bf16"), channels=3, classes=2),
        plan(configuration(THICK, (16, 128, 128), 32, "fp32"), channels=1, classes=2),
        plan(configuration(THICK, (16, 192, 192), 32, "bf16"), channels=3, classes=6),
        plan(configuration(CUBES, (64, 64, 64), 16, "bf16"), channels=1, classes=5),
        plan(configuration(CUBES, (64, 64, 64), 24, "fp32", batch_size=3), channels=3, classes=5),
        plan(configuration(CUBES, (96, 96, 96), 32, "fp32"), channels=1, classes=2),
        plan(configuration(THICK, (1, 192, 192), 16, "bf16", batch_size=8), channels=3, classes=3),
        plan(configuration(THICK, (1, 256, 256), 32, "fp32", batch_size=12), channels=1, classes=2),
        plan(configuration(THICK, (16, 96, 96), 16, "bf16", residual=True), channels=3, classes=3),
        plan(configuration(CUBES, (64, 64, 64), 32, "fp32", residual=True), channels=1, classes=5),
    ]


def train_here(path: Path) -> None:
    """Train a plan in this process, and print the peak of its resident memory in 10^6 bytes."""
    made = Plan.model_validate_json(path.read_text(encoding="utf-8"))
    item = made.configurations[0]
    image = np.random.default_rng(0).uniform(0, 80, (1, *item.patch_size)).astype(np.float32)
    labels = (image[0] > 70).astype(np.uint8)
    case = StoredCase(name="random", image=image, labels=labels, previous=None)
    fault = bf16_fault(made, item, device="cpu", layout="contiguous", threads=compute_threads())
    train(
        path.with_suffix(""),
        made,
        item,
        Sampler([case], made, item, fold=0),
        plan_sha256="memory",
        device="cpu",
        watch=lambda _: None,
        stop=lambda: None,
        choices=Choices(halved=fault is None),
    )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def measure_peak_mb(made: Plan, path: Path) -> float:
    """Peak of the resident memory of a process that trains the plan."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.with_suffix("") / "last.safetensors").unlink(missing_ok=True)
    path.write_text(made.model_dump_json(), encoding="utf-8")
    command = [sys.executable, __file__, "--train", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure all plans, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for plans and states")
    parser.add_argument("--train", type=Path, help="a plan of this benchmark, to train in this process")
    options = parser.parse_args()
    if options.train is not None:
        train_here(options.train)
        return
    if options.out is None:
        parser.error("--out is required")
    table = Table("patch", "batch", "base", "encoder", "classes", "precision", "estimate MB", "peak MB", "error")
    errors = []
    precisions = ("fp32", "bf16") if supports_bf16("cpu") else ("fp32",)
    for number, made in enumerate(plans()):
        item = made.configurations[0]
        if item.precision not in precisions:
            continue
        estimate = plan_memory(made, item).total_mb
        peak = measure_peak_mb(made, options.out / f"plan-{number:02d}.json")
        errors.append(estimate / peak - 1)
        size = " x ".join(map(str, item.patch_size))
        shape = (size, item.batch_size, item.features[0], item.encoder, len(made.labels), item.precision)
        table.add_row(*map(str, shape), f"{estimate:.0f}", f"{peak:.0f}", f"{errors[-1]:+.1%}")
    Console().print(table)
    worst = max(map(abs, errors))
    print(json.dumps({"name": "memory", "n": len(errors), "worst_error": round(worst, 4), "agree": worst <= TOLERANCE}))
    raise SystemExit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
