"""Decisions: fingerprint, settings and device timing in, plan out. Pure; no file is touched."""

from hemoseg.datasets import CaseFacts
from hemoseg.planning.device import DeviceTiming, StepTiming
from hemoseg.planning.explain import explain_plan, summarize_plan
from hemoseg.planning.fingerprint import Fingerprint, LesionSizes, make_fingerprint
from hemoseg.planning.headct import affordable_steps, folds_of
from hemoseg.planning.ladder import ENOUGH_ITERATIONS
from hemoseg.planning.methods import methods_text
from hemoseg.planning.planner import candidates, make_plan, preparation_digest
from hemoseg.planning.presteps import SteppedCase, SteppedFacts, needs_pass, stepped_preparation

__all__ = [
    "ENOUGH_ITERATIONS",
    "CaseFacts",
    "DeviceTiming",
    "Fingerprint",
    "LesionSizes",
    "StepTiming",
    "SteppedCase",
    "SteppedFacts",
    "affordable_steps",
    "candidates",
    "explain_plan",
    "folds_of",
    "make_fingerprint",
    "make_plan",
    "methods_text",
    "needs_pass",
    "preparation_digest",
    "stepped_preparation",
    "summarize_plan",
]
