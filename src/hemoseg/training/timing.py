"""How fast this machine trains: the one place where a clock has a say, before planning."""

import time
from math import inf
from statistics import median

import torch

from hemoseg.nets import build_network, deterministic, keep_freed_memory
from hemoseg.plan import Configuration, Layout, Plan
from hemoseg.training.execution import lay_out, lay_out_network
from hemoseg.training.loss import deep_loss

WARM_UP = 2
"""Steps that are not counted: libraries choose their kernels in them."""


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
    """Median wall seconds of one optimizer step of a configuration, on random patches.

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
            with torch.autocast(device, torch.bfloat16, enabled=configuration.precision == "bf16"):
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
    """Whether the device computes bf16 natively: a fact of the machine, not of a clock."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())
