"""Where in a scan the brain can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from hemoseg.anatomy import HEAD_ABOVE_HU, head_box
from hemoseg.arrays import Bool, Int64, Real
from hemoseg.geometry import Orientation, Volume
from hemoseg.types import FloatZYX, IntZYX, Mask

CELL_MM = 1.5
"""Length of a cell: fine enough for the skull, and a scan has few of them."""
BONE_HU = 150.0
"""Voxels above this are bone: blood reaches 100 HU, and partial volume of thin bone falls below."""
CLIPPED_HU = 160.0
"""A scan without values above this was clipped to a window: there bone is what lies at the upper end."""
NEAR_TOP_HU = 10.0
"""How far below the upper end of a clipped scan bone may lie, for noise."""
GAP_MM = 6.0
"""Gaps in the bone up to this wide are closed: sutures, and holes of drains."""
ENCLOSED_SHARE = 0.5
"""Least share of a slice's head that bone encloses if the slice tells where the brain is."""
TELLING_SLICES = 0.25
"""Least share of the head's slices that tell; of fewer nothing is concluded."""
MARGIN_MM = 8.0
"""What is added around the bone within a slice that tells."""
AROUND_MM = 20.0
"""What is added around all of them for the slices that do not: heads are tilted."""
ACROSS_MM = 5.0
"""How far the region of a slice reaches into its neighbors; always into the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrainRegion:
    """Where the brain can be, with the bone around it; rather too much than too little."""

    mask: Mask
    """Cells of one or more voxels, axes (z, y, x) in canonical order; none is set where the scan shows no head."""
    cell: IntZYX
    """Voxels of a cell along these axes; the last cell of an axis may have fewer."""
    shape: IntZYX
    """Voxels of the scan along these axes."""
    orientation: Orientation
    """From the scan's own axes to these."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no head."""
        return not self.mask.any()

    def at(self, places: Sequence[Int64[np.ndarray, " _"]]) -> Mask:
        """The region at the voxels that lists of indices along the scan's own axes span; axes as stored."""
        axes, indices = self.orientation.axes, []
        for axis, flip, size, length in zip(axes, self.orientation.flips, self.shape, self.cell, strict=True):
            index = size - 1 - places[axis] if flip else places[axis]
            indices.append(index // length)
        found: Mask = self.mask[np.ix_(*indices)].transpose([axes.index(axis) for axis in range(3)])
        return found


def find_brain(volume: Volume) -> BrainRegion:
    """Where the brain can be.

    An axial slice tells it if bone, with its gaps closed, encloses half of the head or more: then it is what lies
    within, the bone, and a margin. In other slices, at the base of the skull, near the vertex or where a piece of
    bone is missing, it is the rectangle around all that the telling slices have, with a wider margin. Where few
    slices tell it is the head's box, and nothing where there is no head.
    """
    orientation = volume.grid.canonical_orientation()
    hu, grid = orientation.apply(volume.hu), volume.grid.reoriented(orientation)
    z, y, x = (max(1, round(CELL_MM / step)) for step in grid.spacing_mm)
    coarse = np.ascontiguousarray(hu[::z, ::y, ::x])
    mask = np.zeros(coarse.shape, dtype=bool)
    if (coarse > HEAD_ABOVE_HU).any():
        size_mm = (z * grid.spacing_mm[0], y * grid.spacing_mm[1], x * grid.spacing_mm[2])
        box = head_box(coarse)
        mask[box] = _within_head(coarse[box], size_mm)
        mask = _spread_across(mask, max(1, ceil(ACROSS_MM / size_mm[0])))
    return BrainRegion(mask=mask, cell=(z, y, x), shape=grid.shape, orientation=orientation)


def _within_head(hu: Real[np.ndarray, "z y x"], size_mm: FloatZYX) -> Mask:
    """The region within the head's box, which is all of it where too few slices tell."""
    from scipy import ndimage

    top = float(hu.max())
    bone = hu > (BONE_HU if top > CLIPPED_HU else top - NEAR_TOP_HU)
    gap, margin = (_cells(length_mm, min(size_mm[1:])) for length_mm in (GAP_MM / 2, MARGIN_MM))
    found = [_enclosed(one, head, gap=gap) for one, head in zip(bone, hu > HEAD_ABOVE_HU, strict=True)]
    telling = [one for one in found if one is not None]
    region = np.ones(hu.shape, dtype=bool)
    if len(telling) < TELLING_SLICES * len(found):
        return region
    union = np.any(telling, axis=0)
    y, x = (_widened(union.any(axis=1 - axis), _cells(AROUND_MM, size_mm[axis + 1])) for axis in (0, 1))
    region[:] = False
    for plane, one in zip(region, found, strict=True):
        if one is None:
            plane[y, x] = True
        else:
            ndimage.binary_dilation(one, iterations=margin, output=plane)
    return region


def _enclosed(
    bone: Bool[np.ndarray, "y x"], head: Bool[np.ndarray, "y x"], *, gap: int
) -> Bool[np.ndarray, "y x"] | None:
    """What bone encloses, with the bone; None where that is less than half of the head."""
    from scipy import ndimage

    closed = np.pad(ndimage.binary_dilation(bone, iterations=gap), 1)
    numbers, _ = ndimage.label(~closed)
    inside = numbers[1:-1, 1:-1] != numbers[0, 0]
    enclosed = int((inside & ~closed[1:-1, 1:-1]).sum())
    return inside if enclosed >= ENCLOSED_SHARE * max(1, int(head.sum())) else None


def _cells(length_mm: float, size_mm: float) -> int:
    return max(1, ceil(length_mm / size_mm))


def _widened(marks: Bool[np.ndarray, " n"], count: int) -> slice:
    places = np.flatnonzero(marks)
    return slice(max(0, int(places[0]) - count), int(places[-1]) + 1 + count)


def _spread_across(mask: Mask, reach: int) -> Mask:
    """The mask with each slice's region in its neighbors too."""
    spread = mask.copy()
    for step in range(1, reach + 1):
        spread[step:] |= mask[:-step]
        spread[:-step] |= mask[step:]
    return spread
