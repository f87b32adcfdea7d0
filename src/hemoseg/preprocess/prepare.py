"""The order of a preparation's steps, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from hemoseg.anatomy import box_shape, head_box
from hemoseg.geometry import Orientation, Volume
from hemoseg.plan import Preparation
from hemoseg.preprocess.steps import Average, Crop, Step, Turn
from hemoseg.types import FloatZYX, IntZYX, LabelMap, NewLabelMap, NewStack
from hemoseg.windows import apply_windows, hu_range

AS_STORED = Orientation(axes=(0, 1, 2), flips=(False, False, False))
TargetSpacing = tuple[float | None, float, float]
"""Spacing (z, y, x) in mm that a configuration wants; None along z keeps the scan's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One scan on the grid of a configuration, with what is needed to return."""

    image: NewStack
    """Axes (c, z, y, x): HU clamped to the windows' range, one channel, where windows come last; else channels."""
    steps: tuple[Step, ...]
    """The moves of voxels, in the order in which they were applied."""

    @property
    def shape(self) -> IntZYX:
        """Voxels along (z, y, x)."""
        _, z, y, x = self.image.shape
        return z, y, x


def prepare(volume: Volume, preparation: Preparation, spacing_mm: TargetSpacing) -> Prepared:
    """The scan as networks of a configuration see it.

    Crops come before resampling (fewer voxels to work on), and clamping before averaging: bone of 1500 HU
    averaged with brain would pass for a bleed.
    """
    canonical = preparation.orientation == "canonical"
    orientation = volume.grid.canonical_orientation() if canonical else AS_STORED
    low, high = hu_range(preparation.windows)
    clamped = np.clip(orientation.apply(volume.hu), np.float32(low), np.float32(high))
    box = head_box(clamped)
    grid = volume.grid.reoriented(orientation)
    shape = target_shape(box_shape(box), grid.rounded_spacing_mm, spacing_mm)
    z, y, x = clamped.shape
    steps: tuple[Step, ...] = (
        Turn(orientation=orientation),
        Crop(box=box, shape=(z, y, x)),
        Average(before=box_shape(box), after=shape),
    )
    image = clamped[None]
    for step in steps[1:]:
        image = step.image(image)
    return Prepared(image=image, steps=steps)


def network_channels(image: NewStack, preparation: Preparation) -> NewStack:
    """What networks see of a prepared image: its channels, made now where windows come last."""
    if preparation.windowed == "first":
        return image
    return apply_windows(image[0], preparation.channels)


def outside_values(preparation: Preparation) -> list[float]:
    """Value of each channel beyond the volume: that of air where windows come last, else 0, nnU-Net's padding."""
    if preparation.windowed == "first":
        return [0.0] * len(preparation.channels)
    return [channel.scale[0] for channel in preparation.channels]


def prepare_labels(labels: LabelMap, prepared: Prepared) -> NewLabelMap:
    """A label map of the scan, taken the same way as `prepared` went."""
    for step in prepared.steps:
        labels = step.labels(labels)
    return labels


def restore(logits: Float32[np.ndarray, "c z y x"], prepared: Prepared) -> NewLabelMap:
    """The label map on the scan's own grid: logits go back as far as voxels were resampled, then the largest wins.

    Args:
        logits: one channel per class, on the prepared grid, axes (c, z, y, x).
        prepared: the way the scan went.

    Returns:
        Class numbers, axes (z, y, x) as stored; background where the preparation had cut voxels away.
    """
    background = np.full(len(logits), -1.0, dtype=np.float32)
    background[0] = 1.0
    remaining = list(prepared.steps)
    resampled = [i for i, step in enumerate(remaining) if isinstance(step, Average)]
    while resampled and len(remaining) > resampled[0]:
        logits = remaining.pop().undo_logits(logits, background=background)
    winner: LabelMap = logits.argmax(axis=0).astype(np.uint8)
    return restore_labels(winner, remaining)


def restore_labels(labels: LabelMap, steps: Sequence[Step]) -> NewLabelMap:
    """A label map of the prepared grid on the grid before `steps`."""
    for step in reversed(steps):
        labels = step.undo_labels(labels)
    return labels


def target_shape(shape: IntZYX, spacing_mm: FloatZYX, target_mm: TargetSpacing) -> IntZYX:
    """Voxels along (z, y, x) after resampling, nnU-Net's rule: round(n · old / new), at least 1.

    Spacings come rounded to a nanometer, so that a header's rounding error decides nothing.
    """
    z, y, x = (
        n if new is None else max(1, round(n * old / round(new, 6)))
        for n, old, new in zip(shape, spacing_mm, target_mm, strict=True)
    )
    return z, y, x
