"""nnU-Net's non-zero mask: what is not 0 in any channel, with its holes filled."""

import numpy as np

from hemoseg.arrays import Float32, Int64
from hemoseg.preprocess.maps import span
from hemoseg.types import Mask

Box = tuple[slice, slice, slice]
Stack = Float32[np.ndarray, "c z y x"]
"""Channels of one volume, axes (c, z, y, x)."""
Places = Int64[np.ndarray, "3 n"]
"""Indices (z, y, x) of voxels, one column each."""
FEW = 0.01
"""Share of the volume up to which zeros are followed voxel by voxel; more are found faster as components."""


def outside_mask(stack: Stack) -> Mask | None:
    """Voxels that are 0 in all channels and connected, through faces of such voxels, to the border; None if none is.

    A hole of the non-zero mask is a component of zeros that does not touch the border, so no morphology is needed. In
    CT, where air is not 0, zeros at the border are single voxels, and most of the volume is not even looked at.
    """
    front = _zeros_of_border(stack)
    if not front.size:
        return None
    outside = np.zeros(stack.shape[1:], dtype=bool)
    found, most = 0, FEW * outside.size
    while front.size:
        outside[tuple(front)] = True
        found += front.shape[1]
        if found > most:
            return _components(stack)
        front = _zero_neighbors(stack, front, outside)
    return outside


def inside_box(outside: Mask) -> Box:
    """The bounding box of what is not outside; the whole volume if all is."""
    if outside.all():
        z, y, x = (slice(0, size) for size in outside.shape)
        return z, y, x
    z, y, x = (span(~np.all(outside, axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return z, y, x


def _zeros_of_border(stack: Stack) -> Places:
    found = []
    for axis in range(3):
        for end in (0, stack.shape[axis + 1] - 1):
            face = np.nonzero((stack.take(end, axis=axis + 1) == 0).all(axis=0))
            found.append(np.insert(np.stack(face), axis, end, axis=0))
    return np.unique(np.concatenate(found, axis=1), axis=1)


def _zero_neighbors(stack: Stack, front: Places, known: Mask) -> Int64[np.ndarray, "3 m"]:
    """Voxels that share a face with those of the front, are 0 in all channels, and are not known yet."""
    steps = np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
    near = (front[:, None, :] + steps.T[:, :, None]).reshape(3, -1)
    sizes = np.array(known.shape)[:, None]
    near = near[:, ((near >= 0) & (near < sizes)).all(axis=0)]
    near = near[:, ~known[tuple(near)]]
    near = near[:, (stack[:, near[0], near[1], near[2]] == 0).all(axis=0)]
    return np.unique(near, axis=1)


def _components(stack: Stack) -> Mask:
    """The same by numbering all components of zeros."""
    from scipy import ndimage

    zero = stack[0] == 0
    for channel in stack[1:]:
        zero &= channel == 0
    numbered, count = ndimage.label(zero)
    touching = np.zeros(count + 1, dtype=bool)
    for axis in range(3):
        for end in (0, -1):
            touching[np.unique(numbered.take(end, axis=axis))] = True
    touching[0] = False
    outside: Mask = touching[numbered]
    return outside
