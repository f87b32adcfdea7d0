"""Distances between the surfaces of two masks, and the metrics made from them."""

from dataclasses import dataclass
from math import gcd
from typing import Literal

import numpy as np

from hemoseg.arrays import Float64, Integer, UInt8
from hemoseg.evaluation.elements import element_areas
from hemoseg.evaluation.nearest import Points, column_distances, distances_mm
from hemoseg.types import FloatZYX, Mask

Box = tuple[slice, slice, slice]
ROUNDING = 1e-12
"""Share of a surface by which a sum of its areas may miss a percentile."""
BLOCK = 16
"""Rows of which it is found out at once whether a mask has voxels there."""
FAR = (0.5, 0.25, 0.125, 0.0625, 0.0, -1.0)
"""Shares of the largest distance from which on elements are looked at for a percentile, until their area is enough."""


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

    @property
    def sides(self) -> tuple[tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]], ...]:
        """(distances, areas) of the reference's elements and of the prediction's."""
        return (self.reference_mm, self.reference_mm2), (self.prediction_mm, self.prediction_mm2)


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
    box = joint_box(reference, prediction)
    return distances_between(_neighbor_codes(reference[box], prediction[box]), element_areas(spacing_mm), spacing_mm)


def distances_between(
    codes: UInt8[np.ndarray, "2 z y x"], areas_mm2: Float64[np.ndarray, " 256"], spacing_mm: FloatZYX
) -> SurfaceDistances:
    """The surface elements of two masks from the codes of their cells: all but 0 and 255 are elements.

    Args:
        codes: of the reference and of the prediction.
        areas_mm2: area by code.
        spacing_mm: distance of cells along (z, y, x).
    """
    points, columns = _elements(codes)
    if all(len(here) for here in points):
        mm = distances_mm(points, points[::-1], columns[::-1], spacing_mm)
    else:
        mm = [np.full(len(here), np.inf) for here in points]
    areas = [areas_mm2.take(cells.ravel().take(here)) for cells, here in zip(codes, points, strict=True)]
    return SurfaceDistances(reference_mm=mm[0], reference_mm2=areas[0], prediction_mm=mm[1], prediction_mm2=areas[1])


def _elements(codes: UInt8[np.ndarray, "2 z y x"]) -> tuple[list[Points], UInt8[np.ndarray, "2 z y x"]]:
    """The elements of both surfaces, and the distances from them along columns."""
    surfaces = codes - np.uint8(1) < 254
    return [np.flatnonzero(surface) for surface in surfaces], column_distances(surfaces)


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
    total = sum(float(mm2.sum()) for _, mm2 in distances.sides)
    if total == 0:
        return 1.0 if both_empty == "one" else float("nan")
    near = sum(float((mm2 * (mm <= tolerance_mm)).sum()) for mm, mm2 in distances.sides)
    return near / total


def hausdorff_mm(distances: SurfaceDistances, *, percent: float) -> float:
    """Hausdorff distance in mm, or its robust form: the larger of the two surfaces' percentiles of distance.

    A percentile is the smallest distance within which that share of the surface's area lies. Infinite if a
    mask is empty: there is nothing to be near to.

    Args:
        distances: the surface elements of both masks.
        percent: 100 for the Hausdorff distance, 95 for the robust one, in (0, 100].

    Source:
        Huttenlocher et al., IEEE Trans. Pattern Anal. Mach. Intell. 15:850–863 (1993), doi:10.1109/34.232073;
        by area as in the package `surface-distance`.
    """
    return max(_percentile(mm, mm2, percent) for mm, mm2 in distances.sides)


def assd_mm(distances: SurfaceDistances) -> float:
    """Average symmetric surface distance in mm: the mean over the area of both surfaces together.

    Infinite if one mask is empty, NaN if both are.

    Source:
        Heimann et al., IEEE Trans. Med. Imaging 28:1251–1265 (2009), doi:10.1109/TMI.2009.2013851; elements
        count by their area.
    """
    total = sum(float(mm2.sum()) for _, mm2 in distances.sides)
    return sum(float((mm * mm2).sum()) for mm, mm2 in distances.sides) / total if total else float("nan")


def _percentile(mm: Float64[np.ndarray, " n"], mm2: Float64[np.ndarray, " n"], percent: float) -> float:
    """The smallest distance within which that share of the area lies; of all elements only the far ones are sorted."""
    if not len(mm):
        return float("inf")
    largest = float(mm.max())
    if percent == 100 or largest in (0.0, float("inf")):  # infinite distances are infinite for all
        return largest
    total = float(mm2.sum())
    beyond = total * (1 - percent / 100 + 2 * ROUNDING)
    for share in FAR:
        far = np.flatnonzero(mm > share * largest)
        area = float(mm2[far].sum())
        if area > beyond:
            break
    far = far[np.argsort(mm[far])]
    inside = total - area + np.cumsum(mm2[far])
    reached = int(np.searchsorted(inside, total * (percent / 100 - ROUNDING)))
    return float(mm[far[min(reached, len(far) - 1)]])


def joint_box(reference: Mask, prediction: Mask) -> Box:
    """The bounding box of both masks together; an empty box if both are empty.

    Blocks of rows are looked at first, one pass over each mask; what is found out next is read from few of them.
    """
    blocks = _filled(reference) | _filled(prediction)
    z, near = (np.flatnonzero(blocks.any(axis=axis)) for axis in (1, 0))
    if not z.size:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    rows = reference.shape[1] // blocks.shape[1]
    slices, first = slice(int(z[0]), int(z[-1]) + 1), int(near[0]) * rows
    part = slices, slice(first, (int(near[-1]) + 1) * rows)
    plane = np.logical_or.reduce(reference[part], axis=0) | np.logical_or.reduce(prediction[part], axis=0)
    y, x = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    return slices, slice(first + int(y[0]), first + int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1)


def _filled(mask: Mask) -> Integer[np.ndarray, "z blocks"]:
    """Not zero where a slice has voxels in a block of rows; read as words where they fit, as fast as memory is."""
    slices, rows, columns = mask.shape
    block = gcd(rows, BLOCK)
    voxels = np.ascontiguousarray(mask).view(np.uint8).reshape(slices, rows // block, block * columns)
    words = voxels.view(np.uint64) if block * columns % 8 == 0 else voxels
    filled: Integer[np.ndarray, "z blocks"] = np.bitwise_or.reduce(words, axis=2)
    return filled


def _neighbor_codes(reference: Mask, prediction: Mask) -> UInt8[np.ndarray, "2 zc yc xc"]:
    """Codes of the cells between voxels of both masks, those beyond the border included.

    The arrays have a margin of one voxel, so that flat shifts, which run on from the end of a row to the next, meet
    zeros there: two more than voxels along each axis, the last of which is no cell and has the code 0.
    """
    z, y, x = (size + 2 for size in reference.shape)
    voxels: UInt8[np.ndarray, "2 zc yc xc"] = np.zeros((2, z, y, x), dtype=np.uint8)
    for mask, place in ((reference, voxels[0]), (prediction, voxels[1])):
        place[1:-1, 1:-1, 1:-1] = mask
    codes = voxels.ravel()
    for factor, shift in ((2, 1), (4, x), (16, y * x)):
        codes[:-shift] |= codes[shift:] * np.uint8(factor)  # NumPy shifts bytes far slower
    return voxels
