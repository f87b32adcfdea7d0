"""What the planner knows of a data set."""

from statistics import median
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.anatomy import box_shape, head_box
from hemoseg.geometry import Volume
from hemoseg.labels import LabelTable
from hemoseg.segmentation import measure_ml
from hemoseg.types import FloatZYX, IntZYX, LabelMap

CLIP_LOW_HU, CLIP_HIGH_HU = -20.0, 100.0
"""Range in which the head is looked for: what brain windows keep, so that clipped data look the same."""

CLIPPED_ABOVE_HU = -500.0
"""Lowest HU above which a case holds no air."""


class CaseFacts(BaseModel):
    """What was measured of one case; axes (z, y, x) run to superior, posterior, left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the case."""
    patient: str
    """Whom it belongs to."""
    source_sha256: str
    """SHA-256 of image and label file, joined and hashed."""
    shape: tuple[int, int, int]
    """Voxels."""
    spacing_mm: tuple[float, float, float]
    """Distance between voxel centers."""
    head_shape: tuple[int, int, int]
    """Voxels of the head's bounding box."""
    hu_min: float
    """Smallest HU."""
    hu_max: float
    """Largest HU."""
    class_ml: dict[str, float]
    """Milliliters of each foreground class."""
    class_mean_hu: dict[str, float]
    """Mean HU of each foreground class that is present."""
    warnings: tuple[str, ...]
    """Doubts of the reader."""


class Fingerprint(BaseModel):
    """`fingerprint.json`: the data set in numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    dataset: str
    """The data set's folder."""
    dataset_name: str
    """Its name."""
    digest: str
    """Digest of the data set's index: names and sizes of its files."""
    labels: tuple[str, ...]
    """Class names by number."""
    cases: tuple[CaseFacts, ...]
    """One entry per case."""

    @property
    def spacing_mm(self) -> FloatZYX:
        """Median spacing along (z, y, x)."""
        z, y, x = (median(case.spacing_mm[axis] for case in self.cases) for axis in range(3))
        return z, y, x

    @property
    def head_mm(self) -> FloatZYX:
        """Median extent of the head's box along (z, y, x), in mm."""
        z, y, x = (median(case.head_shape[a] * case.spacing_mm[a] for case in self.cases) for a in range(3))
        return z, y, x

    @property
    def clipped_hu(self) -> tuple[float, float] | None:
        """The range of HU that the clipped cases share; None if no case was clipped.

        A case without a value below `CLIPPED_ABOVE_HU` lacks air, so its HU were clipped to a window.
        """
        clipped = [case for case in self.cases if case.hu_min > CLIPPED_ABOVE_HU]
        if not clipped:
            return None
        return max(case.hu_min for case in clipped), min(case.hu_max for case in clipped)


def measure_case(
    volume: Volume, labels: LabelMap, table: LabelTable, *, name: str, patient: str, source_sha256: str
) -> CaseFacts:
    """Measure one case. Pure."""
    orientation = volume.grid.canonical_orientation()
    grid = volume.grid.reoriented(orientation)
    clamped = np.clip(orientation.apply(volume.hu), np.float32(CLIP_LOW_HU), np.float32(CLIP_HIGH_HU))
    masks = {name: labels == number for name, number in table.foreground.items()}
    shape: IntZYX = grid.shape
    return CaseFacts(
        name=name,
        patient=patient,
        source_sha256=source_sha256,
        shape=shape,
        spacing_mm=grid.rounded_spacing_mm,
        head_shape=box_shape(head_box(clamped)),
        hu_min=float(volume.hu.min()),
        hu_max=float(volume.hu.max()),
        class_ml={name: round(measure_ml(mask, volume), 4) for name, mask in masks.items()},
        class_mean_hu={name: round(float(volume.hu[m].mean()), 2) for name, m in masks.items() if m.any()},
        warnings=volume.warnings,
    )
