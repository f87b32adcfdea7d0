"""Exact distances from some cells of a grid to the nearest cell of a set, fast where most are near."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hemoseg.arrays import Bool, Float64, Int64, UInt8
from hemoseg.types import FloatZYX, IntZYX

COLUMN_CELLS = 64
"""Distances along a column are known up to this many cells less one; what lies further is found with a tree."""
CHUNK, CALLS = 40_000, 8_000
"""Candidates looked at in one step: at most as many as stay in the cache, and not so few that calls cost more."""
TREE_POINT, TREE_BUILD = 300, 30
"""What a tree costs for one point to find and for one to hold, in candidates looked at; decides speed alone."""
FIRST_LOOK = 32
"""Columns visited before it is asked whether a tree would be faster; asked again at four times as many."""
WIDTHS = 16
"""Columns along x to a multiple of which a search is widened: what few widths need is made once."""

Points = Int64[np.ndarray, " _"]
"""Cells as flat indices into an array (z, y, x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neighbors:
    """The columns around a column, by distance."""

    z: Int64[np.ndarray, " k"]
    x: Int64[np.ndarray, " k"]
    """Columns away."""
    z_mm2: Float64[np.ndarray, " k"]
    x_mm2: Float64[np.ndarray, " k"]
    mm2: Float64[np.ndarray, " k+1"]
    """Squared distance, ascending; last the one below which no candidate is missed."""
    margin: int
    """The most columns away along x, at least one."""


def column_distances(marked: Bool[np.ndarray, "m z y x"]) -> UInt8[np.ndarray, "m z y x"]:
    """Cells along y from each cell to the nearest marked one, `COLUMN_CELLS` if that is not nearer.

    Steps of 1, 2, 4, … add up to any distance, so each distance needs its binary digits alone.
    """
    cells: UInt8[np.ndarray, "m z y x"] = (~marked).view(np.uint8) * np.uint8(COLUMN_CELLS)
    step = 1
    while step < min(COLUMN_CELLS, cells.shape[2]):
        further = cells + np.uint8(step)
        before, after = cells[:, :, :-step], cells[:, :, step:]
        np.minimum(after, further[:, :, :-step], out=after)
        np.minimum(before, further[:, :, step:], out=before)
        step *= 2
    return cells


def distances_mm(
    points: Sequence[Points], targets: Sequence[Points], columns: UInt8[np.ndarray, "m z y x"], spacing_mm: FloatZYX
) -> list[Float64[np.ndarray, " _"]]:
    """Distance in mm of each point from the nearest cell of its target, for m sets of points that have one each.

    Columns are visited by their distance from the point's own, and a point is done as soon as the next column is
    further than the best cell found. Where many columns would have to be visited, a k-d tree takes over. Sets are
    looked at together, for the calls cost more than the candidates of a small set.

    Args:
        points: flat indices of each set's points.
        targets: flat indices of the cells looked for by each set, at least one.
        columns: `column_distances` of each target.
        spacing_mm: distance of neighboring cells along (z, y, x).
    """
    _, slices, rows, width = columns.shape
    near = _neighbors(spacing_mm, slices, width)
    cells, position, pitch = _lay_out(points, columns, near.margin)
    offset = near.z * (rows * pitch) + near.x
    ends = np.cumsum([len(some) for some in points])
    best = np.square(cells.take(position) * spacing_mm[1])
    active = np.flatnonzero(best > near.mm2[1])
    position, mm2 = position.take(active), best.take(active)
    visited, look = 1, FIRST_LOOK
    while len(active):
        step = max(1, min(CHUNK // len(active), max(visited, CALLS // len(active))))
        chunk = slice(visited, visited + step)
        found = cells.take(offset[chunk, None] + position, mode="clip") * spacing_mm[1]
        found *= found
        found += near.z_mm2[chunk, None]  # in this order the sum has the very bits of SciPy's distance transform
        found += near.x_mm2[chunk, None]
        np.minimum(mm2, found.min(axis=0, initial=np.inf), out=mm2)
        best[active] = mm2
        visited = min(visited + step, len(offset))
        is_open = mm2 > near.mm2[visited]
        if visited >= min(look, len(offset)):
            look *= 4
            for number, part in enumerate(_parts(active, ends)):
                far = part.start + np.flatnonzero(is_open[part])
                if visited == len(offset) or _is_tree_faster(near, mm2.take(far), visited, targets[number]):
                    here = np.concatenate(points).take(active.take(far))
                    best[active.take(far)] = _tree_mm2(here, targets[number], (slices, rows, width), spacing_mm)
                    is_open[part] = False
        left = np.flatnonzero(is_open)
        active, position, mm2 = active.take(left), position.take(left), mm2.take(left)
    return np.split(np.sqrt(best, out=best), ends[:-1])


def _lay_out(
    points: Sequence[Points], columns: UInt8[np.ndarray, "m z y x"], margin: int
) -> tuple[UInt8[np.ndarray, " cells"], Points, int]:
    """All columns in one flat array with axes (z, y, m, x), the points' places in it, and its cells per y.

    There is a margin before each row of x and one cell after the last, so that places beyond the ends of a row lie in a
    margin; and so do those beyond the first or the last slice, if they are clipped.
    """
    many, slices, rows, width = columns.shape
    pitch = many * (width + margin)
    cells = np.full(slices * rows * pitch + 1, COLUMN_CELLS, dtype=np.uint8)
    cells[:-1].reshape(slices, rows, many, width + margin)[..., margin:] = columns.transpose(1, 2, 0, 3)
    first = [number * (width + margin) + margin for number in range(many)]
    places = [some + some // width * (pitch - width) + place for some, place in zip(points, first, strict=True)]
    return cells, np.concatenate(places), pitch


def _parts(active: Points, ends: Points) -> list[slice]:
    """Where the points of each set lie among the active ones."""
    stops = np.searchsorted(active, ends).tolist()
    return [slice(start, stop) for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def _is_tree_faster(near: _Neighbors, mm2: Float64[np.ndarray, " n"], visited: int, target: Points) -> bool:
    """Whether a tree finds the nearest cells sooner than the columns that may hold something nearer are visited."""
    cost = TREE_POINT * len(mm2) + TREE_BUILD * len(target)
    if len(mm2) * (len(near.mm2) - visited) <= cost:  # not even if all columns have to be
        return False
    return int((np.searchsorted(near.mm2, mm2) - visited).sum()) > cost


def _neighbors(spacing_mm: FloatZYX, slices: int, width: int) -> _Neighbors:
    """The columns within reach in an array of so many slices and columns along x, and perhaps some outside it."""
    z, x = (int(COLUMN_CELLS * spacing_mm[1] / spacing) + 1 for spacing in (spacing_mm[0], spacing_mm[2]))
    return _sort_neighbors(spacing_mm, min(slices - 1, z), min(-(-(width - 1) // WIDTHS) * WIDTHS, x))


@lru_cache(maxsize=32)
def _sort_neighbors(spacing_mm: FloatZYX, z_most: int, x_most: int) -> _Neighbors:
    z, x = np.mgrid[-z_most : z_most + 1, -x_most : x_most + 1].reshape(2, -1)
    z_mm2, x_mm2 = (z * spacing_mm[0]) ** 2, (x * spacing_mm[2]) ** 2
    reach_mm2 = (COLUMN_CELLS * spacing_mm[1]) ** 2
    order = np.argsort(z_mm2 + x_mm2, kind="stable")
    order = order[(z_mm2 + x_mm2)[order] < reach_mm2]
    return _Neighbors(
        z=z[order],
        x=x[order],
        z_mm2=z_mm2[order],
        x_mm2=x_mm2[order],
        mm2=np.append((z_mm2 + x_mm2)[order], np.nextafter(reach_mm2, 0)),
        margin=max(1, x_most),
    )


def _tree_mm2(points: Points, target: Points, shape: IntZYX, spacing_mm: FloatZYX) -> Float64[np.ndarray, " n"]:
    """Squared distances found with a k-d tree, summed as those of the columns are."""
    if not len(points):
        return np.zeros(0)
    from scipy.spatial import cKDTree

    here, there = (np.stack(np.unravel_index(cells, shape), axis=1) for cells in (points, target))
    tree = cKDTree(there * np.array(spacing_mm), leafsize=32, compact_nodes=False, balanced_tree=False)
    _, nearest = tree.query(here * np.array(spacing_mm))
    z, y, x = (((here - there[nearest]) * np.array(spacing_mm)) ** 2).T
    mm2: Float64[np.ndarray, " n"] = z + y + x
    return mm2
