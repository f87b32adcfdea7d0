"""From a scan to what a network sees, and back."""

from hemoseg.preprocess.prepare import Prepared, prepare, prepare_labels, restore
from hemoseg.preprocess.resample import resample, resample_labels

__all__ = [
    "Prepared",
    "prepare",
    "prepare_labels",
    "resample",
    "resample_labels",
    "restore",
]
