"""Which convolutions have wrong gradients in bf16 on this CPU?

Run: python benchmarks/bf16_gradients.py [--threads 2]

Convolutions of 32 channels with a kernel of 1 x 3 x 3, two patches at a time, on planes and numbers of slices that
networks have. Each is tried in a process of its own, as before a training. Told is the largest norm of the difference
between a gradient in bf16 and in float32, as a share of the latter's norm, where that is too large; or that the process
was killed or did not end. The peer is float32; `agree` says whether all are right. Only CPUs with AMX are tried.
"""

import argparse
import json
import re

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hemoseg.training.halved import Layer, first_fault

SLICES = (1, 2, 4, 6, 7, 8, 12, 16)
PLANES = (24, 32, 48, 64, 96, 160, 320)
ENDS = {"signal 24": "no end", "killed": "killed"}
"""How a process ended, by words of its error; signal 24 comes when it takes too much CPU."""


def measure(slices: int, plane: int, threads: int) -> str:
    """What is wrong with a layer; empty if nothing is."""
    layer = Layer(
        kind="Conv3d",
        channels=(32, 32),
        kernel=(1, 3, 3),
        stride=(1, 1, 1),
        padding=(0, 1, 1),
        shape=(2, 32, slices, plane, plane),
    )
    fault = first_fault((layer,), "channels_last", threads)
    if fault is None:
        return ""
    error = re.search(r"([\w.]+) off", fault)
    return error[1] if error else next((end for words, end in ENDS.items() if words in fault), fault)


def compare(threads: int) -> None:
    """Measure all, print all."""
    table = Table("slices", *(f"{plane} x {plane}" for plane in PLANES), title="error in bf16; 1 x 3 x 3, 32 channels")
    wrong = 0
    for slices in track(SLICES, "trying"):
        faults = [measure(slices, plane, threads) for plane in PLANES]
        wrong += sum(map(bool, faults))
        table.add_row(str(slices), *(fault or "right" for fault in faults))
    Console(width=120).print(table)
    tried = len(SLICES) * len(PLANES)
    result = {"name": "bf16_gradients", "n": tried, "wrong": wrong, "agree": wrong == 0, "threads": threads}
    print(json.dumps(result | {"torch": torch.__version__, "amx": torch.cpu._is_amx_tile_supported()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads of each trial")
    compare(parser.parse_args().threads)
