"""How many patches a second does one core augment by nnU-Net's table, against nnU-Net's own transforms?

Run: python benchmarks/augment.py --out runs/bench-augment

Patches are made: noise, an ellipsoid and a lesion in it, one channel and three labels, in the size that nnU-Net loads
for 20 x 320 x 256 (turned in plane) and 96 x 128 x 128 (turned in space). Ours and the peer (`make peers`: the
transforms of nnunetv2's trainer, whose blur chooses its way in the patches that do not count) are processes of one
thread that run in turn, three times after a round that does not count, with equal seeds; the time is the median
round's. Outputs agree if mean and deviation of every image are within 1e-5 and the labels' counts are equal. Memory is
the peak of the process above what it held before the first patch. No floor is known: `floor_ratio` is 1.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import finish
from rich.console import Console
from rich.table import Table

from hemoseg.errors import ArtifactError

SIDE = Path(__file__).with_name("augment_side.py")
PEER = Path(__file__).parent.parent / ".venv-peers" / "bin" / "python"
SIZES = {"in plane": (20, 320, 256), "in space": (96, 128, 128)}
SIDES = ("ours", "peer")
ROUNDS = 3
PATCHES = 60
TOLERANCE = 1e-5
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def command(side: str, size: str, patches: int, out: Path) -> list[str]:
    """The command line of a side."""
    python = str(PEER) if side == "peer" else sys.executable
    numbers = [str(number) for number in (*SIZES[size], patches)]
    return [python, str(SIDE), side, *numbers, str(out / f"{side}-{size.replace(' ', '-')}.json")]


def run_rounds(size: str, patches: int, out: Path) -> dict[str, list[dict[str, Any]]]:
    """What each side found in each round. They take turns, after a round that does not count."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(ROUNDS + 1):
        for side in SIDES if number % 2 else reversed(SIDES):
            line = command(side, size, patches, out)
            subprocess.run(line, check=True, env={**os.environ, **ONE_THREAD})
            if number:
                found[side].append(json.loads(Path(line[-1]).read_text()))
    return found


def compare(out: Path, patches: int) -> bool:
    """Run all, print all, and say whether the outputs agree."""
    if not PEER.is_file():
        raise ArtifactError("no such file", where=PEER, expected="nnunetv2 beside us", remedy="`make peers`")
    out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, soft_wrap=True)
    table = Table("patch", "peer patches/s", "ours patches/s", "ratio", "peer MB", "ours MB")
    totals, memory, agree = dict.fromkeys(SIDES, 0.0), dict.fromkeys(SIDES, 0.0), True
    for size, patch_size in SIZES.items():
        for side in SIDES:
            console.print(f"{side}: {' '.join(command(side, size, patches, out))}", markup=False)
        rounds = run_rounds(size, patches, out)
        seconds = {side: median(r["seconds"] for r in rounds[side]) for side in SIDES}
        peaks = {side: median(r["peak_mb"] for r in rounds[side]) for side in SIDES}
        agree = agree and np.allclose(rounds["ours"][0]["rows"], rounds["peer"][0]["rows"], rtol=0, atol=TOLERANCE)
        name = f"{' x '.join(map(str, patch_size))}, {size}"
        rates = [f"{patches / seconds[side]:.1f}" for side in ("peer", "ours")]
        sizes = [f"{peaks[side]:.0f}" for side in ("peer", "ours")]
        table.add_row(name, *rates, f"{seconds['peer'] / seconds['ours']:.2f}", *sizes)
        for side in SIDES:
            totals[side] += seconds[side]
            memory[side] = max(memory[side], peaks[side])
    console.print(table)
    result = {
        "name": "augment",
        "ratio": round(totals["peer"] / totals["ours"], 3),
        "memory_ratio": round(memory["peer"] / memory["ours"], 3),
        "floor_ratio": 1.0,
        "n": patches * len(SIZES),
        "agree": agree,
    }
    print(json.dumps(result))
    return agree


def main() -> None:
    """Parse, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--patches", type=int, default=PATCHES, help="patches of a round")
    options = parser.parse_args()
    finish(lambda: compare(options.out.resolve(), options.patches))


if __name__ == "__main__":
    main()
