"""Prepared cases on disk, and the patches that training draws from them."""

from hemoseg.data.batch import WHOLE, Batch, BatchSource, PartedSource
from hemoseg.data.nnunet_sampler import NnunetSampler, RawPatch
from hemoseg.data.patches import Draw, apply_draw
from hemoseg.data.sampler import Sampler
from hemoseg.data.store import (
    CaseRecord,
    Sliced,
    StoredCase,
    check_case,
    check_format,
    is_current,
    open_case,
    write_case,
    write_previous,
)

__all__ = [
    "WHOLE",
    "Batch",
    "BatchSource",
    "CaseRecord",
    "Draw",
    "NnunetSampler",
    "PartedSource",
    "RawPatch",
    "Sampler",
    "Sliced",
    "StoredCase",
    "apply_draw",
    "check_case",
    "check_format",
    "is_current",
    "open_case",
    "write_case",
    "write_previous",
]
