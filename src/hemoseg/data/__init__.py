"""Prepared cases on disk, and the patches that training draws from them."""

from hemoseg.data.sampler import Batch, Draw, Sampler, apply_draw
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
    "Batch",
    "CaseRecord",
    "Draw",
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
