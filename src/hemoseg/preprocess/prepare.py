"""The order of the steps: orient, crop to the head, resample, clamp; and the way back for label maps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from hemoseg.anatomy import box_shape, head_box
from hemoseg.geometry import Orientation, Volume
from hemoseg.plan import Configuration, Plan
from hemoseg.preprocess.resample import resample, resample_labels
from hemoseg.types import HU, IntZYX, LabelMap, NewLabelMap
from hemoseg.windows import hu_range

AS_STORED = Orientation(axes=(0, 1, 2), flips=(False, False, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One scan on the grid of a configuration, with what is needed to return."""

    hu: HU
    """HU clamped to the range of the plan's windows, axes (z, y, x) in the plan's orientation."""
    orientation: Orientation
    """From the stored axes to the plan's."""
    box: tuple[slice, slice, slice]
    """Bounding box of the head in the oriented volume, axes (z, y, x)."""
    full_shape: IntZYX
    """Shape of the oriented volume before cropping."""


def prepare(volume: Volume, plan: Plan, configuration: Configuration) -> Prepared:
    """The scan as a configuration sees it.

    The crop comes before the resampling (fewer voxels to work on), and clamping before averaging:
    bone of 1500 HU averaged with brain would pass for a bleed.
    """
    canonical = plan.orientation == "canonical"
    orientation = volume.grid.canonical_orientation() if canonical else AS_STORED
    low, high = hu_range(plan.windows)
    clamped = np.clip(orientation.apply(volume.hu), np.float32(low), np.float32(high))
    box = head_box(clamped)
    grid = volume.grid.reoriented(orientation)
    shape = _target_shape(box_shape(box), grid.rounded_spacing_mm, configuration.spacing_mm)
    z, y, x = clamped.shape
    return Prepared(
        hu=resample(clamped[box], shape),
        orientation=orientation,
        box=box,
        full_shape=(z, y, x),
    )


def prepare_labels(labels: LabelMap, prepared: Prepared) -> NewLabelMap:
    """A label map of the scan, taken the same way as `prepared` went."""
    z, y, x = prepared.hu.shape
    cropped = np.ascontiguousarray(prepared.orientation.apply(labels)[prepared.box])
    return resample_labels(cropped, (z, y, x))


def restore(logits: Float32[np.ndarray, "c z y x"], prepared: Prepared) -> NewLabelMap:
    """The label map on the scan's own grid.

    Logits return by linear interpolation (or averages, where the scan is coarser), then the largest
    wins; everything outside the head's box is background.

    Args:
        logits: one channel per class, on the prepared grid, axes (c, z, y, x).
        prepared: the way the scan went.

    Returns:
        Class numbers, axes (z, y, x) as stored.
    """
    winner = resample(logits, box_shape(prepared.box)).argmax(axis=0)
    full = np.zeros(prepared.full_shape, dtype=np.uint8)
    full[prepared.box] = winner
    return np.ascontiguousarray(prepared.orientation.undo(full))


def _target_shape(
    shape: IntZYX, spacing_mm: tuple[float, float, float], target_mm: tuple[float, float, float]
) -> IntZYX:
    """Voxels along (z, y, x) after resampling, nnU-Net's rule: round(n · old / new), at least 1.

    Spacings come rounded to a nanometer, so that a header's rounding error decides nothing.
    """
    z, y, x = (max(1, round(n * old / round(new, 6))) for n, old, new in zip(shape, spacing_mm, target_mm, strict=True))
    return z, y, x
