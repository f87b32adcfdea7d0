"""From a scan to what a network sees, and back."""

from hemoseg.preprocess.prepare import (
    Prepared,
    network_channels,
    outside_values,
    prepare,
    prepare_labels,
    restore,
    restore_labels,
)
from hemoseg.preprocess.resample import resample, resample_labels

__all__ = [
    "Prepared",
    "network_channels",
    "outside_values",
    "prepare",
    "prepare_labels",
    "resample",
    "resample_labels",
    "restore",
    "restore_labels",
]
