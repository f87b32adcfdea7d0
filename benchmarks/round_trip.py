"""What a mask loses on its way to a prepared grid and back: Dice, and volume for masks over 1 ml.

Run: python benchmarks/round_trip.py --data DATA   (only simulated heads without --data)
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from hemoseg.datasets import index_dataset, read_case
from hemoseg.errors import HemosegError
from hemoseg.geometry import Volume
from hemoseg.phantom import demo_specs, make_phantom
from hemoseg.plan import (
    AverageResampling,
    Channel,
    Intensity,
    Pooling,
    PoolingKind,
    Preparation,
    Slab,
    SplineResampling,
    Window,
)
from hemoseg.preprocess import prepare_case, restore_labels
from hemoseg.preprocess.prepare import TargetSpacing

COUNTED_ML = 1.0
"""Volumes are compared for masks of at least this."""
LARGEST_ERROR = 0.01
"""Relative error of volume that ways with our own label rules must not exceed; nnU-Net's rule is copied, not judged."""
WINDOWS = tuple(Window(name=f"{low}", low_hu=low, high_hu=high) for low, high in ((0.0, 80.0), (-20.0, 100.0)))
LAST = tuple(Channel(name=window.name, window=window) for window in WINDOWS)
PAPER = Channel(
    name="paper",
    window=Window(name="paper", low_hu=66.5, high_hu=125.5),
    scale=(0.0, 1.0),
    normalization="zscore",
)
FOREGROUND = Intensity(mean=40, median=40, std=18, min=-20, max=100, percentile_00_5=0, percentile_99_5=85)
CT = Channel(name="CT", normalization="ct", intensity=FOREGROUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A preparation and a target spacing."""

    preparation: Preparation
    """The steps."""
    spacing_mm: TargetSpacing | None
    """Target spacing; None takes the scan's own after the steps before it."""


def headct(spacing_mm: TargetSpacing | None = None, pooling: Pooling | None = None) -> Way:
    """Head crop and averages."""
    preparation = Preparation(
        orientation="canonical",
        channels=LAST,
        windowed="last",
        head_crop=True,
        pooling=pooling,
        nonzero_crop=False,
        resampling=AverageResampling(),
    )
    return Way(preparation=preparation, spacing_mm=spacing_mm)


def paper(spacing_mm: TargetSpacing | None = None, slices_mm: float = 1.0, kind: PoolingKind = "average") -> Way:
    """The paper's steps: window, in-plane pooling, slices of 1 mm, one slice more at either end, z-score."""
    preparation = Preparation(
        orientation="canonical",
        channels=(PAPER,),
        windowed="first",
        head_crop=False,
        pooling=Pooling(kind=kind, factor=2),
        slice_spacing_mm=slices_mm,
        slab=Slab(extend=1, train_range="label"),
        nonzero_crop=True,
        resampling=SplineResampling(labels=None),
    )
    return Way(preparation=preparation, spacing_mm=spacing_mm)


def nnunet(spacing_mm: TargetSpacing | None) -> Way:
    """nnU-Net's own steps."""
    preparation = Preparation(
        orientation="as-stored",
        channels=(CT,),
        windowed="first",
        head_crop=False,
        nonzero_crop=True,
        resampling=SplineResampling(),
    )
    return Way(preparation=preparation, spacing_mm=spacing_mm)


WAYS = {
    "headct, scan's own spacing": headct(),
    "headct, 5 x 1.4 x 1.4 mm": headct((5.0, 1.4, 1.4)),
    "headct, 7.5 x 0.94 x 0.94 mm": headct((7.5, 0.94, 0.94)),
    "headct, 2.5 x 0.7 x 0.7 mm": headct((2.5, 0.7, 0.7)),
    "headct, average pooling 2": headct(pooling=Pooling(kind="average", factor=2)),
    "headct, 6.7 x 0.94 x 0.94 mm": headct((6.7, 0.94, 0.94)),
    "headct, 8 x 1.1 x 1.1 mm": headct((8.0, 1.1, 1.1)),
    "paper": paper(),
    "paper, 1 x 2.1 x 2.1 mm": paper((1.0, 2.1, 2.1)),
    "paper, 1 x 1.7 x 1.7 mm": paper((1.0, 1.7, 1.7)),
    "paper, slices of 4.8 mm": paper(slices_mm=4.8),
    "paper, slices of 3 mm": paper(slices_mm=3.0),
    "nnunet, scan's own spacing": nnunet(None),
    "nnunet, 5 x 0.7 x 0.7 mm": nnunet((5.0, 0.7, 0.7)),
    "nnunet, 3 x 0.7 x 0.7 mm": nnunet((3.0, 0.7, 0.7)),
    "nnunet, 5 x 1.4 x 1.4 mm": nnunet((5.0, 1.4, 1.4)),
    "nnunet, 2d 0.8 x 0.8 mm": nnunet((None, 0.8, 0.8)),
}
"""{name: way}; the scans are of 5 x 0.94 x 0.94 mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one class of one case lost."""

    dice: float
    """Dice of the mask that came back."""
    volume_ml: float
    """Volume of the mask."""
    volume_error: float
    """Relative difference of the volume that came back."""
    prepared_error: float
    """Relative difference of the volume on the prepared grid."""


def round_trip(volume: Volume, labels: np.ndarray, way: Way) -> Iterator[Loss]:
    """Every class that is present, there and back."""
    spacing = way.spacing_mm or _own_spacing(volume, labels, way.preparation)
    prepared, there = prepare_case(volume, labels, way.preparation, spacing, seed=0)
    back = restore_labels(there, prepared)
    ratio = prod(prepared.properties.frame.scale)
    for number in np.unique(labels[labels > 0]):
        before, after = labels == number, back == number
        sizes = int(before.sum()), int(after.sum())
        yield Loss(
            dice=2 * int((before & after).sum()) / sum(sizes),
            volume_ml=sizes[0] * volume.grid.voxel_ml,
            volume_error=sizes[1] / sizes[0] - 1,
            prepared_error=np.count_nonzero(there == number) * ratio / sizes[0] - 1,
        )


def _own_spacing(volume: Volume, labels: np.ndarray, preparation: Preparation) -> TargetSpacing:
    from hemoseg.preprocess import pre_steps

    return pre_steps(volume, labels, preparation, seed=0).spacing_mm


def phantoms() -> Iterator[tuple[Volume, np.ndarray]]:
    """The simulated heads of `hemoseg demo`."""
    for spec in demo_specs():
        phantom = make_phantom(spec)
        yield phantom.volume, phantom.reference


def real_scans(data: Path) -> Iterator[tuple[Volume, np.ndarray]]:
    """All of phe-sich."""
    dataset = index_dataset(data / "phe-sich")
    for case in dataset.cases:
        yield read_case(case, dataset.table)


def measure(scans: Iterator[tuple[Volume, np.ndarray]]) -> dict[str, list[Loss]]:
    """{name of the way: losses of all classes of all scans}."""
    found: dict[str, list[Loss]] = {name: [] for name in WAYS}
    for volume, labels in scans:
        for name, way in WAYS.items():
            found[name] += round_trip(volume, labels, way)
    return found


def worst_volume_error(losses: list[Loss]) -> float:
    """The largest relative error of volume among masks over 1 ml that came back."""
    return max((abs(loss.volume_error) for loss in losses if loss.volume_ml >= COUNTED_ML), default=0.0)


def worst_prepared_error(losses: list[Loss]) -> float:
    """The same on the prepared grid."""
    return max((abs(loss.prepared_error) for loss in losses if loss.volume_ml >= COUNTED_ML), default=0.0)


def main() -> None:
    """Print a table for simulated heads, and one for real ones if they are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds phe-sich")
    options = parser.parse_args()
    table = Table("data", "way", "masks", "Dice, least", "Dice, median", "over 1 ml", "worst, prepared", "worst, back")
    worst = {"ours": 0.0, "nnunet": 0.0}
    try:
        sources = {"simulated": phantoms(), **({"phe-sich": real_scans(options.data)} if options.data else {})}
        for source, scans in sources.items():
            for name, losses in measure(scans).items():
                rule = "nnunet" if name.startswith("nnunet") else "ours"
                worst[rule] = max(worst[rule], worst_volume_error(losses))
                dice = [loss.dice for loss in losses]
                counted = sum(loss.volume_ml >= COUNTED_ML for loss in losses)
                errors = [f"{100 * error(losses):.2f} %" for error in (worst_prepared_error, worst_volume_error)]
                row = (f"{min(dice):.4f}", f"{median(dice):.4f}", str(counted), *errors)
                table.add_row(source, name, str(len(losses)), *row)
    except HemosegError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    Console(width=120).print(table)
    print(json.dumps({"name": "round_trip", "worst_volume_error": worst, "agree": worst["ours"] <= LARGEST_ERROR}))


if __name__ == "__main__":
    main()
