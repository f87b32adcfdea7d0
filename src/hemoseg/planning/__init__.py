"""Decisions: fingerprint, settings and device timing in, plan out. Pure; no file is touched.

Names are loaded on first use, since measuring a data set needs few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemoseg.datasets import CaseFacts
    from hemoseg.planning.device import DeviceTiming, StepTiming
    from hemoseg.planning.explain import explain_plan, summarize_plan
    from hemoseg.planning.fingerprint import Fingerprint, LesionSizes, make_fingerprint
    from hemoseg.planning.headct import affordable_steps, folds_of
    from hemoseg.planning.ladder import ENOUGH_ITERATIONS
    from hemoseg.planning.methods import methods_text
    from hemoseg.planning.planner import candidates, make_plan, preparation_digest
    from hemoseg.planning.presteps import SteppedCase, SteppedFacts, needs_pass, stepped_preparation
    from hemoseg.planning.probe import extrapolate_seconds, probes, voxels_of

_HOME = {
    "CaseFacts": "hemoseg.datasets",
    "DeviceTiming": "hemoseg.planning.device",
    "ENOUGH_ITERATIONS": "hemoseg.planning.ladder",
    "Fingerprint": "hemoseg.planning.fingerprint",
    "LesionSizes": "hemoseg.planning.fingerprint",
    "StepTiming": "hemoseg.planning.device",
    "SteppedCase": "hemoseg.planning.presteps",
    "SteppedFacts": "hemoseg.planning.presteps",
    "affordable_steps": "hemoseg.planning.headct",
    "candidates": "hemoseg.planning.planner",
    "explain_plan": "hemoseg.planning.explain",
    "extrapolate_seconds": "hemoseg.planning.probe",
    "folds_of": "hemoseg.planning.headct",
    "make_fingerprint": "hemoseg.planning.fingerprint",
    "make_plan": "hemoseg.planning.planner",
    "methods_text": "hemoseg.planning.methods",
    "needs_pass": "hemoseg.planning.presteps",
    "preparation_digest": "hemoseg.planning.planner",
    "probes": "hemoseg.planning.probe",
    "stepped_preparation": "hemoseg.planning.presteps",
    "summarize_plan": "hemoseg.planning.explain",
    "voxels_of": "hemoseg.planning.probe",
}

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
    "extrapolate_seconds",
    "folds_of",
    "make_fingerprint",
    "make_plan",
    "methods_text",
    "needs_pass",
    "preparation_digest",
    "probes",
    "stepped_preparation",
    "summarize_plan",
    "voxels_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hemoseg.planning' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
