"""How far nnU-Net v2 turns patches, and what has to be cut so that turned ones are full."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, radians, sin

import numpy as np

from hemoseg.plan import Configuration
from hemoseg.types import IntZYX

ANISOTROPIC = 3
"""Patches whose longest axis has more than this many times the voxels of z are turned in plane alone."""
OBLONG = 1.5
"""2d patches with more than this ratio of sides are turned little."""
SMALLEST_SCALE = 0.85
"""What the load size allows for; scales go down to 0.7, so that corners of shrunken patches may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The spatial part of an augmentation."""

    flat: bool
    """Whether slices are seen one by one: the network is 2d."""
    in_plane: bool
    """Whether all slices of a patch are turned alike around z (nnU-Net's dummy 2D)."""
    angle_rad: float
    """Largest angle about an axis, to either side."""
    mirror_axes: tuple[int, ...]
    """Array axes (0 z, 1 y, 2 x) along which half of the patches are mirrored."""
    load_size: IntZYX
    """Voxels (z, y, x) to cut for a patch."""


def geometry_of(configuration: Configuration) -> Geometry:
    """The geometry that nnU-Net v2 gives a configuration.

    Source: nnunetv2 2.8.1, nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size.
    """
    z, y, x = configuration.patch_size
    flat = configuration.dimensions == 2
    in_plane = not flat and max(z, y, x) / z > ANISOTROPIC
    if flat:
        degrees = 15.0 if max(y, x) / min(y, x) > OBLONG else 180.0
        load_size = (1, *turned_size((y, x), radians(degrees)))
    else:
        degrees = 180.0 if in_plane else 30.0
        load_size = turned_size((z, y, x), radians(degrees))
    return Geometry(
        flat=flat,
        in_plane=in_plane,
        angle_rad=degrees / 360 * 2 * pi,
        mirror_axes=configuration.mirror_axes,
        load_size=(z, load_size[1], load_size[2]) if in_plane else (load_size[0], load_size[1], load_size[2]),
    )


def turned_size(patch_size: Sequence[int], angle_rad: float) -> tuple[int, ...]:
    """Voxels that hold a patch turned by up to an angle about any one axis, and shrunken to 0.85.

    The patch's diagonal is turned, which need not be the extreme: nnU-Net's rule, to its rounding.

    Example:
        >>> turned_size((128, 128, 128), radians(30))
        (205, 205, 205)
        >>> turned_size((320, 256), radians(180))
        (376, 376)
    """
    angle_rad = min(pi / 2, angle_rad)
    diagonal = np.array(patch_size)
    largest = diagonal.astype(np.float64)
    for rotation in _rotations(len(patch_size), angle_rad):
        largest = np.maximum(largest, np.abs(np.dot(diagonal[None], rotation)[0]))
    return tuple(int(n) for n in largest / SMALLEST_SCALE)


def _rotations(dimensions: int, angle_rad: float) -> list[np.ndarray]:
    """Rotation matrices about each axis; the one of the plane in 2D."""
    c, s = cos(angle_rad), sin(angle_rad)
    if dimensions == 2:
        return [np.array([[c, -s], [s, c]])]
    return [
        np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    ]
