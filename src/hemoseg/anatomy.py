"""Where the head is."""

import numpy as np
from scipy import ndimage

from hemoseg.components import largest_component
from hemoseg.types import HU, IntZYX

HEAD_ABOVE_HU = -10.0
"""Voxels above this are head, not air or padding. Above -20 HU, so that scans whose HU were clipped to a
brain window give the same box as true-HU scans; scalp fat falls outside, the skull does not."""


def head_box(hu: HU) -> tuple[slice, slice, slice]:
    """The bounding box of the head, axes (z, y, x); the whole volume if nothing is brighter than air.

    The largest connected component above `HEAD_ABOVE_HU` after an in-plane opening, which cuts the
    head from head holder and table.
    """
    cross = np.zeros((1, 3, 3), dtype=bool)
    cross[0, 1, :] = cross[0, :, 1] = True
    body = ndimage.binary_opening(hu > HEAD_ABOVE_HU, structure=cross)
    boxes = ndimage.find_objects(largest_component(body).astype(np.uint8))
    if not boxes:
        z, y, x = hu.shape
        return slice(0, z), slice(0, y), slice(0, x)
    box = boxes[0]
    return box[0], box[1], box[2]


def box_shape(box: tuple[slice, slice, slice]) -> IntZYX:
    """Voxels of a box along (z, y, x)."""
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x
