"""Decisions: fingerprint, settings and device timing in, plan out. Pure; no file is touched."""

from hemoseg.planning.case_facts import CaseFacts, measure_case
from hemoseg.planning.device import DeviceTiming, StepTiming
from hemoseg.planning.fingerprint import Fingerprint, LesionSizes, make_fingerprint
from hemoseg.planning.headct import candidates, folds_of
from hemoseg.planning.intensity import Histogram
from hemoseg.planning.methods import methods_text
from hemoseg.planning.planner import make_plan

__all__ = [
    "CaseFacts",
    "DeviceTiming",
    "Fingerprint",
    "Histogram",
    "LesionSizes",
    "StepTiming",
    "candidates",
    "folds_of",
    "make_fingerprint",
    "make_plan",
    "measure_case",
    "methods_text",
]
