"""How long do all surface metrics of a pair of masks take, and what do they take of memory, against surface-distance?

Run: python benchmarks/surface.py --data DATA --out runs/bench-surface

The masks have 30 x 512 x 512 voxels of 5 x 0.47 x 0.47 mm: hemorrhages of phe-sich of eight sizes from the smallest to
the largest, enlarged as in the standard workload and smoothed. Each is compared with three predictions: `close`, its
border moved at random as by a good model; `rough`, moved three times as far; and `apart`, another patient's hemorrhage,
which has hardly a voxel in common. The metrics are both mean distances, the Hausdorff distance, its 95th percentile
and surface Dice at 0.42, 1 and 2 mm; the values agree if all are within 1e-9 relative.

Ours and the peer (`make peers`) are processes of one thread that run in turn, three times after a round that does not
count; a round's time of a pair is the median of five calls, masks in memory. The ratio is over the sum of medians of
`close` and `rough`, what evaluations consist of; `apart` is printed beside it. Memory is the peak during a call above
what the process held before it, masks included, in a process of its own. The floor is reading every byte of both
masks once.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import finish, make_parser
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from workload import SLICES, SOURCE, enlarge_labels

from hemoseg.artifacts import write_json
from hemoseg.errors import ArtifactError
from hemoseg.io import read_labels

PEERS = Path(__file__).parent.parent / ".venv-peers" / "bin"
SIDE = Path(__file__).with_name("surface_side.py")
SPACING_MM = (5.0, 0.47, 0.47)
SIZES = 8
ROUNDS = 3
KINDS = {"close": 0.25, "rough": 0.75}
"""{kind: how far borders are moved, in standard deviations of a smooth field beside a smoothed mask}."""
TOLERANCE = 1e-9
SIDES = ("ours", "peer", "floor")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
GIVE_BACK = {"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""What is freed goes back to the system at once, where memory is measured."""


def write_masks(data: Path, folder: Path) -> list[str]:
    """Write the pairs of masks; their names, from the smallest hemorrhage to the largest."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.npy"):
        path.unlink()
    write_json(folder / "spacing.json", SPACING_MM)
    masks = _hemorrhages(data)
    names = []
    for number, mask in enumerate(masks):
        noise = ndimage.gaussian_filter(
            np.random.default_rng(number).normal(size=mask.shape).astype(np.float32), (1, 8, 8)
        )
        noise *= ndimage.gaussian_filter(mask.astype(np.float32), (1, 8, 8)) / noise.std()
        soft = ndimage.gaussian_filter(mask.astype(np.float32), (0.5, 5, 5))
        predictions = {kind: soft + scale * noise > 0.45 for kind, scale in KINDS.items()}
        predictions["apart"] = np.roll(masks[(number + 3) % SIZES], 60, axis=2)
        for kind, prediction in predictions.items():
            names.append(f"{number}-{kind}")
            np.save(folder / f"{number}-{kind}-reference.npy", mask)
            np.save(folder / f"{number}-{kind}-prediction.npy", prediction)
    return names


def _hemorrhages(data: Path) -> list[np.ndarray]:
    """Hemorrhages at equal steps of rank by volume, 30 x 512 x 512."""
    found = []
    for path in sorted((data / SOURCE / "labelsTr").glob("*.nii.gz")):
        labels, _ = read_labels(path)
        if len(labels) >= SLICES:
            found.append((labels == 1).astype(np.uint8))
    found.sort(key=np.count_nonzero)
    chosen = [found[round(rank)] for rank in np.linspace(0, len(found) - 1, SIZES)]
    large = (enlarge_labels(labels).astype(np.float32) for labels in chosen)
    return [ndimage.gaussian_filter(labels, (0, 2, 2)) > 0.5 for labels in large]


def command(side: str, what: str, out: Path) -> list[str]:
    """The command line of a side."""
    python = str(PEERS / "python") if side == "peer" else sys.executable
    return [python, str(SIDE), side, what, str(out / "masks"), str(out / f"{side}-{what}.json")]


def run(side: str, what: str, out: Path, environment: dict[str, str]) -> Any:
    """What a side found."""
    subprocess.run(command(side, what, out), check=True, env={**os.environ, **ONE_THREAD, **environment})
    return json.loads((out / f"{side}-{what}.json").read_text())


def run_rounds(out: Path) -> dict[str, list[dict[str, Any]]]:
    """What each side found in each round. They take turns, after a round that does not count."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(ROUNDS + 1):
        for side in SIDES if number % 2 else reversed(SIDES):
            timed = run(side, "time", out, {})
            if number:
                found[side].append(timed)
    return found


def compare(data: Path, out: Path) -> bool:
    """Run all, print all, and say whether the values agree."""
    if not PEERS.is_dir():
        raise ArtifactError("no such folder", where=PEERS, expected="surface-distance beside us", remedy="`make peers`")
    console = Console(highlight=False, soft_wrap=True)
    names = write_masks(data, out / "masks")
    for side in SIDES:
        console.print(f"{side}: {' '.join(command(side, 'time', out))}", markup=False)
    rounds = run_rounds(out)
    memory = {side: run(side, "memory", out, GIVE_BACK) for side in ("ours", "peer")}
    seconds = {side: {n: median(r[n]["seconds"] for r in found) for n in names} for side, found in rounds.items()}
    table = Table("size", "prediction", "peer ms", "ours ms", "ratio", "floor ms", "peer MB", "ours MB")
    for name in names:
        peer, ours, least = (1e3 * seconds[side][name] for side in ("peer", "ours", "floor"))
        taken = [f"{memory[side][name] / 1e6:.1f}" for side in ("peer", "ours")]
        table.add_row(*name.split("-"), f"{peer:.1f}", f"{ours:.2f}", f"{peer / ours:.1f}", f"{least:.2f}", *taken)
    console.print(table)

    def ratio(values: dict[str, dict[str, float]], over: str, under: str, kinds: tuple[str, ...]) -> float:
        chosen = [name for name in names if name.endswith(kinds)]
        return sum(values[over][name] for name in chosen) / sum(values[under][name] for name in chosen)

    console.print(f"apart: {ratio(seconds, 'peer', 'ours', ('apart',)):.1f} times as fast as the peer")
    pairs = [(rounds["ours"][0][name]["values"], rounds["peer"][0][name]["values"]) for name in names]
    agree = all(np.allclose(ours, peer, rtol=TOLERANCE, atol=0) for ours, peer in pairs)
    result = {
        "name": "surface",
        "ratio": round(ratio(seconds, "peer", "ours", tuple(KINDS)), 3),
        "memory_ratio": round(ratio(memory, "peer", "ours", tuple(KINDS)), 3),
        "floor_ratio": round(ratio(seconds, "ours", "floor", tuple(KINDS)), 3),
        "n": len(names),
        "agree": agree,
    }
    print(json.dumps(result))
    return agree


def main() -> None:
    """Parse, compare, tell."""
    options = make_parser(__doc__).parse_args()
    finish(lambda: compare(options.data.resolve(), options.out.resolve()))


if __name__ == "__main__":
    main()
