"""Training: one network of a plan on one fold."""

from hemoseg.training.distributed import ALONE, Ranks, joined
from hemoseg.training.early_stop import LOW_RATE, earliest_stop, shortest_schedule
from hemoseg.training.execution import default_layout
from hemoseg.training.halved import bf16_fault, has_amx
from hemoseg.training.loop import Choices, Progress, train
from hemoseg.training.schedule import learning_rate
from hemoseg.training.timing import WARM_UP, bf16_pays, compute_threads, measure_step_seconds, supports_bf16

__all__ = [
    "ALONE",
    "LOW_RATE",
    "WARM_UP",
    "Choices",
    "Progress",
    "Ranks",
    "bf16_fault",
    "bf16_pays",
    "compute_threads",
    "default_layout",
    "earliest_stop",
    "has_amx",
    "joined",
    "learning_rate",
    "measure_step_seconds",
    "shortest_schedule",
    "supports_bf16",
    "train",
]
