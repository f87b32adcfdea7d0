"""How good are the embedded model's masks of scans that have a few slices of a head?

Run: python benchmarks/few_slices.py --data DATA/phe-sich --splits SPLITS [--scans N]

SPLITS is `splits.json` of a run folder of phe-sich; its fold 0 holds out the scans that the embedded model has not
seen.
Each is cut to N slices around that with most hemorrhage, and segmented as it is (the network's patch goes on with the
outermost slices), and with air beyond them (as networks saw it before). Beside them: the same N slices of the
mask of the whole scan. Printed are mean Dice and ml, the median error of ml, and the scans whose interval, if there is
one, holds the labeled volume.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hemoseg.datasets import index_dataset
from hemoseg.geometry import Volume
from hemoseg.inference import Model, load_model
from hemoseg.io import read_labels, read_scan
from hemoseg.segmentation import VolumeInterval

SLICES = (1, 3, 5, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One class of one scan that was cut."""

    dice: float
    """Dice with the label."""
    ml: float
    """Volume of the mask, in ml."""
    label_ml: float
    """Volume of the label, in ml."""
    is_held: bool | None
    """Whether the interval holds the label's volume; None where none is given."""


def cut(volume: Volume, first: int, count: int) -> Volume:
    """Some slices of a volume; its place along z does not matter here."""
    grid = replace(volume.grid, shape=(count, *volume.grid.shape[1:]))
    return replace(volume, hu=volume.hu[first : first + count], grid=grid, slices=volume.slices[first : first + count])


def judge(found: np.ndarray, labeled: np.ndarray, voxel_ml: float, interval: VolumeInterval | None) -> Found:
    """One class of a mask beside its label."""
    both = np.count_nonzero(found) + np.count_nonzero(labeled)
    ml = np.count_nonzero(labeled) * voxel_ml
    return Found(
        dice=2 * np.count_nonzero(found & labeled) / both if both else 1.0,
        ml=np.count_nonzero(found) * voxel_ml,
        label_ml=ml,
        is_held=None if interval is None else bool(interval.low_ml <= ml <= interval.high_ml),
    )


def try_scan(model: Model, in_air: Model, scan: Path, label: Path) -> dict[tuple[int, str, str], Found]:
    """All cuts of one scan, by slices, manner and class."""
    volume, (truth, _) = read_scan(scan), read_labels(label)
    voxel_ml = float(np.prod(volume.grid.spacing_mm)) / 1000
    whole, middle, results = model.segment(volume).labels, int((truth == 1).sum(axis=(1, 2)).argmax()), {}
    for count in SLICES:
        first = min(max(middle - count // 2, 0), len(truth) - count)
        part, labeled = cut(volume, first, count), truth[first : first + count]
        given = model.segment(part)
        masks = {
            "the whole scan's": (whole[first : first + count], None),
            "in air": (in_air.segment(part).labels, None),
            "as it is": (given.labels, given),
        }
        for manner, (mask, result) in masks.items():
            intervals = result.intervals.volume_ml if result and result.intervals else {}
            for number, name in enumerate(model.plan.labels[1:], start=1):
                found = judge(mask == number, labeled == number, voxel_ml, intervals.get(name))
                results[count, manner, name] = found
    return results


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="phe-sich, in nnU-Net v2 raw layout")
    parser.add_argument("--splits", type=Path, required=True, help="splits.json of a run folder of phe-sich")
    parser.add_argument("--scans", type=int, help="the first so many of them (default: all)")
    options = parser.parse_args()
    held_out = json.loads(options.splits.read_text(encoding="utf-8"))["held_out"][0][: options.scans]
    cases = {case.name: case for case in index_dataset(options.data).cases}
    model, in_air, rows = load_model(), load_model(), defaultdict(list)
    recipe = in_air.plan.recipe.model_copy(update={"name": "nnunet"})
    in_air.plan = in_air.plan.model_copy(update={"recipe": recipe})  # which repeats no slices
    console = Console(width=130)
    for name in held_out:
        for key, one in try_scan(model, in_air, cases[name].image, cases[name].label).items():
            rows[key].append(one)
        console.print(f"{name} done")
    table = Table("slices", "mask", "class", "Dice", "ml", "label ml", "median error ml", "in interval", "scans")
    for (count, manner, name), found in rows.items():
        held = [scan.is_held for scan in found if scan.is_held is not None]
        table.add_row(
            str(count),
            manner,
            name,
            f"{np.mean([scan.dice for scan in found]):.3f}",
            f"{np.mean([scan.ml for scan in found]):.2f}",
            f"{np.mean([scan.label_ml for scan in found]):.2f}",
            f"{np.median([abs(scan.ml - scan.label_ml) for scan in found]):.2f}",
            f"{sum(held)} of {len(held)}" if held else "none given",
            str(len(found)),
        )
    console.print(table)


if __name__ == "__main__":
    main()
