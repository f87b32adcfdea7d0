"""What does a patch cost on each engine, and how far is it from torch in float32?

Run: python benchmarks/engines.py [--model NAME|PATH] [--compiled]

Each engine that is there computes the bundle's own test patch with the first fold's network, in turn, some rounds after
one that is not counted; `--compiled` adds torch.compile in either precision, which takes minutes to compile and a C++
compiler. The floor is the network's multiplications at the machine's own rate of matrix products in the precision.

`ratio` is torch's float32 over the engine that `segment` takes, `floor_ratio` that engine over its floor, `agree`
whether every engine is near enough to be used.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from floor import network_gflop
from measure import finish, measure_gemm_gflops
from rich.console import Console
from rich.table import Table

from hemoseg.errors import InputError
from hemoseg.inference import load_model
from hemoseg.inference.agreement import REFERENCE, deviation
from hemoseg.inference.engines.choice import TOLERANCE, Engine, has_native_bf16, load_network
from hemoseg.inference.engines.torch_engine import TorchNetwork
from hemoseg.models import Bundle, find_bundle, open_bundle
from hemoseg.plan import Configuration

ROUNDS = 7


Run = Callable[[np.ndarray], np.ndarray]


def load_all(bundle: Bundle, configuration: Configuration, *, compiled: bool) -> dict[str, tuple[Engine, Run]]:
    """{name: engine, and the network on it}."""
    weights = bundle.weights(configuration)[0]
    engines = [REFERENCE, Engine(kind="torch", precision="bf16"), Engine(kind="openvino", precision="fp32")]
    engines += [Engine(kind="openvino", precision="bf16")] if has_native_bf16() else []
    runs: dict[str, tuple[Engine, Run]] = {}
    for engine in engines:
        network = load_network(bundle.plan, configuration, weights, engine=engine)
        runs[engine.name] = engine, network
        if compiled and engine.kind == "torch":
            other = TorchNetwork(bundle.plan, configuration, weights, precision=engine.precision, device="cpu")
            other.network = torch.compile(other.network)
            runs[f"{engine.name}, compiled"] = engine, other
    return runs


def measure(runs: dict[str, tuple[Engine, Run]], patch: np.ndarray) -> dict[str, tuple[float, float, np.ndarray]]:
    """{name: median seconds, median seconds of CPU, logits}; engines take turns, the first round is not counted."""
    walls: dict[str, list[float]] = {name: [] for name in runs}
    used: dict[str, list[float]] = {name: [] for name in runs}
    logits = {}
    for _ in range(ROUNDS + 1):
        for name, (_, run) in runs.items():
            began, before = time.monotonic(), time.process_time()
            logits[name] = run(patch)
            walls[name].append(time.monotonic() - began)
            used[name].append(time.process_time() - before)
    return {name: (median(walls[name][1:]), median(used[name][1:]), logits[name]) for name in runs}


def compare(model: str | None, *, compiled: bool) -> bool:
    """Measure all, print all, and say whether every engine is near enough to be used."""
    bundle, threads = open_bundle(find_bundle(model)), len(os.sched_getaffinity(0))
    if bundle.agreement is None:
        raise InputError(
            "has no test patch", where=bundle.folder, expected="one", remedy="python tools/add_agreement.py BUNDLE"
        )
    configuration = bundle.stages[-1]
    patch = bundle.test_patch(configuration.name).channels[np.newaxis].astype(np.float32)
    runs = load_all(bundle, configuration, compiled=compiled)
    found = measure(runs, patch)
    expected = found[REFERENCE.name][2]
    channels = bundle.plan.input_channels(configuration)
    gflop = network_gflop(configuration, channels=channels, classes=bundle.plan.outputs)
    rates = {p: measure_gemm_gflops(p, threads) for p in {engine.precision for engine, _ in runs.values()}}
    table = Table(
        "engine", "s", "CPU s", "floor s", "deviation", title=f"{gflop:.1f} GFLOP, medians of {ROUNDS} rounds"
    )
    for name, (wall, used, logits) in found.items():
        floor = gflop / rates[runs[name][0].precision]
        table.add_row(name, f"{wall:.3f}", f"{used:.3f}", f"{floor:.3f}", f"{deviation(logits, expected):.2g}")
    Console(highlight=False, soft_wrap=True).print(table)
    first, _ = runs[load_model(model).identity.engine.split(", ")[-1]]
    agree = all(deviation(logits, expected) <= TOLERANCE for _, _, logits in found.values())
    result = {
        "name": "engines",
        "taken": first.name,
        "ratio": round(found[REFERENCE.name][0] / found[first.name][0], 3),
        "floor_ratio": round(found[first.name][0] * rates[first.precision] / gflop, 3),
        "n": ROUNDS,
        "agree": agree,
    }
    print(json.dumps(result))
    return agree


def main() -> None:
    """Parse, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name or folder of a model bundle; the embedded default if absent")
    parser.add_argument("--compiled", action="store_true", help="torch.compile too")
    options = parser.parse_args()
    finish(lambda: compare(options.model, compiled=options.compiled))


if __name__ == "__main__":
    main()
