"""Training: one network of a plan on one fold."""

from hemoseg.training.execution import default_layout
from hemoseg.training.loop import Choices, Progress, train
from hemoseg.training.timing import WARM_UP, compute_threads, measure_step_seconds, supports_bf16

__all__ = [
    "WARM_UP",
    "Choices",
    "Progress",
    "compute_threads",
    "default_layout",
    "measure_step_seconds",
    "supports_bf16",
    "train",
]
