"""Hemorrhage masks, milliliters and a report from non-contrast head CT.

Research use only. Not a medical device. Names are loaded on first use, so that `import hemoseg` is instant: even the
standard library's modules wait, as until `__main__` is loaded an interrupt of the command ends in a traceback.
"""

__version__ = "0.1.0"

_HOME = {
    "Extras": "hemoseg.inference.findings",
    "Grid": "hemoseg.geometry",
    "HemosegError": "hemoseg.errors",
    "LabelTable": "hemoseg.labels",
    "Lesion": "hemoseg.segmentation",
    "Model": "hemoseg.inference.predictor",
    "Plan": "hemoseg.plan",
    "Segmentation": "hemoseg.segmentation",
    "Settings": "hemoseg.settings",
    "Volume": "hemoseg.geometry",
    "evaluate_folders": "hemoseg.evaluation",
    "load_model": "hemoseg.inference.load",
    "make_phantom": "hemoseg.phantom",
    "read_scan": "hemoseg.io",
    "run": "hemoseg.pipeline.story",
    "write_result": "hemoseg.report",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str):  # type: ignore[no-untyped-def]  # of any type, and `typing` would have to be loaded to say so
    if name not in _HOME:
        raise AttributeError(f"module 'hemoseg' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
