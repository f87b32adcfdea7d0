"""Which convolutions have wrong gradients in bf16 on this CPU?

Run: python benchmarks/bf16_gradients.py [--threads 2]

Convolutions of 32 channels with a kernel of 1 x 3 x 3, two patches at a time, on planes and numbers of slices that
networks have. Each is tried in a process of its own, as before a training: the error is the largest norm of the
difference between a gradient in bf16 and in float32, as a share of the latter's norm; a process that is killed, or does
not end within 20 s, is told. The peer is float32; `agree` says whether all are right.
"""

import argparse
import json

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hemoseg.errors import HemosegError
from hemoseg.scale import Job, ProcessPool
from hemoseg.training.halved import LARGEST_ERROR, Layer, gradient_error, perturb_memory

SLICES = (1, 2, 4, 6, 7, 8, 12, 16)
PLANES = (24, 32, 48, 64, 96, 160, 320)
LIMIT_S = 20.0


def measure(layer: Layer, threads: int) -> str:
    """The error of a layer's gradients, or how its process ended."""
    found: list[str] = []

    def failed(_: str, error: HemosegError) -> None:
        found.append("killed" if "killed" in error.found else "no end" if "not done" in error.found else error.found)

    pool = ProcessPool(workers=1, limit_s=LIMIT_S)
    job = Job(name="layer", argument=(layer, threads))
    pool.run(try_layer, [job], done=lambda _, error: found.append(f"{error:.4f}"), failed=failed)
    return found[0]


def try_layer(asked: tuple[Layer, int]) -> float:
    """The same, in this process."""
    layer, threads = asked
    perturb_memory()
    torch.set_num_threads(threads)
    return gradient_error(layer, "channels_last")


def compare(threads: int) -> None:
    """Measure all, print all."""
    table = Table("slices", *(f"{plane} x {plane}" for plane in PLANES), title="error in bf16; 1 x 3 x 3, 32 channels")
    wrong = 0
    for slices in track(SLICES, "trying"):
        cells = []
        for plane in PLANES:
            layer = Layer(
                kind="Conv3d",
                channels=(32, 32),
                kernel=(1, 3, 3),
                stride=(1, 1, 1),
                padding=(0, 1, 1),
                shape=(2, 32, slices, plane, plane),
            )
            cells.append(measure(layer, threads))
            wrong += not (cells[-1][0].isdigit() and float(cells[-1]) <= LARGEST_ERROR)
        table.add_row(str(slices), *cells)
    Console(width=120).print(table)
    tried = len(SLICES) * len(PLANES)
    result = {"name": "bf16_gradients", "n": tried, "wrong": wrong, "agree": wrong == 0, "threads": threads}
    print(json.dumps(result | {"torch": torch.__version__, "amx": torch.cpu._is_amx_tile_supported()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads of each trial")
    compare(parser.parse_args().threads)
