"""Imports in a line, and a look at what they made."""

from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.datasets import DatasetSources, read_sources
from hemoseg.datasets.importers import ImportRequest
from hemoseg.io import read_labels
from hemoseg.pipeline import Silent
from hemoseg.pipeline.imports import Built, import_stage


def bring(kind: str, source: Path, target: Path, **others: Any) -> Built:
    return import_stage(ImportRequest(format=kind, source=source, **others), target, Silent())


def labels_of(root: Path, name: str, ending: str = ".nii.gz", part: str = "labelsTr") -> np.ndarray[Any, Any]:
    return read_labels(root / part / f"{name}{ending}")[0]


def record_of(root: Path) -> DatasetSources:
    record = read_sources(root)
    assert record is not None
    return record


def is_linked(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino
