"""How a step is executed: what changes its time, and its numbers only as rounding does.

The precision is the plan's, since prediction shares it. The layout is device.json's: measured once per run, so that a
resume takes the same path to the same bits. `torch.compile` is not used: on a CPU convolutions are nine tenths of the
step and it leaves them to the same library, while compiling takes minutes (docs/lab-log.md, 2026-11-24); on CUDA it was
not measured.
"""

import torch
from torch import Tensor, nn

from hemoseg.nets.planar import take_slices
from hemoseg.plan import Layout

AXES = 5
"""Axes of what convolutions take: (b, c, z, y, x)."""
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}


def lay_out(what: Tensor, layout: Layout) -> Tensor:
    """A network's input, or one of its weights, with memory in that order; the numbers stay."""
    return what.contiguous(memory_format=FORMATS[layout]) if what.dim() == AXES else what


def lay_out_network(network: nn.Module, layout: Layout) -> None:
    """Put a network's weights in that order: convolutions pass the order on, so the whole step keeps it.

    With channels last, convolutions of single slices become two-dimensional: slices lie there as patches do.
    """
    for parameter in network.parameters():
        parameter.data = lay_out(parameter.data, layout)
    if layout == "channels_last":
        take_slices(network)


def default_layout(device: str, *, bf16: bool) -> Layout:
    """The layout where no clock is to decide: the one measured faster on the machine's kind."""
    return "channels_last" if device == "cpu" and bf16 else "contiguous"
