"""Where a prepared grid lies in its scan: every step that moves voxels adds to it, and the way back is one map."""

from dataclasses import dataclass
from math import ceil, floor

from hemoseg.preprocess.maps import AxisMap
from hemoseg.types import FloatZYX, IntZYX

Box = tuple[slice, slice, slice]
ROUNDING = 1e-6
"""Positions in voxels that differ by less are the same but for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A grid whose axes run along those of a source grid: sample i covers low + i · scale to low + (i + 1) · scale."""

    source_shape: IntZYX
    """Voxels of the source grid, axes in its own order."""
    axes: IntZYX
    """For each axis, the axis of the source that it runs along."""
    shape: IntZYX
    """Voxels along each axis."""
    low: FloatZYX
    """Where each axis begins, in source voxels."""
    scale: FloatZYX
    """Length of a voxel along each axis, in source voxels."""

    @classmethod
    def of(cls, shape: IntZYX) -> "Frame":
        """The source grid itself."""
        return cls(source_shape=shape, axes=(0, 1, 2), shape=shape, low=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0))

    def cropped(self, box: Box) -> "Frame":
        """After cutting a box."""
        low = [at + part.start * step for at, part, step in zip(self.low, box, self.scale, strict=True)]
        shape = [part.stop - part.start for part in box]
        return self._with(shape=_ints(shape), low=_floats(low))

    def scaled(self, shape: IntZYX, ratios: FloatZYX) -> "Frame":
        """After resampling to `shape` voxels, each `ratios` of the present ones long."""
        scale = [step * ratio for step, ratio in zip(self.scale, ratios, strict=True)]
        return self._with(shape=shape, scale=_floats(scale))

    def transposed(self, axes: IntZYX) -> "Frame":
        """After taking the axes in another order."""
        return Frame(
            source_shape=self.source_shape,
            axes=_ints([self.axes[axis] for axis in axes]),
            shape=_ints([self.shape[axis] for axis in axes]),
            low=_floats([self.low[axis] for axis in axes]),
            scale=_floats([self.scale[axis] for axis in axes]),
        )

    def kept(self) -> Box:
        """The source voxels, along this frame's axes, whose centers lie in the grid."""
        parts = []
        for axis, at, step, count in zip(self.axes, self.low, self.scale, self.shape, strict=True):
            first = max(0, ceil(at - 0.5 - ROUNDING))
            last = min(self.source_shape[axis], floor(at + step * count - 0.5 + ROUNDING) + 1)
            parts.append(slice(first, max(first, last)))
        return parts[0], parts[1], parts[2]

    def back(self) -> tuple[AxisMap, AxisMap, AxisMap]:
        """For each axis, the way from this grid to the source voxels that are kept."""
        ways = []
        for part, at, step, count in zip(self.kept(), self.low, self.scale, self.shape, strict=True):
            same = AxisMap.same_extent(count, part.stop - part.start)
            low, ratio = (part.start - at) / step, 1 / step
            is_same = abs(low) < ROUNDING and abs(ratio - same.ratio) * count < ROUNDING
            ways.append(same if is_same else AxisMap(size=count, new_size=same.new_size, low=low, ratio=ratio))
        return ways[0], ways[1], ways[2]

    def _with(self, *, shape: IntZYX, low: FloatZYX | None = None, scale: FloatZYX | None = None) -> "Frame":
        return Frame(
            source_shape=self.source_shape,
            axes=self.axes,
            shape=shape,
            low=self.low if low is None else low,
            scale=self.scale if scale is None else scale,
        )


def _ints(values: list[int]) -> IntZYX:
    z, y, x = values
    return z, y, x


def _floats(values: list[float]) -> FloatZYX:
    z, y, x = values
    return z, y, x
