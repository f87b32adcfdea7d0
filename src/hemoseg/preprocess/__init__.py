"""From a scan to what a network sees, and back."""

from hemoseg.preprocess.back import Returned, WayBack, blank_logits, give_back, restore, restore_labels
from hemoseg.preprocess.prepare import (
    Prepared,
    network_channels,
    outside_values,
    prepare,
    prepare_cascade,
    prepare_case,
    prepare_labels,
)
from hemoseg.preprocess.resample import resample, resample_labels
from hemoseg.preprocess.stepped import Stepped, orientation_of, pre_steps
from hemoseg.preprocess.steps import CaseProperties

__all__ = [
    "CaseProperties",
    "Prepared",
    "Returned",
    "Stepped",
    "WayBack",
    "blank_logits",
    "give_back",
    "network_channels",
    "orientation_of",
    "outside_values",
    "pre_steps",
    "prepare",
    "prepare_cascade",
    "prepare_case",
    "prepare_labels",
    "resample",
    "resample_labels",
    "restore",
    "restore_labels",
]
