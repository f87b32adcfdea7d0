"""How fast this machine trains: the one place where a clock has a say, before planning."""

import time
from functools import cache
from math import inf
from statistics import median

import torch

from hemoseg.nets import build_network, deterministic, keep_freed_memory
from hemoseg.plan import Configuration, Layout, Plan
from hemoseg.training.execution import lay_out, lay_out_network
from hemoseg.training.halved import bf16_fault
from hemoseg.training.loss import deep_loss

WARM_UP = 2
"""Steps that are not counted: libraries choose their kernels in them."""
TRIALS = 7
"""Convolutions in either precision, of which the fastest counts."""
LEAST_GAIN = 1.2
"""Times that bf16 must be faster."""


def measure_step_seconds(
    plan: Plan,
    configuration: Configuration,
    *,
    device: str,
    layout: Layout,
    steps: int,
    warm_up: int = WARM_UP,
    limit_s: float = inf,
) -> float:
    """Median wall seconds of one optimizer step of a configuration, on random patches, in the precision it can have.

    Args:
        plan: its plan.
        configuration: the network.
        device: where it runs.
        layout: order in memory of what is computed.
        steps: how many are timed.
        warm_up: how many come before.
        limit_s: no step begins when so many seconds are over; if none was timed by then, the last before counts.
    """
    keep_freed_memory()
    asked = time.perf_counter()
    halved = configuration.precision == "bf16"
    halved &= bf16_fault(plan, configuration, device=device, layout=layout, threads=compute_threads()) is None
    limit_s -= time.perf_counter() - asked
    network = build_network(plan, configuration).to(device)
    lay_out_network(network, layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, nesterov=True)
    generator = torch.Generator().manual_seed(0)
    shape = (configuration.batch_size, plan.input_channels(configuration), *configuration.patch_size)
    inputs = lay_out(torch.rand(shape, generator=generator).to(device), layout)
    labels = (inputs[:, 0] * len(plan.labels)).long()
    seconds = []
    for _ in range(warm_up + steps):
        began = time.monotonic()
        with deterministic(device):
            with torch.autocast(device, torch.bfloat16, enabled=halved):
                outputs = network(inputs)
            loss, _ = deep_loss(outputs, labels, pooled=configuration.batch_dice, regions=plan.table.regions)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 12.0)
            optimizer.step()
            loss.item()  # waits for the device
        seconds.append(time.monotonic() - began)
        if sum(seconds) >= limit_s:
            break
    return median(seconds[warm_up:] or seconds[-1:])


def compute_threads() -> int:
    """Threads that torch computes with."""
    return torch.get_num_threads()


def supports_bf16(device: str) -> bool:
    """Whether the device computes bf16 natively."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


@cache
def bf16_pays(device: str) -> bool:
    """Whether the device computes bf16 natively and, a CPU, faster than float32.

    Of CPUs that multiply bf16 natively some take half of the time that float32 takes, others 1.8 times as long. So a
    convolution is timed in both; none of those that were looked at is near the limit.
    """
    if device == "cuda" or not supports_bf16(device):
        return supports_bf16(device)
    convolution = torch.nn.Conv3d(32, 32, 3, padding=1, bias=False)
    lay_out_network(convolution, "channels_last")
    patch = lay_out(torch.ones(2, 32, 8, 64, 64), "channels_last")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with torch.no_grad():
        for _ in range(TRIALS):
            for halved, all_ in seconds.items():
                began = time.process_time()  # on a busy machine the wall clock says little
                with torch.autocast("cpu", torch.bfloat16, enabled=halved):
                    convolution(patch)
                all_.append(time.process_time() - began)
    return min(seconds[False]) > LEAST_GAIN * min(seconds[True])
