"""Teach the large network of predict.py a little, so that it finds blood where blood is.

Run: python benchmarks/teach.py --data DATA --out runs/bench-predict [--cases 12]

Which tiles are worth running depends on what a network finds, and one with drawn weights finds something everywhere.
This one is shown enlarged scans of phe-sich, not those that predict.py measures: parts of a tile, and at last whole
tiles, for a few hundred steps of Adam, in bf16 where that is faster and right. It is no good model, and its hemorrhage
labels are silver. The weights replace those in the peer's results folders in OUT, as nnU-Net's own checkpoints: fold 0
all of it, fold 1, for `--crop two-tile`, without the last part. They are saved every 20 steps: the same command goes
on.
"""

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from safetensors.torch import save_file
from untrained import DATASET, INSTANCE, NAME, PLANS, TRAINER, make_models
from workload import write_dataset, write_workload

from hemoseg.artifacts import whole_file, write_json
from hemoseg.io import read_labels, read_scan
from hemoseg.models import Bundle
from hemoseg.nets import build_network, keep_freed_memory
from hemoseg.nets.nnunet_checkpoint import write_checkpoint
from hemoseg.nets.weights import distinct_weights, load_weights, read_weights
from hemoseg.preprocess import prepare, prepare_labels
from hemoseg.training import bf16_fault, bf16_pays
from hemoseg.training.loss import dice_ce
from hemoseg.types import IntZYX

SAVED_EVERY = 20
FORCED = 1 / 2
"""Share of patches around a voxel of blood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Steps with patches of one size."""

    patch: IntZYX
    """Voxels of a patch."""
    steps: int
    """Optimizer steps, each of one patch."""
    rate: float
    """Adam's learning rate; it falls in a line, to nothing after the last step."""


PARTS = (
    Part(patch=(20, 192, 128), steps=800, rate=1e-3),
    Part(patch=(20, 320, 256), steps=10, rate=3e-4),
)
Shown = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Channels, labels, and the indices of blood of a case."""


def read_cases(root: Path, bundle: Bundle) -> list[Shown]:
    """The cases as the network sees them, and where they bleed."""
    (item,) = bundle.stages
    cases = []
    for path in track(sorted((root / "imagesTr").glob("*.nii.gz")), "reading"):
        prepared = prepare(read_scan(path), bundle.plan.preparation, item.spacing_mm)
        labels, _ = read_labels(root / "labelsTr" / path.name.replace("_0000", ""))
        blood = (prepare_labels(labels, prepared) == 1).astype(np.int64)
        cases.append((prepared.image, blood, np.argwhere(blood)))
    return cases


def draw(cases: list[Shown], size: IntZYX, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The patch of one step; it depends on the step's number alone."""
    chance = np.random.default_rng(number)
    image, blood, places = cases[chance.integers(len(cases))]
    room = [max(n - length, 0) for n, length in zip(blood.shape, size, strict=True)]
    corner = [int(chance.integers(n + 1)) for n in room]
    if len(places) and chance.random() < FORCED:
        voxel = places[chance.integers(len(places))]
        shift = chance.uniform(0.25, 0.75, 3) * size
        corner = [int(np.clip(v - s, 0, n)) for v, s, n in zip(voxel, shift, room, strict=True)]
    place = tuple(slice(first, first + length) for first, length in zip(corner, size, strict=True))
    flip = chance.random() < 0.5
    step = slice(None, None, -1 if flip else 1)
    return image[:, *place][..., step].copy(), blood[place][..., step].copy()


def teach(bundle: Bundle, cases: list[Shown], folder: Path) -> None:
    """All steps that were not done yet; the weights of each part in `folder`."""
    (item,) = bundle.stages
    network = build_network(bundle.plan, item)
    done_file, weights_file = folder / "done.json", folder / "weights.safetensors"
    done = json.loads(done_file.read_text())["steps"] if done_file.is_file() else 0
    start = weights_file if done else bundle.weights(item)[0]
    load_weights(network, read_weights(start), where=start)
    network.decoder.deep_supervision = False
    network.to(memory_format=torch.channels_last_3d)
    rows = [
        (part, number, part.rate * (1 - step / part.steps))
        for number, part in enumerate(PARTS)
        for step in range(part.steps)
    ]
    optimizer = torch.optim.Adam(network.parameters(), lr=PARTS[0].rate)
    if done == len(rows):
        return
    halved = [bf16_pays("cpu") and _holds(bundle, part) for part in PARTS]
    losses = []
    for step in track(range(done, len(rows)), "teaching"):
        part, number, optimizer.param_groups[0]["lr"] = rows[step]
        image, blood = draw(cases, part.patch, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=halved[number]):
            logits = network(torch.from_numpy(image[None]).to(memory_format=torch.channels_last_3d))
        loss, dice = dice_ce(logits.float(), torch.from_numpy(blood[None]), pooled=True)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(f"{step} {float(loss.detach()):.3f} {float(dice.detach()[0]):.3f}")
        is_last = step + 1 == len(rows) or rows[step + 1][1] != number
        if is_last or (step + 1) % SAVED_EVERY == 0:
            weights = distinct_weights(network)
            if is_last:
                write_weights(folder / f"part-{number}.safetensors", weights)
            write_weights(weights_file, weights)
            write_json(done_file, {"steps": step + 1, "of": len(rows)})
            Console(stderr=True).print("\n".join(losses), highlight=False)
            losses.clear()


def _holds(bundle: Bundle, part: Part) -> bool:
    """Whether gradients in bf16 are right with patches of this size."""
    changes = {"patch_size": part.patch, "batch_size": 1, "precision": "bf16"}
    item = bundle.stages[0].model_copy(update=changes)
    threads = torch.get_num_threads()
    return bf16_fault(bundle.plan, item, device="cpu", layout="channels_last", threads=threads) is None


def write_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Weights whole or not at all."""
    with whole_file(path) as temporary:
        save_file({name: value.contiguous() for name, value in weights.items()}, temporary)


def main() -> None:
    """Teach, and put the weights where predict.py finds them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds phe-sich")
    parser.add_argument("--out", type=Path, required=True, help="predict.py's folder")
    parser.add_argument(
        "--cases", type=int, default=12, help="scans to be taught with; predict.py measures others, the first"
    )
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    out, whole = options.out.resolve(), options.out.resolve() / "whole"
    whole.mkdir(parents=True, exist_ok=True)
    scans = write_workload(options.data, out / "scans", scans=1)
    spacing_mm = read_scan(scans[0]).grid.rounded_spacing_mm
    folder, results = out / "taught", Path("results") / DATASET / f"{TRAINER}__{PLANS}__{NAME}"
    folder.mkdir(exist_ok=True)
    bundle = make_models(INSTANCE, spacing_mm, folder, [0, 1], mirror=False)
    root = write_dataset(options.data, folder, cases=2 * options.cases)
    for path in sorted((root / "imagesTr").glob("*.nii.gz"))[: options.cases]:
        path.unlink()  # of those predict.py measures
    teach(bundle, read_cases(root, bundle), folder)
    (item,) = bundle.stages
    for crop, parts in (("whole", (-1,)), ("two-tile", (-1, -2))):
        target = out / crop / "peer" / results
        shutil.rmtree(target, ignore_errors=True)
        for fold, number in enumerate(range(len(PARTS))[part] for part in parts):
            write_checkpoint(
                target / f"fold_{fold}" / "checkpoint_final.pth",
                bundle.plan,
                item,
                read_weights(folder / f"part-{number}.safetensors"),
                trainer=TRAINER,
            )
        for file in ("plans.json", "dataset.json"):
            (target / file).write_bytes((folder / "peer" / results / file).read_bytes())


if __name__ == "__main__":
    main()
