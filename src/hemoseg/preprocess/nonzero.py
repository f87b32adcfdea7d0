"""nnU-Net's non-zero mask: what is not 0 in any channel, with its holes filled."""

import numpy as np
from jaxtyping import Float32

from hemoseg.preprocess.maps import span
from hemoseg.types import Mask

Box = tuple[slice, slice, slice]


def outside_mask(stack: Float32[np.ndarray, "c z y x"]) -> Mask | None:
    """Voxels that are 0 in all channels and connected, through faces of such voxels, to the border; None if none is.

    A hole of the non-zero mask is a component of zeros that does not touch the border, so no morphology is needed,
    and nothing at all where no voxel of the border is 0, as in CT, where air is not.
    """
    if not any((border == 0).all(axis=0).any() for border in _borders(stack)):
        return None
    from scipy import ndimage

    zero = stack[0] == 0
    for channel in stack[1:]:
        zero &= channel == 0
    numbered, count = ndimage.label(zero)
    touching = np.zeros(count + 1, dtype=bool)
    for border in _borders(numbered):
        touching[np.unique(border)] = True
    touching[0] = False
    outside: Mask = touching[numbered]
    return outside


def inside_box(outside: Mask) -> Box:
    """The bounding box of what is not outside; the whole volume if all is."""
    if outside.all():
        z, y, x = (slice(0, size) for size in outside.shape)
        return z, y, x
    z, y, x = (span(~np.all(outside, axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return z, y, x


def _borders(array: np.ndarray) -> list[np.ndarray]:
    """The six faces of the last three axes."""
    ends = (0, -1)
    return [array.take(end, axis=axis) for axis in (-3, -2, -1) for end in ends]
