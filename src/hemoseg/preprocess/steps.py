"""The ways a preparation can move voxels, each with its way back."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from hemoseg.geometry import Orientation
from hemoseg.preprocess.resample import resample, resample_labels
from hemoseg.types import IntZYX, LabelMap, NewLabelMap, NewStack

Stack = Float32[np.ndarray, "c z y x"]
"""Channels of one volume, axes (c, z, y, x)."""


@runtime_checkable
class Step(Protocol):
    """One move of voxels; `undo_…` leads from the result back to the grid before it."""

    def image(self, stack: Stack) -> NewStack:
        """Intensities after the step."""

    def labels(self, labels: LabelMap) -> NewLabelMap:
        """A label map after the step."""

    def undo_logits(self, logits: Stack, *, background: Float32[np.ndarray, " c"]) -> NewStack:
        """Logits before the step; `background` is taken where the step had cut voxels away."""

    def undo_labels(self, labels: LabelMap) -> NewLabelMap:
        """A label map before the step; 0 where the step had cut voxels away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Another order and direction of the axes."""

    orientation: Orientation
    """From the axes before to those after."""

    def image(self, stack: Stack) -> NewStack:
        """Intensities on the new axes."""
        return np.stack([self.orientation.apply(one) for one in stack])

    def labels(self, labels: LabelMap) -> NewLabelMap:
        """Labels on the new axes."""
        return np.ascontiguousarray(self.orientation.apply(labels))

    def undo_logits(self, logits: Stack, *, background: Float32[np.ndarray, " c"]) -> NewStack:  # noqa: ARG002
        """Logits on the old axes."""
        return np.stack([self.orientation.undo(one) for one in logits])

    def undo_labels(self, labels: LabelMap) -> NewLabelMap:
        """Labels on the old axes."""
        return np.ascontiguousarray(self.orientation.undo(labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A box of the volume."""

    box: tuple[slice, slice, slice]
    """The box, axes (z, y, x)."""
    shape: IntZYX
    """Shape of the volume that it is cut from."""

    def image(self, stack: Stack) -> NewStack:
        """Intensities in the box."""
        return np.ascontiguousarray(stack[(slice(None), *self.box)])

    def labels(self, labels: LabelMap) -> NewLabelMap:
        """Labels in the box."""
        return np.ascontiguousarray(labels[self.box])

    def undo_logits(self, logits: Stack, *, background: Float32[np.ndarray, " c"]) -> NewStack:
        """Logits of the whole volume."""
        full = np.empty((len(logits), *self.shape), dtype=np.float32)
        full[:] = background[:, None, None, None]
        full[(slice(None), *self.box)] = logits
        return full

    def undo_labels(self, labels: LabelMap) -> NewLabelMap:
        """Labels of the whole volume."""
        full = np.zeros(self.shape, dtype=np.uint8)
        full[self.box] = labels
        return full


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """Another number of voxels over the same extent: averages going coarser, linear going finer."""

    before: IntZYX
    """Voxels (z, y, x) before."""
    after: IntZYX
    """Voxels (z, y, x) after."""

    def image(self, stack: Stack) -> NewStack:
        """Intensities on the new grid."""
        return resample(stack, self.after)

    def labels(self, labels: LabelMap) -> NewLabelMap:
        """Labels on the new grid."""
        return resample_labels(labels, self.after)

    def undo_logits(self, logits: Stack, *, background: Float32[np.ndarray, " c"]) -> NewStack:  # noqa: ARG002
        """Logits on the old grid."""
        return resample(logits, self.before)

    def undo_labels(self, labels: LabelMap) -> NewLabelMap:
        """Labels on the old grid."""
        return resample_labels(labels, self.before)
