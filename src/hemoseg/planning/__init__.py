"""Decisions: fingerprint, settings and device timing in, plan out. Pure; no file is touched."""

from hemoseg.datasets import CaseFacts
from hemoseg.planning.device import DeviceTiming, StepTiming
from hemoseg.planning.fingerprint import Fingerprint, LesionSizes, make_fingerprint
from hemoseg.planning.headct import candidates, folds_of
from hemoseg.planning.methods import methods_text
from hemoseg.planning.planner import make_plan

__all__ = [
    "CaseFacts",
    "DeviceTiming",
    "Fingerprint",
    "LesionSizes",
    "StepTiming",
    "candidates",
    "folds_of",
    "make_fingerprint",
    "make_plan",
    "methods_text",
]
