"""Areas of the surface elements that separate voxels: 2x2x2 neighborhoods, 256 of them."""

from functools import cache, lru_cache
from itertools import combinations

import numpy as np

from hemoseg.arrays import Float64
from hemoseg.types import FloatZYX

AXIS = {4: 0, 2: 1, 1: 2}
"""Corners of a cell are numbered 4z + 2y + x; numbers of neighbors differ in one bit. Bit: array axis."""
MOST_PIECES = 4
"""Flat pieces that the surface inside one cell has at most: four corners that are all cut apart."""


@lru_cache(maxsize=64)
def element_areas(spacing_mm: FloatZYX) -> Float64[np.ndarray, " 256"]:
    """Area in mm² of the surface inside a cell of 2x2x2 voxel centers, for each set of its corners.

    The surface runs through the middles of those edges that join a voxel of the mask with one outside,
    as in marching cubes. Where a face of the cell is ambiguous, the rarer kind of corner (mask or not) is
    cut apart; which is taken at four against four makes no difference to the area. A polygon that is not
    planar is made of the triangles that, for cubic voxels, have the largest total area. This rule gives
    the areas of the package `surface-distance` for all 256 sets.

    A flat piece whose projections onto the cell's faces have areas a, b, c has the area √(a² + b² + c²).

    Args:
        spacing_mm: distance of voxel centers along (z, y, x). Axes are taken as perpendicular.

    Returns:
        Areas in mm² by code: the sum of 2^corner over the corners inside the mask.

    Source:
        Lorensen and Cline, Comput. Graph. 21(4):163–169 (1987), doi:10.1145/37402.37422; used for
        metrics by Nikolov et al., J. Med. Internet Res. 23:e26151 (2021), doi:10.2196/26151.

    Example:
        >>> round(float(element_areas((5.0, 0.5, 0.5))[0b1111]), 9)  # four corners of one slice
        0.25
    """
    z, y, x = spacing_mm
    faces_mm2 = np.array([y * x, z * x, z * y])  # normal to z, y, x
    areas: Float64[np.ndarray, " 256"] = np.sqrt(((_projections() * faces_mm2) ** 2).sum(axis=2)).sum(axis=1)
    areas.flags.writeable = False
    return areas


@cache
def _projections() -> Float64[np.ndarray, "256 pieces 3"]:
    """For each code the pieces of surface, each as its projections in fractions of the faces (z, y, x)."""
    projections = np.zeros((256, MOST_PIECES, 3))
    for code in range(256):
        inside = {corner for corner in range(8) if code >> corner & 1}
        rarer = inside if len(inside) <= 4 else set(range(8)) - inside
        pieces = [piece for group in _connected(rarer) for piece in _cap(group)]
        for number, piece in enumerate(pieces):
            projections[code, number] = piece
    projections.flags.writeable = False
    return projections


def _connected(corners: set[int]) -> list[set[int]]:
    """The groups of corners that are joined by edges of the cell."""
    groups: list[set[int]] = []
    for corner in corners:
        near = [group for group in groups if any(corner ^ other in AXIS for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append({corner}.union(*near))
    return groups


def _cap(corners: set[int]) -> list[FloatZYX]:
    """The pieces of surface around one to four connected corners: projections in fractions of the faces."""
    edges = [(i, j) for i, j in combinations(corners, 2) if i ^ j in AXIS]
    along = {AXIS[i ^ j] for i, j in edges}
    across = set(range(3)) - along
    everything = {0, 1, 2}
    if len(edges) == 0:  # one corner: a triangle
        return [_piece(1 / 8, everything)]
    if len(edges) == 1:  # two corners: a rectangle
        return [_piece(1 / 2, across)]
    if len(edges) == 2:  # three corners: a triangle parallel to their face and an oblique trapezoid
        return [_piece(1 / 2, across), _piece(3 / 8, everything)]
    if len(edges) == 4:  # the corners of a face: a rectangle
        return [_piece(1.0, across)]
    degrees = {corner: sum(corner in edge for edge in edges) for corner in corners}
    if max(degrees.values()) == 3:  # a corner and its three neighbors: a regular hexagon
        return [_piece(3 / 4, everything)]
    # A path along all three axes: two oblique triangles that are parallel to each other (1/8 and 3/8 of
    # every face), and two triangles that are each parallel to the edge at one end of the path.
    middle = next(AXIS[i ^ j] for i, j in edges if degrees[i] == degrees[j] == 2)
    ends = everything - {middle}
    return [_piece(1 / 2, everything), *(_piece(1 / 4, {middle, end}) for end in ends)]


def _piece(fraction: float, faces: set[int]) -> FloatZYX:
    z, y, x = (fraction if axis in faces else 0.0 for axis in range(3))
    return z, y, x
