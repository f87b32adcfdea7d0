"""Exact distances from some cells of a grid to the nearest cell of a set, fast where most are near."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hemoseg.arrays import Bool, Float64, Int64, UInt8
from hemoseg.types import FloatZYX, IntZYX

COLUMN_CELLS = 64
"""Distances along a column are known up to this many cells less one; what lies further is found with a tree."""
CHUNK = 20_000
"""Candidates looked at in one step: their arrays stay in the cache."""
SAMPLE = 128
"""Most cells of a target that are looked at to find out how far its nearest may be."""
TREE_POINT, TREE_BUILD = 300, 30
"""What a tree costs for one point to find and for one to hold, in candidates looked at; decides speed alone."""
FIRST_LOOK = 48
"""Columns visited before it is asked whether a tree would be faster; asked again at four times as many."""

Points = Int64[np.ndarray, " n"]
"""Cells as flat indices into an array (z, y, x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The cells that are looked for."""

    shape: IntZYX
    """Cells along z, y, x."""
    columns: UInt8[np.ndarray, "z y x"]
    """Cells along y from each cell to the nearest of the target; `COLUMN_CELLS` if it is not nearer than that."""
    points: Points
    """The cells of the target, at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neighbors:
    """The columns around a column, by distance; and where they begin in an array with a margin of no cells."""

    z_mm2: Float64[np.ndarray, " k"]
    x_mm2: Float64[np.ndarray, " k"]
    mm2: Float64[np.ndarray, " k"]
    """Squared distance, ascending."""
    offset: Int64[np.ndarray, " k"]
    """Difference of positions in `start`."""
    start: Int64[np.ndarray, " positions"]
    """Flat index of a column's first cell, by its position with margins; the one past the array outside it."""
    margin: tuple[int, int]
    """Columns outside the array along z and x."""
    width: int
    """Positions along x."""
    reach_mm2: float
    """Square of the distance below which no candidate is missed; a column without a cell counts as one beyond it."""


def column_distances(marked: Bool[np.ndarray, "m z y x"]) -> UInt8[np.ndarray, "m z y x"]:
    """Cells along y from each cell to the nearest marked one, `COLUMN_CELLS` if that is not nearer.

    Steps of 1, 2, 4, … add up to any distance, so each distance needs its binary digits alone.
    """
    cells = np.where(marked, np.uint8(0), np.uint8(COLUMN_CELLS))
    step = 1
    while step < min(COLUMN_CELLS, cells.shape[2]):
        before, after = cells[:, :, :-step], cells[:, :, step:]
        np.minimum(after, before + np.uint8(step), out=after)
        np.minimum(before, after + np.uint8(step), out=before)
        step *= 2
    return cells


def distances_mm(points: Points, target: Target, spacing_mm: FloatZYX) -> Float64[np.ndarray, " n"]:
    """Distance in mm of each point from the nearest cell of the target.

    Columns are visited by their distance from the point's own, and a point is done as soon as the next column is
    further than the best cell found. Where many columns would have to be visited, a k-d tree takes over.

    Args:
        points: flat indices.
        target: the cells looked for.
        spacing_mm: distance of neighboring cells along (z, y, x).
    """
    best = np.full(len(points), np.inf)
    if not len(points):
        return best
    near = _neighbors(target.shape, spacing_mm)
    cells = np.append(target.columns.ravel(), np.full(target.shape[1] * target.shape[2], COLUMN_CELLS, np.uint8))
    _, rows, columns = target.shape
    z, inside = np.divmod(points, rows * columns)
    x = inside % columns
    active, mm2 = np.arange(len(points)), best
    position, in_column = (z + near.margin[0]) * near.width + x + near.margin[1], inside - x
    visited, step, look = 0, 1, FIRST_LOOK
    while len(active) and visited < len(near.mm2):
        chunk = slice(visited, visited + step)
        index = near.start.take(near.offset[chunk, None] + position)
        index += in_column
        found = cells.take(index) * spacing_mm[1]
        found *= found
        found += near.z_mm2[chunk, None]  # in this order the sum has the very bits of SciPy's distance transform
        found += near.x_mm2[chunk, None]
        mm2 = np.minimum(mm2, found.min(axis=0))
        visited += step
        is_open = mm2 > near.mm2[visited] if visited < len(near.mm2) else mm2 >= near.reach_mm2
        done, left = np.flatnonzero(~is_open), np.flatnonzero(is_open)
        best[active.take(done)] = mm2.take(done)
        active, mm2, position, in_column = (values.take(left) for values in (active, mm2, position, in_column))
        if visited >= look and len(active):
            mm2 = np.minimum(mm2, _bound_mm2(points[active], target, spacing_mm))
            if _is_tree_faster(near, mm2, visited, target):
                break
            look *= 4
        step = min(max(1, CHUNK // max(1, len(active))), max(4, visited))
    if len(active):
        best[active] = _tree_mm2(points[active], target, spacing_mm)
    mm: Float64[np.ndarray, " n"] = np.sqrt(best)
    return mm


def _is_tree_faster(near: _Neighbors, mm2: Float64[np.ndarray, " n"], visited: int, target: Target) -> bool:
    """Whether a tree finds the nearest cells sooner than the columns that may hold something nearer are visited."""
    to_visit = int((np.searchsorted(near.mm2, mm2) - visited).sum())
    return to_visit > TREE_POINT * len(mm2) + TREE_BUILD * len(target.points)


def _bound_mm2(points: Points, target: Target, spacing_mm: FloatZYX) -> Float64[np.ndarray, " n"]:
    """Squared distance of each point from the nearest of a few cells of the target, which the nearest of all is not
    beyond: it tells how far to look."""
    count = min(len(target.points), SAMPLE, max(8, CHUNK // len(points)))
    sample = target.points[np.linspace(0, len(target.points) - 1, count).astype(int)]
    parts = zip(np.unravel_index(points, target.shape), np.unravel_index(sample, target.shape), spacing_mm, strict=True)
    z, y, x = ((np.subtract.outer(there, here) * spacing) ** 2 for here, there, spacing in parts)
    mm2: Float64[np.ndarray, " n"] = (z + y + x).min(axis=0)
    return mm2


@lru_cache(maxsize=2)  # both directions between two surfaces need the same
def _neighbors(shape: IntZYX, spacing_mm: FloatZYX) -> _Neighbors:
    slices, rows, columns = shape
    reach_mm = COLUMN_CELLS * spacing_mm[1]
    z_margin, x_margin = (
        min(count - 1, int(reach_mm / spacing) + 1)
        for count, spacing in ((slices, spacing_mm[0]), (columns, spacing_mm[2]))
    )
    width = columns + 2 * x_margin
    start = np.full((slices + 2 * z_margin, width), slices * rows * columns)
    inner = np.arange(slices)[:, None] * (rows * columns) + np.arange(columns)
    start[z_margin : z_margin + slices, x_margin : x_margin + columns] = inner
    z, x = np.mgrid[-z_margin : z_margin + 1, -x_margin : x_margin + 1].reshape(2, -1)
    z_mm2, x_mm2 = (z * spacing_mm[0]) ** 2, (x * spacing_mm[2]) ** 2
    order = np.argsort(z_mm2 + x_mm2, kind="stable")
    order = order[(z_mm2 + x_mm2)[order] < reach_mm**2]
    return _Neighbors(
        z_mm2=z_mm2[order],
        x_mm2=x_mm2[order],
        mm2=(z_mm2 + x_mm2)[order],
        offset=(z * width + x)[order],
        start=start.ravel(),
        margin=(z_margin, x_margin),
        width=width,
        reach_mm2=reach_mm**2,
    )


def _tree_mm2(points: Points, target: Target, spacing_mm: FloatZYX) -> Float64[np.ndarray, " n"]:
    """Squared distances found with a k-d tree, summed as those of the columns are."""
    from scipy.spatial import cKDTree

    here, there = (np.stack(np.unravel_index(cells, target.shape), axis=1) for cells in (points, target.points))
    tree = cKDTree(there * np.array(spacing_mm), leafsize=32, compact_nodes=False, balanced_tree=False)
    _, nearest = tree.query(here * np.array(spacing_mm))
    z, y, x = (((here - there[nearest]) * np.array(spacing_mm)) ** 2).T
    mm2: Float64[np.ndarray, " n"] = z + y + x
    return mm2
