"""Prepared cases on disk, and the patches that training draws from them."""

from hemoseg.data.sampler import Batch, Draw, Sampler, apply_draw
from hemoseg.data.store import CaseRecord, StoredCase, is_current, open_case, write_case, write_previous

__all__ = [
    "Batch",
    "CaseRecord",
    "Draw",
    "Sampler",
    "StoredCase",
    "apply_draw",
    "is_current",
    "open_case",
    "write_case",
    "write_previous",
]
