"""The result of one scan as a JSON value: milliliters, lesions, warnings, where it came from."""

import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from hemoseg import __version__
from hemoseg.geometry import Volume
from hemoseg.segmentation import Doubt, Lesion, Segmentation, VolumeInterval

STAGES = ("start", "read", "prepare", "network", "restore", "write")
"""Stages of segmenting one scan, in their order."""
RESEARCH_USE_ONLY = "Research use only. Not a medical device. Not for diagnosis."
"""Stands in every result."""
NOTHING_FOUND = "no hemorrhage was segmented; this does not exclude one"
"""Warning of a result without a bleeding voxel."""
LISTED = 1000
"""Lesions that a report lists: masks of real bleeds have fewer; a million, as noise has, would take gigabytes."""


def result_json(segmentation: Segmentation, *, seconds: dict[str, float], provenance: dict[str, Any]) -> dict[str, Any]:
    """The value of report.json; its keys are a contract.

    Args:
        segmentation: the result.
        seconds: time in s by stage; added to the segmentation's own and stronger where both know one.
        provenance: see the function `provenance`.

    Returns:
        Strict JSON: ml rounded to 0.001, mm to 0.01, s to 0.001. A stage that nobody measured is null.
    """
    volumes = segmentation.volume_ml
    lesions, count = segmentation.largest_lesions(LISTED)
    warnings = gather_warnings(segmentation)
    if count > LISTED:
        warnings = (*warnings, f"{count} separate lesions, as in noise; the report lists the {LISTED} largest")
    spent = {**segmentation.seconds, **seconds}
    return {
        "volume_ml": {name: round(value, 3) for name, value in volumes.items()},
        "hemorrhage_ml": round(segmentation.hemorrhage_ml, 3),
        "interval": _interval_json(segmentation),
        "doubt": _doubt_json(segmentation.doubt),
        "lesion_count": count,
        "lesions": [_lesion_json(lesion) for lesion in lesions],
        "model": asdict(segmentation.model),
        "warnings": list(warnings),
        "seconds": {stage: round(spent[stage], 3) if stage in spent else None for stage in STAGES},
        "provenance": provenance,
    }


def gather_warnings(segmentation: Segmentation) -> tuple[str, ...]:
    """What a reader must know: doubts about the scan, the classes and the result; each once."""
    bleeding = segmentation.table.bleeding
    found = bool(bleeding) and bool(segmentation.table.mask(segmentation.labels, *bleeding).any())
    warnings = (
        *(() if found else (NOTHING_FOUND,)),
        *segmentation.volume.warnings,
        *segmentation.warnings,
        *segmentation.table.warnings(),
    )
    return tuple(dict.fromkeys(warnings))


def provenance(volume: Volume) -> dict[str, Any]:
    """Where a result comes from: software, machine, source by its hash, date.

    Holds no path and no name of a person, machine or file.
    """
    return {
        "research_use_only": RESEARCH_USE_ONLY,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": versions(),
        "platform": platform.platform(),
        "source": {
            "sha256": volume.sha256,
            "shape_zyx": list(volume.grid.shape),
            "spacing_zyx_mm": [round(value, 4) for value in volume.grid.spacing_mm],
        },
    }


def versions() -> dict[str, str]:
    """Versions of hemoseg and of what its numbers depend on."""
    return {
        "hemoseg": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "openvino": _installed("openvino"),
        "torch": _installed("torch"),
    }


def _interval_json(segmentation: Segmentation) -> dict[str, Any]:
    """Intervals around the volumes with what they rest on; nulls and a note where there are none."""
    found = segmentation.intervals
    return {
        "level": None if found is None else found.level,
        "volume_ml": {
            name: None if found is None else _ends(found.volume_ml[name]) for name in segmentation.table.members
        },
        "hemorrhage_ml": None if found is None else _ends(found.hemorrhage_ml),
        "scans": None if found is None else found.scans,
        "patients": None if found is None else found.patients,
        "calibrated_on": None if found is None else found.calibrated_on,
        "note": segmentation.no_intervals if found is None else None,
    }


def _doubt_json(doubt: Doubt | None) -> dict[str, Any] | None:
    """How sure the networks are, before any rule."""
    if doubt is None:
        return None
    peak = doubt.peak
    return {
        "classes": {
            name: {
                "largest_probability": round(one.largest_probability, 4),
                "expected_ml": round(one.expected_ml, 3),
                "doubtful_ml": round(one.doubtful_ml, 3),
            }
            for name, one in doubt.classes.items()
        },
        "peak": None
        if peak is None
        else {
            "probability": round(peak.probability, 4),
            "center_mm": [round(value, 2) for value in peak.center_mm],
            "slice": peak.slice,
        },
        "lower": {"probability": doubt.lower, "ml": round(doubt.lower_ml, 3)},
        "members": doubt.members,
        "disagreement_ml": None if doubt.disagreement_ml is None else round(doubt.disagreement_ml, 3),
    }


def _ends(interval: VolumeInterval | None) -> list[float] | None:
    return None if interval is None else [round(interval.low_ml, 3), round(interval.high_ml, 3)]


def _lesion_json(lesion: Lesion) -> dict[str, Any]:
    return {
        "class": lesion.class_name,
        "volume_ml": round(lesion.volume_ml, 3),
        "centroid_mm": [round(value, 2) for value in lesion.centroid_mm],
        "slices": list(lesion.slices),
    }


def _installed(package: str) -> str:
    """Version of a package, found without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
