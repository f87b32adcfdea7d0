"""Connected components of masks: what counts as one lesion.

Masks are taken as runs: stretches of voxels along x. A head has a hundred times fewer runs than voxels, so they are
joined in little time and memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from hemoseg.arrays import Bool, Float64, Int64, Integer, Real
from hemoseg.types import IntZYX, Mask

Box = tuple[slice, slice, slice]
"""A part of a volume along (z, y, x)."""
Pairs = tuple[Integer[np.ndarray, " p"], Integer[np.ndarray, " p"]]
"""Indices of runs that touch: the one that comes first in scan order, and the other."""
BLOCK = 2**18
"""Runs whose neighbors are sought at once: masks of noise have millions, and each takes tens of bytes meanwhile."""

FACES = ((0, 1, 0), (1, 0, 0))
"""6-connectivity: for each neighboring row that comes later, its offset in slices and rows, and how far runs may lie
beside each other and still touch."""
CORNERS = ((0, 1, 1), (1, -1, 1), (1, 0, 1), (1, 1, 1))
"""26-connectivity: voxels that share a face, an edge or a corner touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The voxels of a mask as runs in scan order, and the component that each belongs to.

    A run is kept as its place among all voxels, in 12 bytes: masks of noise have millions.
    """

    starts: Integer[np.ndarray, " n"]
    """The first voxel of each, counted along all rows, one after the other."""
    stops: Integer[np.ndarray, " n"]
    """One beyond its last voxel."""
    component: Integer[np.ndarray, " n"]
    """Number of its component, from 0 in the order of the components' first voxels."""
    rows: int
    """Rows of a slice."""
    width: int
    """Voxels of a row, and one more, which is outside."""

    @property
    def z(self) -> Integer[np.ndarray, " n"]:
        """Slice of each run."""
        z: Integer[np.ndarray, " n"] = self.starts // (self.rows * self.width)
        return z

    @property
    def y(self) -> Integer[np.ndarray, " n"]:
        """Its row."""
        y: Integer[np.ndarray, " n"] = self.starts // self.width % self.rows
        return y

    @property
    def start(self) -> Integer[np.ndarray, " n"]:
        """Its first voxel along x."""
        start: Integer[np.ndarray, " n"] = self.starts % self.width
        return start

    @property
    def stop(self) -> Integer[np.ndarray, " n"]:
        """One beyond its last voxel along x."""
        stop: Integer[np.ndarray, " n"] = self.start + self.length
        return stop

    @property
    def length(self) -> Integer[np.ndarray, " n"]:
        """Voxels of each run."""
        length: Integer[np.ndarray, " n"] = self.stops - self.starts
        return length

    @property
    def count(self) -> int:
        """Components."""
        return int(self.component.max(initial=-1)) + 1

    @property
    def sizes(self) -> Int64[np.ndarray, " m"]:
        """Voxels of each component."""
        sizes: Int64[np.ndarray, " m"] = self.sums(lambda runs: runs.length).astype(np.int64)
        return sizes

    def sums(self, value: Callable[["Runs"], Real[np.ndarray, " k"]]) -> Float64[np.ndarray, " m"]:
        """The sum of a value of runs over each component.

        Args:
            value: told some runs, gives what each counts.
        """
        total = np.zeros(self.count)
        for part in self.blocks():
            total += np.bincount(part.component, weights=value(part), minlength=len(total))
        return total

    def blocks(self) -> Iterator["Runs"]:
        """All runs in scan order, some at a time, so that what is made of them stays small."""
        for first in range(0, len(self.starts), BLOCK):
            yield self._at(slice(first, first + BLOCK))

    def of(self, component: int) -> "Runs":
        """The runs of one component."""
        return self._at(np.flatnonzero(self.component == component))

    def split(self) -> Iterator["Runs"]:
        """The runs of each component, in the order of their numbers."""
        order = np.argsort(self.component, kind="stable")
        begin = 0
        for end in np.cumsum(np.bincount(self.component)).tolist():
            yield self._at(order[begin:end])
            begin = end

    @property
    def box(self) -> Box:
        """The bounding box of runs, of which there is at least one."""
        return (
            slice(int(self.z[0]), int(self.z[-1]) + 1),
            slice(int(self.y.min()), int(self.y.max()) + 1),
            slice(int(self.start.min()), int(self.stop.max())),
        )

    def paint(self, shape: IntZYX, *, corner: IntZYX = (0, 0, 0)) -> Mask:
        """The mask of the runs, in a volume of a shape whose first voxel is `corner`."""
        mask = np.zeros(shape, dtype=bool)
        z, y, start = (part.astype(np.int64) for part in (self.z, self.y, self.start))
        first = ((z - corner[0]) * shape[1] + y - corner[1]) * shape[2] + start - corner[2]
        mask.reshape(-1)[_ranges(first, self.length)] = True
        return mask

    def _at(self, index: Int64[np.ndarray, " k"] | slice) -> "Runs":
        return replace(self, starts=self.starts[index], stops=self.stops[index], component=self.component[index])


def split_components(mask: Mask) -> Iterator[tuple[IntZYX, Mask]]:
    """Each connected component (26-connectivity) as (corner, mask of its bounding box), in scan order.

    Args:
        mask: axes (z, y, x).

    Returns:
        The index (z, y, x) of the box's first voxel in `mask`, and the component inside the box.
    """
    for runs in find_runs(mask, CORNERS).split():
        z, y, x = runs.box
        corner = (z.start, y.start, x.start)
        yield corner, runs.paint((z.stop - z.start, y.stop - y.start, x.stop - x.start), corner=corner)


def largest_component(mask: Mask) -> Mask:
    """The largest component alone (6-connectivity); the first of equals; an empty mask stays empty."""
    runs = find_runs(mask, FACES)
    if not len(runs.component):
        return mask
    z, y, x = mask.shape
    return runs.of(int(runs.sizes.argmax())).paint((z, y, x))


def find_runs(planes: Iterable[Bool[np.ndarray, "y x"]], touching: tuple[tuple[int, int, int], ...]) -> Runs:
    """The runs of a mask with their components.

    Args:
        planes: the slices of the mask, at least one: a mask (z, y, x), or slices that are made one at a time.
        touching: `FACES` or `CORNERS`.
    """
    found, rows, width = _changes(planes)
    starts, stops = np.ascontiguousarray(found[::2]), np.ascontiguousarray(found[1::2])
    del found
    root = np.arange(len(starts), dtype=starts.dtype)
    for slices_on, rows_on, reach in touching:
        shift = (slices_on * rows + rows_on) * width
        pairs = []
        for first in range(0, max(1, len(starts)), BLOCK):
            y_there = starts[first : first + BLOCK] // width % rows + rows_on
            inside = first + np.flatnonzero((y_there >= 0) & (y_there < rows))
            pairs.append(_touching(starts, stops, inside, shift, reach))
        low, high = (np.concatenate(side) for side in zip(*pairs, strict=True))
        del pairs  # half of what is held
        _join(root, low, high)
    return Runs(starts=starts, stops=stops, component=_numbered(root), rows=rows, width=width)


def _changes(planes: Iterable[Bool[np.ndarray, "y x"]]) -> tuple[Integer[np.ndarray, " m"], int, int]:
    """Where the voxels of all slices, row after row, change between outside and inside; rows and width of a slice.

    Each row is followed by a voxel outside, so that runs end with it, and width counts that. One slice at a time
    stays in the cache, and no copy of the volume is made. Places are 32-bit numbers where these reach two slices
    beyond the volume: half the memory.
    """
    found, rows, width = [], 0, 0
    padded = changed = np.zeros(0, dtype=bool)
    for index, plane in enumerate(planes):
        if not index:
            rows, width = plane.shape[0], plane.shape[1] + 1
            padded, changed = np.zeros(rows * width + 1, dtype=bool), np.empty(rows * width, dtype=bool)
        padded[1:].reshape(rows, width)[:, :-1] = plane
        np.not_equal(padded[1:], padded[:-1], out=changed)
        places = np.flatnonzero(changed) + index * rows * width
        fits = (index + 3) * rows * width <= np.iinfo(np.int32).max
        found.append(places.astype(np.int32) if fits else places)
    return np.concatenate(found), rows, width


def _touching(
    starts: Integer[np.ndarray, " n"],
    stops: Integer[np.ndarray, " n"],
    inside: Int64[np.ndarray, " k"],
    shift: int,
    reach: int,
) -> Pairs:
    """The pairs of runs that touch across one offset.

    Runs are sorted and do not overlap, so those that touch a given one follow each other, from the first that ends
    behind its start to the last that starts before its end.

    Args:
        starts: first voxels of runs, counted along all padded rows.
        stops: one beyond their last voxels.
        inside: runs that have a neighboring row at this offset.
        shift: the offset, counted in the same way.
        reach: how far runs may lie beside each other and still touch.
    """
    first = _count_up_to(stops, starts[inside] + (shift - reach))
    last = _count_up_to(starts, stops[inside] + (shift + reach - 1))
    count = np.maximum(last - first, 0)
    return np.repeat(inside.astype(starts.dtype), count), _ranges(first, count).astype(starts.dtype)


def _count_up_to(numbers: Integer[np.ndarray, " n"], limits: Integer[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
    """How many of some numbers lie at or below each limit; both ascend.

    A stable sort sees two ascending sequences and merges them, in half the time that binary searches take.
    """
    if not len(limits):
        return np.zeros(0, dtype=np.int64)
    begin, end = np.searchsorted(numbers, limits[[0, -1]], side="right")
    order = np.argsort(np.concatenate([numbers[begin:end], limits]), kind="stable")
    counts: Int64[np.ndarray, " k"] = begin + np.flatnonzero(order >= end - begin) - np.arange(len(limits))
    return counts


def _join(root: Integer[np.ndarray, " n"], low: Integer[np.ndarray, " p"], high: Integer[np.ndarray, " p"]) -> None:
    """Join items of which pairs belong together: `root`, the first item of each one's component, is brought up to date.

    Every item points to one that comes no later; in each round the last item of a chain, to which all before it
    point, is hooked to the first of those that it has a pair with. The pairs are overwritten: there are millions.
    Source: Shiloach & Vishkin, J Algorithms 3:57-67 (1982), doi 10.1016/0196-6774(82)90008-6.
    """
    while True:
        for side in (low, high):
            for first in range(0, len(side), BLOCK):
                side[first : first + BLOCK] = root[side[first : first + BLOCK]]
        apart = low != high
        if not apart.any():
            return
        low, high = low[apart], high[apart]
        lower = np.minimum(low, high)
        np.maximum(low, high, out=high)
        low = lower
        np.minimum.at(root, high, low)
        while True:
            further = root[root]
            if np.array_equal(further, root):
                break
            root[:] = further


def _numbered(root: Integer[np.ndarray, " n"]) -> Integer[np.ndarray, " n"]:
    """Components numbered by the first item of each."""
    numbers = np.cumsum(root == np.arange(len(root), dtype=root.dtype), dtype=root.dtype)
    numbers -= 1
    component: Integer[np.ndarray, " n"] = numbers[root]
    return component


def _ranges(first: Integer[np.ndarray, " n"], count: Integer[np.ndarray, " n"]) -> Int64[np.ndarray, " k"]:
    """The numbers first, first + 1, … of each range, one range after the other."""
    before = np.cumsum(count) - count
    result: Int64[np.ndarray, " k"] = np.repeat(first - before, count) + np.arange(int(count.sum()))
    return result
