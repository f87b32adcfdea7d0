"""Whether a CPU's library computes the gradients of a network's convolutions right in bf16.

oneDNN 3.12, which torch 2.13 brings, does not always with AMX: the gradient of the weights of three-dimensional
convolutions on large planes of few slices is wrong, or the process dies, or never ends (docs/lab-log.md). Those of
single slices are two-dimensional therefore, see `nets.planar`. Channels, batch and threads count too, so each shape of
a network is tried before a training, in a process of its own, and a network with one that fails is trained in float32.
"""

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import cache
from math import ceil, inf, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hemoseg.errors import ResourceError
from hemoseg.nets import build_network, use_threads
from hemoseg.plan import Configuration, Layout, Plan
from hemoseg.scale import Job, ProcessPool
from hemoseg.training.execution import lay_out, lay_out_network

LARGEST_ERROR = 0.02
"""How far a gradient in bf16 may be from that in float32, as a share of its norm: rounding makes it 0.002, a
kernel that goes wrong 0.09 or more."""
LIMIT_CPU_S = 60
"""Seconds of CPU of each thread after which the trial of a layer counts as one that never ends; a large one takes five.
Those on the wall would depend on what else runs."""
LIMIT_S = 1800.0
"""Seconds on the wall after which even one that computes nothing is ended."""
FAULTS = (" off", "killed by signal", "not done after")
"""Words of errors that tell of a layer; others, of the system, are no reason to train in float32."""
STDERR = 2
M_PERTURB = -6
"""glibc's setting that fills new memory, so that what is read before it is written is never zero by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A convolution of a network, and what it is given."""

    kind: str
    """`Conv3d` or `ConvTranspose3d`."""
    channels: tuple[int, int]
    """Entering and leaving."""
    kernel: tuple[int, ...]
    """Voxels (z, y, x)."""
    stride: tuple[int, ...]
    """Voxels (z, y, x)."""
    padding: tuple[int, ...]
    """Voxels (z, y, x)."""
    shape: tuple[int, ...]
    """Of its input: (b, c, z, y, x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What is tried in the other process."""

    layer: Layer
    """The convolution."""
    layout: Layout
    """Order in memory."""
    threads: int
    """Threads: they decide how the work is cut."""
    limit_cpu_s: int
    """Seconds of CPU that it may take."""
    largest_error: float
    """How far gradients may be off."""


def has_amx() -> bool:
    """Whether the CPU has the instructions with which gradients may be wrong."""
    return bool(torch.cpu._is_amx_tile_supported())


def bf16_fault(
    plan: Plan,
    configuration: Configuration,
    *,
    device: str,
    layout: Layout,
    threads: int,
    batch_sizes: tuple[int, ...] | None = None,
) -> str | None:
    """Why a configuration that is planned in bf16 must be trained in float32 here; None if it need not.

    Only CPUs with AMX are looked at. It takes as long as one step in either precision, and some seconds to begin.

    Args:
        plan: the plan.
        configuration: one of its networks.
        device: `cpu` or `cuda`.
        layout: order in memory of what is computed.
        threads: how many compute.
        batch_sizes: numbers of patches at a time; the configuration's if left out.

    Raises:
        ResourceError: no process could be started to try, or it was killed for want of memory.
        InterruptedRunError: a signal came.
    """
    if device != "cpu" or configuration.precision != "bf16" or not has_amx():
        return None
    sizes = batch_sizes or (configuration.batch_size,)
    return first_fault(layers_of(plan, configuration, sizes), layout, threads)


def layers_of(plan: Plan, configuration: Configuration, batch_sizes: tuple[int, ...]) -> tuple[Layer, ...]:
    """The convolutions of a network's training, each shape once; nothing is computed for it."""
    with torch.device("meta"):
        network = build_network(plan, configuration)
    found: dict[Layer, None] = {}

    def note(module: Any, given: tuple[Tensor, ...], _: Tensor) -> None:
        layer = Layer(
            kind=type(module).__name__,
            channels=(module.in_channels, module.out_channels),
            kernel=module.kernel_size,
            stride=module.stride,
            padding=module.padding,
            shape=tuple(given[0].shape),
        )
        found[layer] = None

    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(note)
    with torch.no_grad():
        for size in batch_sizes:
            shape = (size, plan.input_channels(configuration), *configuration.patch_size)
            network(torch.empty(shape, device="meta"))
    return tuple(found)


def gradient_error(layer: Layer, layout: Layout) -> float:
    """The largest error of a layer's gradients in bf16 against float32, as a share of their norm; infinite for NaN."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution = getattr(nn, layer.kind)(*layer.channels, layer.kernel, stride=layer.stride, padding=layer.padding)
    lay_out_network(convolution, layout)
    given = lay_out(torch.randn(layer.shape, generator=generator).bfloat16(), layout)
    wanted: Tensor | None = None
    gradients = []
    for halved in (True, False):
        start = (given if halved else given.float()).detach().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            result = convolution(start)
        if wanted is None:
            wanted = lay_out(torch.randn(result.shape, generator=generator).bfloat16(), layout)
        convolution.zero_grad(set_to_none=True)
        result.backward(wanted if halved else wanted.float())
        gradients.append([start.grad, *(parameter.grad for parameter in convolution.parameters())])
    errors = [
        float((half.float() - full).norm() / full.norm().clamp(min=torch.finfo(torch.float32).tiny))
        for half, full in zip(*gradients, strict=True)
    ]
    return max(error if isfinite(error) else inf for error in errors)


@cache
def first_fault(layers: tuple[Layer, ...], layout: Layout, threads: int) -> str | None:
    """What is wrong with the first layer that fails: it is wrong, it kills its process, or it does not end.

    Raises:
        ResourceError: no process could be started, or it was killed for want of memory.
        InterruptedRunError: a signal came.
    """
    limit_cpu_s = threads * LIMIT_CPU_S
    trials = [
        _Trial(layer=layer, layout=layout, threads=threads, limit_cpu_s=limit_cpu_s, largest_error=LARGEST_ERROR)
        for layer in layers
    ]
    jobs: list[Job[_Trial | None]] = [Job(name=_shape(trial.layer), argument=trial) for trial in trials]
    processes: set[int] = set()
    try:
        ProcessPool(workers=1, limit_s=LIMIT_S).run(
            _try, [*jobs, Job(name="all", argument=None)], done=lambda _, process: processes.add(process)
        )
    except ResourceError as error:
        if not any(words in error.found for words in FAULTS) or f"signal {signal.SIGKILL:d} " in error.found:
            raise
        return f"gradients in bf16 for an input of {error.where}: {error.found}"
    if len(processes) > 1:  # the pool tries again what died once
        return "a process that computed gradients in bf16 died"
    return None


def _try(trial: _Trial | None) -> int:
    """This process's number, if the layer's gradients are right; it may also not return. None shows that it lives.

    What the system's library prints when it ends this process would tell a user nothing.
    """
    if trial is None:
        return os.getpid()
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), STDERR)
    if sys.platform == "linux":
        _perturb_memory()
        _limit(trial.limit_cpu_s)
    use_threads(trial.threads)
    error = gradient_error(trial.layer, trial.layout)
    if not error <= trial.largest_error:
        raise ResourceError(
            f"{error:.2g} off",
            where=_shape(trial.layer),
            expected=f"{trial.largest_error:g} at most",
            remedy="train in float32",
        )
    return os.getpid()


def _shape(layer: Layer) -> str:
    return " x ".join(map(str, layer.shape))


def _perturb_memory() -> None:
    """Fill new memory of this process with a pattern that no right result depends on."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_PERTURB, 1)


def _limit(cpu_s: int) -> None:
    """Let the system end this process when it has computed so much longer, and leave no core where it dies."""
    import resource  # Windows has none

    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    end = ceil(time.process_time()) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (end if most == resource.RLIM_INFINITY else min(end, most), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
