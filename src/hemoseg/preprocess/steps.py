"""The ways a preparation can move voxels, as they were taken for one case: JSON, to be replayed and undone.

Each step knows what becomes of a label map, how to lead one back, and where its grid lies in the one before.
What becomes of an image is `prepare.py`'s: it needs the plan, and for some steps chance.
"""

from collections.abc import Sequence
from math import prod
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hemoseg.geometry import Orientation
from hemoseg.plan import Pooling, SplineResampling
from hemoseg.preprocess.frame import Box, Frame
from hemoseg.preprocess.maps import AxisMap, average_matrix, overlap_matrix, spline_matrix
from hemoseg.preprocess.pool import block_map, pool_labels, pooled_size
from hemoseg.preprocess.resample import resample_labels, same_extent
from hemoseg.preprocess.shares import share_labels
from hemoseg.preprocess.spline import separate_axis, spline_labels
from hemoseg.types import FloatZYX, IntZYX, Labels, NewLabels

CropReason = Literal["head", "slab", "nonzero"]
"""What a box was put around."""
FROZEN = ConfigDict(frozen=True, extra="forbid")


class Turn(BaseModel):
    """Another order and direction of the axes."""

    model_config = FROZEN

    kind: Literal["turn"] = "turn"
    """Which step."""
    axes: IntZYX
    """For each axis of the result, the axis that it is taken from."""
    flips: tuple[bool, bool, bool] = (False, False, False)
    """For each axis of the result, whether it runs backward."""

    @property
    def orientation(self) -> Orientation:
        """The same as an orientation."""
        return Orientation(axes=self.axes, flips=self.flips)

    def labels(self, labels: Labels) -> NewLabels:
        """A label map after the step."""
        return self.orientation.apply(labels)

    def undo_labels(self, labels: Labels) -> NewLabels:
        """A label map before the step."""
        return self.orientation.undo(labels)

    def through(self, frame: Frame) -> Frame:
        """The frame after the step; only steps without flips lie along their source."""
        return frame.transposed(self.axes)


class Crop(BaseModel):
    """A box of the volume."""

    model_config = FROZEN

    kind: Literal["crop"] = "crop"
    """Which step."""
    to: CropReason
    """What the box was put around."""
    first: IntZYX
    """First voxel of the box."""
    stop: IntZYX
    """First voxel beyond the box."""
    before: IntZYX
    """Shape of the volume that it is cut from."""

    @classmethod
    def around(cls, box: Box, shape: IntZYX, *, to: CropReason) -> "Crop":
        """The crop to a box of a volume."""
        (z0, y0, x0), (z1, y1, x1) = ([part.start for part in box], [part.stop for part in box])
        return cls(to=to, first=(z0, y0, x0), stop=(z1, y1, x1), before=shape)

    @property
    def box(self) -> Box:
        """The box."""
        z, y, x = (slice(first, stop) for first, stop in zip(self.first, self.stop, strict=True))
        return z, y, x

    def labels(self, labels: Labels) -> NewLabels:
        """A label map after the step."""
        return labels[self.box]

    def undo_labels(self, labels: Labels) -> NewLabels:
        """A label map before the step; background beyond the box."""
        full = np.zeros(self.before, dtype=labels.dtype)
        full[self.box] = labels
        return full

    def through(self, frame: Frame) -> Frame:
        """The frame after the step."""
        return frame.cropped(self.box)


class Pool(BaseModel):
    """In-plane pooling."""

    model_config = FROZEN

    kind: Literal["pool"] = "pool"
    """Which step."""
    pooling: Pooling
    """Kind and factor."""
    before: IntZYX
    """Shape before."""

    def labels(self, labels: Labels) -> NewLabels:
        """A label map after the step: the majority, volumes kept."""
        return pool_labels(labels, self.pooling.factor)

    def undo_labels(self, labels: Labels) -> NewLabels:
        """A label map before the step: linear shares, volumes kept."""
        z, y, x = self.before
        factor = self.pooling.factor
        ways = [AxisMap.same_extent(z, z)]
        ways += [AxisMap(size=pooled_size(n, factor), new_size=n, low=0.0, ratio=1 / factor) for n in (y, x)]
        return share_labels(labels, ways, [average_matrix(way).toarray() for way in ways], keep_volume=True)

    def through(self, frame: Frame) -> Frame:
        """The frame after the step."""
        z, y, x = self.before
        factor = self.pooling.factor
        shape = (z, block_map(y, factor).new_size, block_map(x, factor).new_size)
        return frame.scaled(shape, (1.0, float(factor), float(factor)))


class SliceSpacing(BaseModel):
    """Another number of slices over the same extent."""

    model_config = FROZEN

    kind: Literal["slice-spacing"] = "slice-spacing"
    """Which step."""
    before: IntZYX
    """Shape before."""
    slices: int
    """Slices after."""

    @property
    def after(self) -> IntZYX:
        """Shape after."""
        return self.slices, self.before[1], self.before[2]

    def labels(self, labels: Labels) -> NewLabels:
        """A label map after the step: what most of a new slice covers, volumes kept."""
        return _overlapped(labels, self.after)

    def undo_labels(self, labels: Labels) -> NewLabels:
        """A label map before the step; the same as it was where every new slice lay inside an old one."""
        return _overlapped(labels, self.before)

    def through(self, frame: Frame) -> Frame:
        """The frame after the step."""
        return frame.scaled(self.after, (self.before[0] / self.slices, 1.0, 1.0))


class Average(BaseModel):
    """Another number of voxels over the same extent: averages going coarser, linear going finer."""

    model_config = FROZEN

    kind: Literal["average"] = "average"
    """Which step."""
    before: IntZYX
    """Shape before."""
    after: IntZYX
    """Shape after."""

    def labels(self, labels: Labels) -> NewLabels:
        """A label map after the step."""
        return resample_labels(labels, self.after)

    def undo_labels(self, labels: Labels) -> NewLabels:
        """A label map before the step."""
        return resample_labels(labels, self.before)

    def through(self, frame: Frame) -> Frame:
        """The frame after the step."""
        return frame.scaled(self.after, _ratios(self.before, self.after))


class SplineStep(BaseModel):
    """nnU-Net's way to another number of voxels."""

    model_config = FROZEN

    kind: Literal["spline"] = "spline"
    """Which step."""
    before: IntZYX
    """Shape before."""
    after: IntZYX
    """Shape after."""
    spacing_before_mm: FloatZYX
    """Spacing before."""
    spacing_after_mm: FloatZYX
    """Spacing after."""
    rule: SplineResampling
    """Orders of the splines."""

    def labels(self, labels: Labels) -> NewLabels:
        """A label map after the step: exactly nnU-Net's, if the rule has a spline for labels."""
        if self.rule.labels is None:
            return resample_labels(labels, self.after)
        apart = separate_axis(self.spacing_before_mm, self.spacing_after_mm, self.rule.labels.separate_z)
        return spline_labels(labels, same_extent(self.before, self.after), self.rule.labels, apart)

    def undo_labels(self, labels: Labels) -> NewLabels:
        """A label map before the step.

        After nnU-Net's rule: the nearest slice where an axis went apart, else linear shares. Volumes are kept where
        that grid is finer. Where it is coarser, the largest share is the closest inverse of nnU-Net's way there,
        which does not keep them.
        """
        if self.rule.labels is None:
            return resample_labels(labels, self.before)
        apart = separate_axis(self.spacing_before_mm, self.spacing_after_mm, self.rule.labels.separate_z)
        ways = list(same_extent(self.after, self.before))
        if apart is not None:
            labels = labels.take(ways[apart].nearest(), axis=apart)
            ways[apart] = AxisMap.same_extent(self.before[apart], self.before[apart])
        if all(way.is_identity for way in ways):
            return labels
        is_finer = prod(way.ratio for way in ways) < 1
        return share_labels(labels, ways, [spline_matrix(way, 1) for way in ways], keep_volume=is_finer)

    def through(self, frame: Frame) -> Frame:
        """The frame after the step."""
        return frame.scaled(self.after, _ratios(self.before, self.after))


Step = Annotated[Turn | Crop | Pool | SliceSpacing | Average | SplineStep, Field(discriminator="kind")]
"""One move of voxels."""


class CaseProperties(BaseModel):
    """How one case came to its prepared grid: what its arrays mean, and what leads back."""

    model_config = FROZEN

    version: Literal[1] = 1
    """Schema version."""
    source_shape: IntZYX
    """Voxels of the scan along its own axes (z, y, x)."""
    source_spacing_mm: FloatZYX
    """Spacing of the scan along the same axes, as the preparation took it."""
    steps: tuple[Step, ...]
    """The moves of voxels in order; the first turns the axes, the last resamples to the configuration's spacing."""
    shape: IntZYX
    """Voxels of the prepared grid."""
    spacing_mm: FloatZYX
    """Spacing of the prepared grid."""

    @property
    def turn(self) -> Turn:
        """The first step: from the scan's own axes to those of the preparation."""
        first = self.steps[0]
        assert isinstance(first, Turn)
        return first

    @property
    def frame(self) -> Frame:
        """Where the prepared grid lies in the scan after its first turn."""
        z, y, x = (self.source_shape[axis] for axis in self.turn.axes)
        frame = Frame.of((z, y, x))
        for step in self.steps[1:]:
            frame = step.through(frame)
        return frame


def replay_labels(labels: Labels, steps: Sequence[Step]) -> NewLabels:
    """A label map taken through the steps."""
    for step in steps:
        labels = step.labels(labels)
    return np.ascontiguousarray(labels)


def undo_steps(labels: Labels, steps: Sequence[Step]) -> NewLabels:
    """A label map led back through the steps."""
    for step in reversed(steps):
        labels = step.undo_labels(labels)
    return np.ascontiguousarray(labels)


def _overlapped(labels: Labels, shape: IntZYX) -> NewLabels:
    ways = same_extent(labels.shape, shape)
    return share_labels(labels, ways, [overlap_matrix(way) for way in ways], keep_volume=True)


def _ratios(before: IntZYX, after: IntZYX) -> FloatZYX:
    z, y, x = (old / new for old, new in zip(before, after, strict=True))
    return z, y, x
