"""Decisions: fingerprint, settings and device timing in, plan out. Pure; no file is touched."""

from hemoseg.planning.device import DeviceTiming, StepTiming
from hemoseg.planning.fingerprint import CaseFacts, Fingerprint, measure_case
from hemoseg.planning.headct import candidates, folds_of
from hemoseg.planning.methods import methods_text
from hemoseg.planning.planner import make_plan

__all__ = [
    "CaseFacts",
    "DeviceTiming",
    "Fingerprint",
    "StepTiming",
    "candidates",
    "folds_of",
    "make_plan",
    "measure_case",
    "methods_text",
]
