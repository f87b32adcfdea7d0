"""Label maps on another grid: how much of each new voxel every class fills, and which class it gets."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hemoseg.arrays import Float32, Float64, Int64
from hemoseg.preprocess.maps import AxisMap, one_thread, span
from hemoseg.types import Labels, NewLabels

Window = tuple[slice, ...]
"""A box of a plane or volume."""
Shares = Float32[np.ndarray, "k z y x"]
"""Share of every class in each voxel."""

NEIGHBORS = 1e-3
"""Weight of the share in the 3 x 3 x 3 neighborhood: of equal voxels those amid their class go first."""
SCATTER = 1e-5
"""Weight of a fixed scattered order, which decides between voxels that are equal in all else."""
TEMPERATURES = (0.3, 0.1, 0.03, 0.01, 0.003)
"""Softness with which offsets are sought, in shares."""
SWEEPS = 12
"""Rounds at each temperature."""
ENOUGH = 10_000
"""Voxels that offsets are sought on: more would make them a little better and the search slower."""


def share_labels(
    labels: Labels, maps: Sequence[AxisMap], matrices: Sequence[np.ndarray], *, keep_volume: bool
) -> NewLabels:
    """A label map on another grid.

    Args:
        labels: class numbers, axes (z, y, x).
        maps: the way of each axis.
        matrices: shares of old voxels in new ones along each axis, shape (new size, old size).
        keep_volume: whether every class keeps its volume, see `assign`; else the largest share wins.

    Returns:
        Class numbers of the same type.
    """
    shape = tuple(way.new_size for way in maps)
    numbers = [int(number) for number in np.unique(labels)]
    rest = 0 if 0 in numbers else numbers[0]
    result = np.full(shape, rest, dtype=labels.dtype)
    others = [number for number in numbers if number != rest]
    if not others:
        return result
    target, source = windows(labels != rest, matrices)
    part = labels[source]
    weights = [matrix[rows, columns] for matrix, rows, columns in zip(matrices, target, source, strict=True)]
    with one_thread():
        shares = np.stack([_spread(part == number, weights) for number in (rest, *others)])
    wanted = None
    if keep_volume:
        scale = float(np.prod([1 / way.ratio for way in maps]))
        wanted = [round(np.count_nonzero(part == number) * scale) for number in others]
    result[target] = np.array([rest, *others], dtype=labels.dtype)[assign(shares, wanted)]
    return result


def assign(shares: Shares, wanted: Sequence[int] | None) -> Int64[np.ndarray, "z y x"]:
    """The class of each voxel: that with the largest share, after each class got an offset that keeps its volume.

    The plain largest share loses volume at convex borders, and all of what is thinner than a voxel. The offset of a
    class is such that it fills as many voxels as it is owed. Equal voxels are not all won or lost together: those
    amid their class come first, then a fixed scattered order decides, which favors no class and no side. No voxel
    goes to a class without a share in it.

    Args:
        shares: the first is the class without a due, which takes what is left.
        wanted: voxels due to each of the others; None to let the largest share win, equal shares scattered.

    Returns:
        Index of the class.
    """
    from scipy import ndimage

    order = SCATTER * _scatter(shares.shape[1:])
    scores = np.empty(shares.shape)
    for number, share in enumerate(shares):
        scores[number] = share + NEIGHBORS * ndimage.uniform_filter(share, 3, mode="nearest") + number * order
    scores[shares <= 0] = -np.inf
    winner: Int64[np.ndarray, "z y x"] = scores.argmax(axis=0)
    if wanted is None:
        return winner
    mixed = np.count_nonzero(shares > 0, axis=0) > 1
    pure = np.bincount(winner[~mixed], minlength=len(shares))
    due = np.maximum(np.array([0, *wanted]) - pure, 0)
    due[0] = max(0, np.count_nonzero(mixed) - int(due[1:].sum()))
    winner[mixed] = _balanced(scores[:, mixed], due)
    return winner


def _balanced(scores: Float64[np.ndarray, "k n"], due: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " n"]:
    """The class of each voxel, by scores with one offset per class, so that each has as many as are due.

    Offsets are found by matching soft counts, harder step by step (Sinkhorn's iteration with a falling temperature);
    what is still missing is moved from class to class, where need be by way of others, where it costs least.

    Source:
        Cuturi, "Sinkhorn distances", arXiv:1306.0895.
    """
    offsets = np.zeros(len(due))
    every = max(1, scores.shape[1] // ENOUGH)
    sample = np.ascontiguousarray(scores[:, ::every])
    for temperature in TEMPERATURES:
        for _ in range(SWEEPS):
            weights = sample + offsets[:, None]
            weights = np.exp((weights - weights.max(axis=0)) / temperature)
            counts = every * (weights / weights.sum(axis=0)).sum(axis=1)
            offsets += temperature * np.log(np.maximum(due, 0.1) / np.maximum(counts, 0.1))
    scores = scores + offsets[:, None]
    chosen: Int64[np.ndarray, " n"] = scores.argmax(axis=0)
    while True:
        missing = due - np.bincount(chosen, minlength=len(due))
        path = _chain(chosen, scores, missing)
        if path is None:
            return chosen
        moved = min(-missing[path[0]], missing[path[-1]])
        for giver, taker in pairwise(path):
            moved = min(moved, np.count_nonzero((chosen == giver) & np.isfinite(scores[taker])))
        for giver, taker in reversed(list(pairwise(path))):
            _move(chosen, scores, giver, taker, int(moved))


def _chain(
    chosen: Int64[np.ndarray, " n"], scores: Float64[np.ndarray, "k n"], missing: Int64[np.ndarray, " k"]
) -> list[int] | None:
    """The shortest way from a class that has too many voxels to one that has too few; None if there is none.

    Each class on the way gives voxels to the next, which has a share in them: where two classes share no voxel, what
    lies between them passes it on. Moving along such ways until there is none gives every class its due whenever
    that is possible.

    Source:
        Edmonds and Karp, "Theoretical improvements in algorithmic efficiency for network flow problems",
        J. ACM 19:248-264 (1972), doi:10.1145/321694.321699.
    """
    allowed = np.isfinite(scores)
    gives = np.array([allowed[:, chosen == giver].any(axis=1) for giver in range(len(missing))])
    ways = [[int(giver)] for giver in np.flatnonzero(missing < 0)]
    seen = {way[0] for way in ways}
    for way in ways:  # grows while it is walked through: breadth first
        if missing[way[-1]] > 0:
            return way
        for taker in map(int, np.flatnonzero(gives[way[-1]])):
            if taker not in seen:
                seen.add(taker)
                ways.append([*way, taker])
    return None


def _move(
    chosen: Int64[np.ndarray, " n"], scores: Float64[np.ndarray, "k n"], giver: int, taker: int, most: int
) -> None:
    """Give voxels from one class to another that has a share in them, those that lose least."""
    places = np.flatnonzero((chosen == giver) & np.isfinite(scores[taker]))
    loss = scores[giver, places] - scores[taker, places]
    moved = places[np.argsort(loss, kind="stable")[:most]]
    chosen[moved] = taker


def windows(inside: np.ndarray, matrices: Sequence[np.ndarray]) -> tuple[Window, Window]:
    """The part of the new grid that marked voxels reach, and the part of the old one that reaches into that."""
    target, source = [], []
    for axis, matrix in enumerate(matrices):
        marks = np.any(inside, axis=tuple(other for other in range(inside.ndim) if other != axis))
        rows = span(np.any(matrix[:, span(marks)], axis=1))
        target.append(rows)
        source.append(span(np.any(matrix[rows], axis=0)))
    return tuple(target), tuple(source)


def _spread(mask: np.ndarray, weights: Sequence[np.ndarray]) -> Float32[np.ndarray, "z y x"]:
    values: np.ndarray = mask.astype(np.float32)
    for axis, matrix in enumerate(weights):
        values = np.moveaxis(np.tensordot(matrix.astype(np.float32), values, axes=(1, axis)), 0, axis)
    return np.where(values < 1e-6, np.float32(0), values)


def _scatter(shape: tuple[int, ...]) -> Float64[np.ndarray, "z y x"]:
    """Numbers in [-1/2, 1/2) that fill the interval evenly in any neighborhood.

    Source:
        The additive recurrence of Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018),
        in three dimensions: powers of 1/1.2207…, the real root of x^4 = x + 1.
    """
    z, y, x = (np.arange(n) * 1.2207440846057596**-power for n, power in zip(shape, (1, 2, 3), strict=True))
    values: Float64[np.ndarray, "z y x"] = (z[:, None, None] + y[:, None] + x) % 1.0 - 0.5
    return values
