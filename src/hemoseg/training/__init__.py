"""Training: one network of a plan on one fold."""

from hemoseg.training.distributed import ALONE, Ranks, joined
from hemoseg.training.execution import default_layout
from hemoseg.training.halved import bf16_fault, has_amx
from hemoseg.training.loop import Choices, Progress, train
from hemoseg.training.timing import WARM_UP, bf16_pays, compute_threads, measure_step_seconds, supports_bf16

__all__ = [
    "ALONE",
    "WARM_UP",
    "Choices",
    "Progress",
    "Ranks",
    "bf16_fault",
    "bf16_pays",
    "compute_threads",
    "default_layout",
    "has_amx",
    "joined",
    "measure_step_seconds",
    "supports_bf16",
    "train",
]
