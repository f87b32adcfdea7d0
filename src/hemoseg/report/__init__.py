"""Results for people and programs: report.json, self-contained pages and their pictures.

Names are loaded on first use: a command that draws nothing pays nothing for Pillow, Jinja or matplotlib.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "BRAIN_WINDOW": "hemoseg.report.figures",
    "CaseRow": "hemoseg.report.run_model",
    "ClassFacts": "hemoseg.report.run_model",
    "DataFacts": "hemoseg.report.run_model",
    "Failures": "hemoseg.report.run_model",
    "FoldPart": "hemoseg.report.run_model",
    "Overlay": "hemoseg.report.run",
    "PlanRow": "hemoseg.report.run_model",
    "RESEARCH_USE_ONLY": "hemoseg.report.findings",
    "RunPictures": "hemoseg.report.run",
    "RunReport": "hemoseg.report.run_model",
    "ScanBin": "hemoseg.report.run_model",
    "check_target": "hemoseg.report.scan",
    "curves_png": "hemoseg.report.curves",
    "dataset_png": "hemoseg.report.histograms",
    "data_uri": "hemoseg.report.html",
    "montage_png": "hemoseg.report.figures",
    "provenance": "hemoseg.report.findings",
    "render": "hemoseg.report.html",
    "result_json": "hemoseg.report.findings",
    "versions": "hemoseg.report.findings",
    "write_result": "hemoseg.report.scan",
    "write_run_report": "hemoseg.report.run",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hemoseg.report' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
