"""The plan: how scans are prepared, which networks are trained and how; one frozen model, JSON on disk.

Names are loaded on first use, since what comes before a plan needs few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemoseg.plan.intensity import Intensity
    from hemoseg.plan.model import (
        EPOCH_ITERATIONS,
        FOLDER_NAME,
        MOST_ITERATIONS,
        Basis,
        Configuration,
        ConfigurationName,
        FolderName,
        Later,
        Layout,
        NnunetNames,
        Plan,
        PlannerName,
        Precision,
        PresetName,
        Reason,
        Recipe,
        RecipeName,
        SizeZYX,
    )
    from hemoseg.plan.preparation import (
        AverageResampling,
        Channel,
        Normalization,
        Pooling,
        PoolingKind,
        Preparation,
        Resampling,
        Slab,
        Spline,
        SplineResampling,
        Window,
    )
    from hemoseg.plan.region import Region, make_table

_HOME = {
    "AverageResampling": "hemoseg.plan.preparation",
    "Basis": "hemoseg.plan.model",
    "Channel": "hemoseg.plan.preparation",
    "Configuration": "hemoseg.plan.model",
    "ConfigurationName": "hemoseg.plan.model",
    "EPOCH_ITERATIONS": "hemoseg.plan.model",
    "FOLDER_NAME": "hemoseg.plan.model",
    "FolderName": "hemoseg.plan.model",
    "Intensity": "hemoseg.plan.intensity",
    "Later": "hemoseg.plan.model",
    "Layout": "hemoseg.plan.model",
    "MOST_ITERATIONS": "hemoseg.plan.model",
    "NnunetNames": "hemoseg.plan.model",
    "Normalization": "hemoseg.plan.preparation",
    "Plan": "hemoseg.plan.model",
    "PlannerName": "hemoseg.plan.model",
    "Pooling": "hemoseg.plan.preparation",
    "PoolingKind": "hemoseg.plan.preparation",
    "Precision": "hemoseg.plan.model",
    "Preparation": "hemoseg.plan.preparation",
    "PresetName": "hemoseg.plan.model",
    "Reason": "hemoseg.plan.model",
    "Recipe": "hemoseg.plan.model",
    "RecipeName": "hemoseg.plan.model",
    "Region": "hemoseg.plan.region",
    "Resampling": "hemoseg.plan.preparation",
    "SizeZYX": "hemoseg.plan.model",
    "Slab": "hemoseg.plan.preparation",
    "Spline": "hemoseg.plan.preparation",
    "SplineResampling": "hemoseg.plan.preparation",
    "Window": "hemoseg.plan.preparation",
    "make_table": "hemoseg.plan.region",
}

__all__ = [
    "EPOCH_ITERATIONS",
    "FOLDER_NAME",
    "MOST_ITERATIONS",
    "AverageResampling",
    "Basis",
    "Channel",
    "Configuration",
    "ConfigurationName",
    "FolderName",
    "Intensity",
    "Later",
    "Layout",
    "NnunetNames",
    "Normalization",
    "Plan",
    "PlannerName",
    "Pooling",
    "PoolingKind",
    "Precision",
    "Preparation",
    "PresetName",
    "Reason",
    "Recipe",
    "RecipeName",
    "Region",
    "Resampling",
    "SizeZYX",
    "Slab",
    "Spline",
    "SplineResampling",
    "Window",
    "make_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hemoseg.plan' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
