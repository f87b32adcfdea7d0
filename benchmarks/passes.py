"""How many passes of the network are spared where nothing is found, and what does a mask lose by it?

Run: python benchmarks/passes.py SCAN … [--model NAME|FOLDER]

Each scan is segmented twice by one process: with all tiles and all mirrored copies of each, and by default, which runs
later tiles and mirrored copies only where something was found that counts. Dice and milliliters are those of the two
masks with each other; labels play no part. It fails by the rule of agreement.py: in masks with more than 5 ml of a
class the median Dice must be 0.998, smaller ones must be within 0.1 ml, and nothing must stay nothing.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from agreement import LARGE_ML, LEAST_DICE, MOST_ML
from measure import finish
from rich.console import Console
from rich.table import Table

from hemoseg.arrays import Bool, Float32
from hemoseg.evaluation.overlap import dice
from hemoseg.inference import Model, load_model
from hemoseg.inference.sliding import Network
from hemoseg.io import read_scan


@dataclass(slots=True)
class Counted:
    """A network that counts its passes."""

    network: Network
    passes: int = 0

    def __call__(self, patches: Float32[np.ndarray, "b c z y x"]) -> Float32[np.ndarray, "b k z y x"]:
        """Logits of patches."""
        self.passes += len(patches)
        return self.network(patches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One class of one scan, with all passes and by default."""

    class_name: str
    """The class."""
    full_ml: float
    """Volume with all passes."""
    ml: float
    """Volume by default."""
    dice: float
    """Dice of both, 1 where both are empty."""


def everywhere(logits: Float32[np.ndarray, "k ..."], **_: object) -> Bool[np.ndarray, "..."]:
    """Something may be anywhere, so that all is run."""
    return np.ones(logits.shape[1:], dtype=bool)


def counted(model: Model) -> list[Counted]:
    """Have the model's networks counted."""
    stages = [replace(stage, networks=tuple(Counted(one) for one in stage.networks)) for stage in model.stages]
    model.stages = tuple(stages)
    return [one for stage in stages for one in stage.networks if isinstance(one, Counted)]


def try_scan(model: Model, networks: list[Counted], scan: Path) -> tuple[int, int, list[Pair]]:
    """Passes in all, passes by default, and each class."""
    volume, passes, results = read_scan(scan), [], []
    for is_full in (True, False):
        for network in networks:
            network.passes = 0
        if is_full:
            with patch("hemoseg.inference.predictor.may_be_there", everywhere):
                results.append(model.segment(volume))
        else:
            results.append(model.segment(volume))
        passes.append(sum(network.passes for network in networks))
    full, found = results
    pairs = [
        Pair(
            class_name=name,
            full_ml=full.volume_ml[name],
            ml=found.volume_ml[name],
            dice=dice(full.labels == number, found.labels == number, both_empty="one"),
        )
        for number, name in enumerate(model.plan.labels[1:], start=1)
    ]
    return passes[0], passes[1], pairs


def judge(pairs: list[Pair], names: tuple[str, ...], console: Console) -> bool:
    """Print the table of classes; whether masks agree."""
    large_words, small_words = f"median Dice over {LARGE_ML:g} ml", f"most ml apart below {LARGE_ML:g} ml"
    table, agree = Table("class", "scans", large_words, "least", small_words), True
    for name in names:
        own = [pair for pair in pairs if pair.class_name == name]
        large = [pair.dice for pair in own if pair.full_ml > LARGE_ML]
        small = [abs(pair.ml - pair.full_ml) for pair in own if pair.full_ml <= LARGE_ML]
        silent = all(pair.ml == 0 for pair in own if pair.full_ml == 0)
        agree = agree and silent and max(small, default=0) <= MOST_ML and median(large or [1.0]) >= LEAST_DICE
        words = [f"{median(large):.5f}", f"{min(large):.5f}"] if large else ["none", "none"]
        table.add_row(name, f"{len(large)} and {len(small)}", *words, f"{max(small, default=0):.3f}")
    console.print(table)
    return agree


def compare(scans: list[Path], model: Model) -> bool:
    """Segment the scans, and tell what was spared; whether masks agree."""
    pairs, passes, console = [], [], Console(width=120)
    networks = counted(model)
    for scan in scans:
        every, some, found = try_scan(model, networks, scan)
        passes.append((every, some))
        pairs += found
        console.print(f"{some} of {every} passes", *(f"{one.class_name} {one.dice:.5f}" for one in found))
    agree = judge(pairs, model.plan.labels[1:], console)
    every, some = (sum(side) for side in zip(*passes, strict=True))
    shares = sorted(full / few for full, few in passes)
    console.print(
        f"passes: {some} of {every}, 1 of {every / some:.2f}; by scan 1 of {shares[0]:.2f} to {shares[-1]:.2f}"
    )
    print(json.dumps({"name": "passes", "n": len(passes), "passes": some, "all_passes": every, "agree": agree}))
    return agree


def main() -> None:
    """Print passes, the table, and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+", help="scans in NIfTI")
    parser.add_argument("--model", help="name or folder of the model (default: the embedded one)")
    options = parser.parse_args()
    finish(lambda: compare(options.scans, load_model(options.model)))


if __name__ == "__main__":
    main()
