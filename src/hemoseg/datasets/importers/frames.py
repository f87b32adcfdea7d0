"""Whether a mask lies where its scan does."""

from pathlib import Path

import numpy as np

from hemoseg.datasets.read import TOLERANCE_MM
from hemoseg.errors import GeometryError
from hemoseg.geometry import Grid

AFFINE_TOLERANCE = 1e-3
"""Entries of both position matrices may differ by this much: millimeters, and millimeters per voxel."""


def check_frames(image: Grid, mask: Grid, *, where: Path, repair: bool) -> bool:
    """Make sure that scan and mask share shape and place.

    Beside the matrices' entries, corners are compared as when the data set is read: an entry that is off by a
    thousandth moves the last of 512 voxels by half a millimeter.

    Args:
        image: grid of the scan.
        mask: grid of the mask.
        where: the mask's file, for error texts.
        repair: accept another place; the mask's voxels are then those of the scan one by one.

    Returns:
        Whether the mask has to be written with the scan's place.

    Raises:
        GeometryError: the shapes differ, or the places do and are not to be repaired.
    """
    if mask.shape != image.shape:
        raise GeometryError(
            f"the mask has {mask.shape} voxels (z, y, x), the scan {image.shape}",
            where=where,
            expected="the same shape",
            remedy="look for the mask that belongs to this scan, or resample it with nearest neighbors",
        )
    entries = float(np.abs(mask.affine_lps - image.affine_lps).max())
    apart = mask.corner_distance_mm(image)
    if entries <= AFFINE_TOLERANCE and apart <= TOLERANCE_MM:
        return False
    if not repair:
        raise GeometryError(
            f"the mask's position matrix differs from the scan's by {entries:.3g}, its corners by {apart:.2f} mm",
            where=where,
            expected=f"matrices that differ by {AFFINE_TOLERANCE:g} at most, corners by {TOLERANCE_MM:g} mm",
            remedy="look at both in a viewer; if voxel lies on voxel, pass --repair-frames to use the scan's matrix",
        )
    return True
