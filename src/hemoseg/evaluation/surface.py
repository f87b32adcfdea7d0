"""Distances between the surfaces of two masks, and the metrics made from them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from hemoseg.arrays import Bool, Float64, UInt8
from hemoseg.evaluation.elements import element_areas
from hemoseg.types import FloatZYX, Mask

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDistances:
    """The surface elements of two masks: how large, and how far from the other surface.

    An element sits at the center of a 2x2x2 neighborhood of voxels that lies partly inside the mask.
    """

    reference_mm: Float64[np.ndarray, " r"]
    """Distance of each element of the reference from the nearest of the prediction; infinite if none."""
    reference_mm2: Float64[np.ndarray, " r"]
    """Area of each element of the reference."""
    prediction_mm: Float64[np.ndarray, " p"]
    """Distance of each element of the prediction from the nearest of the reference; infinite if none."""
    prediction_mm2: Float64[np.ndarray, " p"]
    """Area of each element of the prediction."""


def measure_surface_distances(reference: Mask, prediction: Mask, *, spacing_mm: FloatZYX) -> SurfaceDistances:
    """The surface elements of both masks with their areas and their distances from each other.

    What lies outside the array is outside the masks, so a mask that touches the border is closed there.

    Args:
        reference: axes (z, y, x).
        prediction: on the same grid.
        spacing_mm: distance of voxel centers along (z, y, x). Axes are taken as perpendicular: on a
            sheared grid distances are those of the grid with its shear undone.

    Source:
        Nikolov et al., J. Med. Internet Res. 23:e26151 (2021), doi:10.2196/26151. Equal to the numbers
        of the package `surface-distance` 0.1.
    """
    box = _joint_box(reference, prediction)
    codes = _neighbor_codes(reference[box]), _neighbor_codes(prediction[box])
    surfaces = tuple((code != 0) & (code != 255) for code in codes)
    areas_mm2 = element_areas(spacing_mm)
    return SurfaceDistances(
        reference_mm=_distances(surfaces[0], surfaces[1], spacing_mm),
        reference_mm2=areas_mm2[codes[0][surfaces[0]]],
        prediction_mm=_distances(surfaces[1], surfaces[0], spacing_mm),
        prediction_mm2=areas_mm2[codes[1][surfaces[1]]],
    )


def nsd(distances: SurfaceDistances, *, tolerance_mm: float, both_empty: Literal["one", "nan"]) -> float:
    """Normalized surface distance: the share of both surfaces that lies near the other one, in [0, 1].

    The area of all elements no further than the tolerance from the other surface, over the area of all
    elements; 0 if one mask alone is empty.

    Args:
        distances: the surface elements of both masks.
        tolerance_mm: distance up to which an element counts as near, inclusive. Below one pixel, a shift
            by one pixel is punished hard: a value means nothing without its tolerance.
        both_empty: score when both masks are empty.

    Source:
        Nikolov et al., J. Med. Internet Res. 23:e26151 (2021), doi:10.2196/26151; there "surface DSC".
    """
    total = float(distances.reference_mm2.sum() + distances.prediction_mm2.sum())
    if total == 0:
        return 1.0 if both_empty == "one" else float("nan")
    near = (
        distances.reference_mm2[distances.reference_mm <= tolerance_mm].sum()
        + distances.prediction_mm2[distances.prediction_mm <= tolerance_mm].sum()
    )
    return float(near) / total


def _joint_box(reference: Mask, prediction: Mask) -> Box:
    """The bounding box of both masks together; an empty box if both are empty."""
    either = reference | prediction
    parts = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(either.any(axis=others))
        parts.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0))
    return parts[0], parts[1], parts[2]


def _neighbor_codes(mask: Mask) -> UInt8[np.ndarray, "zc yc xc"]:
    """Codes of the cells between voxels, those beyond the border included: one more along each axis."""
    padded = np.pad(mask, 1).astype(np.uint8)
    z, y, x = (size + 1 for size in mask.shape)
    codes = np.zeros((z, y, x), dtype=np.uint8)
    for corner in range(8):
        dz, dy, dx = corner >> 2 & 1, corner >> 1 & 1, corner & 1
        codes |= padded[dz : dz + z, dy : dy + y, dx : dx + x] << np.uint8(corner)
    return codes


def _distances(
    start: Bool[np.ndarray, "zc yc xc"], target: Bool[np.ndarray, "zc yc xc"], spacing_mm: FloatZYX
) -> Float64[np.ndarray, " n"]:
    """Distance in mm of each point of `start`, in the order of the array, from the nearest of `target`."""
    points = np.nonzero(start)
    if not target.any():
        return np.full(len(points[0]), np.inf)
    # Indices instead of distances: a sixth of the memory, and only the few surface points are measured.
    nearest = ndimage.distance_transform_edt(~target, sampling=spacing_mm, return_distances=False, return_indices=True)
    offsets_mm = [(nearest[axis][points] - points[axis]) * spacing for axis, spacing in enumerate(spacing_mm)]
    distances: Float64[np.ndarray, " n"] = np.sqrt(sum(offset**2 for offset in offsets_mm))
    return distances
