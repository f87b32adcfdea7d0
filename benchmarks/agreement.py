"""Does a model that nnU-Net trained give the same masks here as in nnU-Net?

Run: python benchmarks/agreement.py RESULTS --data DATA/phe-sich --out runs/agreement [--splits F] [--scans N] [--keep]

RESULTS is a results folder TRAINER__PLANS__CONFIGURATION of nnU-Net; what a fold of it held out is segmented. The peer
is `nnUNetv2_predict -device cpu` (`make peers`), ours `hemoseg nnunet import-model` and then `hemoseg segment`: with
`--exact`; by default; and, where the default is bf16, in float32 beside it, which tells what the engine changes from
what the tiles change. Nothing is mirrored on either side: of eight copies of every tile one tells enough.

It agrees if all of these hold:
- logits of the middle tile of some scans are within 1e-4 of the peer's, on torch in float32;
- `--exact` gives every voxel the peer's label but where the peer's own two best logits are tied: nnU-Net adds up
  tiles in float16, and a step of float16 between 8 and 16 is 1/128;
- by default, in scans with more than 5 ml of a class in the peer's mask, the median Dice with that mask is 0.998 at
  least; in scans with less the volume is within 0.1 ml of the peer's; and where the peer has nothing, ours has not.
Dice of the peer's own hemorrhage with the silver labels must be 0.7 at least: a network that found nothing would
agree with anything.

The peer's masks are kept in OUT, in a folder named after the checkpoint, and a run that was stopped goes on with them.
The numbers go to benchmarks/results/agreement.json with `--keep`, without names of scans.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from measure import finish
from rich.console import Console
from rich.table import Table
from untrained import PEERS, environment, rewrite_bundle

from hemoseg.artifacts import sha256_of, write_json
from hemoseg.errors import ArtifactError, InputError
from hemoseg.evaluation.overlap import dice
from hemoseg.inference.engines.choice import Engine, has_native_bf16, load_network
from hemoseg.io import read_labels, read_scan
from hemoseg.models import Bundle, open_bundle
from hemoseg.types import LabelMap

OURS = Path(sys.executable).with_name("hemoseg")
RESULTS = Path(__file__).parent / "results" / "agreement.json"
TRAINER = "nnUNetTrainer"
PATCHES = 4
"""Scans whose middle tile is compared."""
CLOSE = 1e-4
"""Logits of a tile differ by no more."""
TIE = 2.0**-7
"""Two classes are tied for a voxel if their logits are no farther apart: a step of float16 between 8 and 16."""
LARGE_ML = 5.0
"""Dice counts above, milliliters below."""
LEAST_DICE, MOST_ML, LEAST_SILVER = 0.998, 0.1, 0.7
ROWS = {"exact": ("default", ["--exact"]), "default": ("default", [])}
if has_native_bf16():
    ROWS["fp32"] = ("fp32", [])  # elsewhere the default is float32 already
"""{row: its bundle, and options of `segment`}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One class of one scan, by the peer and by us."""

    row: str
    """Which of ours."""
    class_name: str
    """The class."""
    peer_ml: float
    """Volume in the peer's mask."""
    ml: float
    """Volume in ours."""
    dice: float
    """Dice of both, 1 where both are empty."""


def held_out(results: Path, fold: int, splits: Path | None) -> list[str]:
    """Names of the scans that a fold held out: those that it was validated on, or those in `splits_final.json`.

    Raises:
        ArtifactError: it was not validated, and no splits are given.
    """
    if splits is not None:
        return sorted(json.loads(splits.read_text())[fold]["val"])
    summary = results / f"fold_{fold}" / "validation" / "summary.json"
    if not summary.is_file():
        remedy = "end its run, or name its --splits"
        raise ArtifactError("no such file", where=summary, expected="a fold that was validated", remedy=remedy)
    cases = json.loads(summary.read_text())["metric_per_case"]
    return sorted(Path(case["prediction_file"]).name.removesuffix(".nii.gz") for case in cases)


def run_peer(results: Path, fold: int, scans: list[Path], out: Path) -> None:
    """Have nnU-Net segment the scans, and give logits of tiles of some: all in OUT/peer."""
    threads = os.cpu_count() or 1
    source, peer = out / "peer" / "input", out / "peer"
    source.mkdir(parents=True, exist_ok=True)
    for scan in scans:
        (source / scan.name).unlink(missing_ok=True)
        (source / scan.name).symlink_to(scan.resolve())
    for old in set(source.iterdir()) - {source / scan.name for scan in scans}:
        old.unlink()
    job = {"model": str(results.resolve()), "fold": fold, "trainer": TRAINER, "out": str(peer)}
    (out / "job.json").write_text(json.dumps(job | {"scans": [str(scan) for scan in scans[:PATCHES]]}))
    _, plans, configuration = results.name.split("__")
    predict = [str(PEERS / "nnUNetv2_predict"), "-i", str(source), "-o", str(peer / "masks"), "-f", str(fold)]
    predict += ["-d", results.parent.name, "-c", configuration, "-tr", TRAINER, "-p", plans, "-device", "cpu"]
    predict += ["-npp", "0", "-nps", "0", "--disable_tta", "--save_probabilities", "--continue_prediction"]
    script = str(Path(__file__).with_name("agreement_peer.py"))
    _run([str(PEERS / "python"), script, str(out / "job.json")], out, environment(out, threads))
    _run(predict, out, environment(out, threads))


def run_ours(results: Path, fold: int, scans: list[Path], out: Path) -> Bundle:
    """Import the model and segment all scans in each row; the bundle that nothing was changed in but mirroring."""
    command = [str(OURS), "nnunet", "import-model", str(results), str(out / "imported"), "--folds", str(fold)]
    _run(command, out, {})
    bundle = open_bundle(out / "imported")
    rewrite_bundle(bundle, out / "fp32", mirror=False, precision="fp32")
    made = rewrite_bundle(bundle, out / "default", mirror=False, precision="fp32", measured=True)
    shutil.rmtree(out / "ours", ignore_errors=True)  # else masks of an earlier version would be kept
    for row, (model, options) in ROWS.items():
        command = [str(OURS), "segment", *map(str, scans), "--out", str(out / "ours" / row)]
        _run([*command, "--model", str(out / model), *options], out, {})
    return made


def patch_differences(bundle: Bundle, out: Path) -> dict[str, list[float]]:
    """Largest difference of the logits of each tile from the peer's, by engine."""
    (configuration,) = bundle.stages
    (weights,) = bundle.weights(configuration)
    engines = [Engine(kind="torch", precision="fp32"), Engine(kind="openvino", precision="fp32")]
    if has_native_bf16():
        engines.append(Engine(kind="openvino", precision="bf16"))
    found: dict[str, list[float]] = {}
    for engine in engines:
        network = load_network(bundle.plan, configuration, weights, engine=engine)
        for path in sorted((out / "peer").glob("*.npz")):
            with np.load(path) as stored:
                difference = np.abs(network(stored["patch"][None])[0] - stored["logits"]).max()
            found.setdefault(engine.name, []).append(float(difference))
    return found


def exact_voxels(mask: LabelMap, peer: LabelMap, probabilities: Path) -> tuple[int, int, float]:
    """Voxels with another label, those of them that are ties, and how far apart the peer's logits are at most there."""
    other = mask != peer
    if not other.any():
        return 0, 0, 0.0
    with np.load(probabilities) as stored:
        shares = np.sort(stored["probabilities"][:, other].astype(np.float64), axis=0)
    apart = np.log(shares[-1]) - np.log(np.maximum(shares[-2], 1e-300))
    return int(other.sum()), int((apart <= TIE).sum()), float(apart.max())


def compare_masks(names: Sequence[str], bundle: Bundle, data: Path, out: Path) -> tuple[list[Pair], dict[str, Any]]:
    """Each class of each scan in each row; and the voxels of `--exact`, and the peer's Dice with the silver labels."""
    pairs, silver, counts = [], [], []
    voxels = 0
    classes = list(enumerate(bundle.plan.labels))[1:]
    for name in names:
        voxel_ml = read_scan(data / "imagesTr" / f"{name}_0000.nii.gz").grid.voxel_ml
        peer, truth = (
            read_labels(path)[0]
            for path in (out / "peer" / "masks" / f"{name}.nii.gz", data / "labelsTr" / f"{name}.nii.gz")
        )
        silver.append(dice(truth == 1, peer == 1, both_empty="one"))
        voxels += peer.size
        for row in ROWS:
            mask, _ = read_labels(out / "ours" / row / f"{name}_0000" / "mask.nii.gz")
            if row == "exact":
                counts.append(exact_voxels(mask, peer, out / "peer" / "masks" / f"{name}.npz"))
            for number, class_name in classes:
                a, b = peer == number, mask == number
                score = dice(a, b, both_empty="one")
                ml = [int(one.sum()) * voxel_ml for one in (a, b)]
                pairs.append(Pair(row=row, class_name=class_name, peer_ml=ml[0], ml=ml[1], dice=score))
    unequal, ties, apart = zip(*counts, strict=True)
    exact = {"voxels": voxels, "unequal": sum(unequal), "ties": sum(ties), "largest_lead": max(apart)}
    return pairs, {"exact": exact, "silver_dice": mean(silver)}


def row_numbers(pairs: list[Pair]) -> dict[str, Any]:
    """What is asked of a row, and what it has, by class."""
    found: dict[str, Any] = {}
    for class_name in dict.fromkeys(pair.class_name for pair in pairs):
        some = [pair for pair in pairs if pair.class_name == class_name]
        large = [pair.dice for pair in some if pair.peer_ml > LARGE_ML]
        small = [abs(pair.ml - pair.peer_ml) for pair in some if pair.peer_ml <= LARGE_ML]
        found[class_name] = {
            "n_large": len(large),
            "median_dice": median(large) if large else None,
            "least_dice": min(large) if large else None,
            "n_small": len(small),
            "largest_ml": max(small) if small else None,
            "n_empty": sum(pair.peer_ml == 0 for pair in some),
            "filled": sum(pair.peer_ml == 0 and pair.ml > 0 for pair in some),
        }
    return found


def is_met(numbers: dict[str, Any]) -> bool:
    """Whether a row has what is asked of the default."""
    return all(
        (one["median_dice"] is None or one["median_dice"] >= LEAST_DICE)
        and (one["largest_ml"] is None or one["largest_ml"] <= MOST_ML)
        and one["filled"] == 0
        for one in numbers.values()
    )


def print_rows(console: Console, rows: dict[str, dict[str, Any]]) -> None:
    """What each row has, class by class."""
    table = Table(
        "row", "class", f"n > {LARGE_ML:g} ml", "median Dice", "least", "n below", "largest ml", "empty", "filled"
    )
    for row, numbers in rows.items():
        for class_name, one in numbers.items():
            cells = [one["n_large"], one["median_dice"], one["least_dice"], one["n_small"], one["largest_ml"]]
            cells += [one["n_empty"], one["filled"]]
            texts = (f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells)
            table.add_row(row, class_name, *texts)
    console.print(table)


def engines_of(names: Sequence[str], out: Path) -> dict[str, str]:
    """What ran each row."""
    return {
        row: json.loads((out / "ours" / row / f"{names[0]}_0000" / "report.json").read_text())["model"]["engine"]
        for row in ROWS
    }


def compare(options: argparse.Namespace) -> bool:
    """Run all, print all, and say whether all is met."""
    if not (PEERS / "nnUNetv2_predict").is_file():
        raise ArtifactError("no such program", where=PEERS, expected="nnU-Net beside us", remedy="`make peers`")
    results, console = options.results.resolve(), Console(highlight=False, width=140)
    names = held_out(results, options.fold, options.splits)[: options.scans]
    out = options.out.resolve() / sha256_of(results / f"fold_{options.fold}" / "checkpoint_final.pth")[:12]
    scans = [options.data / "imagesTr" / f"{name}_0000.nii.gz" for name in names]
    absent = [scan for scan in scans if not scan.is_file()]
    if absent:
        raise InputError("no such scan", where=absent[0], expected="what was held out", remedy="name its data set")
    run_peer(results, options.fold, scans, out)
    bundle = run_ours(results, options.fold, scans, out)
    patches = patch_differences(bundle, out)
    pairs, rest = compare_masks(names, bundle, options.data, out)
    rows = {row: row_numbers([pair for pair in pairs if pair.row == row]) for row in ROWS}
    print_rows(console, rows)
    exact = rest["exact"]
    met = {
        "silver": rest["silver_dice"] >= LEAST_SILVER,
        "patches": max(patches["torch-fp32"]) <= CLOSE,
        "exact": exact["unequal"] == exact["ties"],
        "default": is_met(rows["default"]),
    }
    result = {"name": "agreement", "n": len(names), "agree": all(met.values()), "met": met, **rest}
    result |= {"patches": patches, "engines": engines_of(names, out), "rows": rows}
    if not met["silver"]:
        console.print(
            f"Dice {rest['silver_dice']:.3f} with the silver labels: the network is too weak to prove anything"
        )
    if options.keep:
        write_json(RESULTS, result | {"date": datetime.now(UTC).date().isoformat(), "model": results.name})
    print(json.dumps(result))
    return bool(result["agree"])


def _run(command: list[str], out: Path, more: dict[str, str]) -> None:
    """A command to its end, what it prints in OUT/agreement.log.

    Raises:
        CalledProcessError: it failed.
    """
    print(" ".join(command[:4]), "…", file=sys.stderr, flush=True)
    with (out / "agreement.log").open("ab") as log:
        subprocess.run(command, check=True, env={**os.environ, **more}, stdout=log, stderr=log)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results folder of nnU-Net: TRAINER__PLANS__CONFIGURATION")
    parser.add_argument("--data", type=Path, required=True, help="its data set, in nnU-Net v2 raw layout")
    parser.add_argument("--out", type=Path, required=True, help="folder for masks, bundles and logs")
    parser.add_argument("--fold", type=int, default=0, help="the fold")
    parser.add_argument("--splits", type=Path, help="nnU-Net's splits_final.json, where the fold was not validated")
    parser.add_argument("--scans", type=int, help="how many of the held-out scans; all if left out")
    parser.add_argument("--keep", action="store_true", help="write the numbers to benchmarks/results")
    arguments = parser.parse_args()
    finish(lambda: compare(arguments))
