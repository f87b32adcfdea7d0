"""What is measured of the slices of an image: their order, and what each shows in a few pixels."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hemoseg.anatomy import AIR_HU
from hemoseg.arrays import Float32, Float64, Int, Int16, Real
from hemoseg.datasets.doctor.image import ROWS

Numbers = Real[np.ndarray, "z y x"]
Thumbs = Float32[np.ndarray, "z h w"]

EDGE = 32
"""Pixels along either side of a slice's thumbnail, at most."""
RANGE_HU = (-200, 200)
"""HU are cut to this range, or bone and padding alone would decide what is similar."""
HEAD_HU = -10
"""Mean above which a pixel of a thumbnail is head."""
SHOWN_SHARE = 0.05
"""Slices at the ends with less head than this share of the largest tell no order: they are like each other."""
CUTS = 12
"""Largest steps from slice to slice where a stack is parted in search of blocks that belong elsewhere."""
SIGNATURE = (16, 16, 16)
"""Pixels of the signature along (z, y, x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFacts:
    """What was measured of slices; numbers of slices count from inferior to superior."""

    areas: tuple[float, ...]
    """Share of each slice that is head."""
    swap: tuple[int, int]
    """The two slices whose exchange makes neighbors most alike."""
    swap_gain: float
    """How much more alike: share of the differences to their neighbors that vanishes, 0 if no exchange helps."""
    blocks: tuple[int, int, int]
    """First slices of two neighboring blocks whose exchange makes neighbors most alike, and the slice after both."""
    blocks_gain: float
    """How much more alike: share of the differences at their ends that vanishes, 0 if no exchange helps."""
    repeated: tuple[int, ...]
    """Slices that are equal to the one below, and not blank."""
    blank: tuple[int, ...]
    """Slices of one value, between others."""
    padding_change: float
    """Largest change of the padding's share of a slice, below -1024 HU, from one slice to the next."""
    padding_slice: int
    """The slice after it."""
    signature: Int16[np.ndarray, "sz sy sx"]
    """The head in 16 x 16 x 16 pixels, HU: nearly the same for nearly the same scan."""


def measure_stack(hu: Numbers) -> StackFacts:
    """Measure the slices of an image. Pure.

    Args:
        hu: HU that are finite, axes (z, y, x), in canonical order: z runs to superior, y to posterior, x to left.
    """
    thumbs = make_thumbs(hu)
    areas = (thumbs > HEAD_HU).mean(axis=(1, 2))
    distances = _distances(thumbs)
    shown = np.flatnonzero(areas > SHOWN_SHARE * areas.max())
    first, end = (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)
    head = distances[first:end, first:end]
    swap, gain = best_swap(head)
    blocks, blocks_gain = best_exchange(head)
    flat = [k for k in range(len(hu)) if thumbs[k].min() == thumbs[k].max() and hu[k].min() == hu[k].max()]
    repeated = [
        k for k in range(1, len(hu)) if distances[k, k - 1] == 0 and k not in flat and np.array_equal(hu[k], hu[k - 1])
    ]
    change, at = _padding_change(hu)
    filled = [k for k in range(len(hu)) if k not in flat]
    return StackFacts(
        areas=tuple(round(float(area), 4) for area in areas),
        swap=(swap[0] + first, swap[1] + first),
        swap_gain=gain,
        blocks=(blocks[0] + first, blocks[1] + first, blocks[2] + first),
        blocks_gain=blocks_gain,
        repeated=tuple(repeated),
        blank=tuple(k for k in flat if filled and filled[0] < k < filled[-1]),
        padding_change=change,
        padding_slice=at,
        signature=make_signature(thumbs),
    )


def make_thumbs(hu: Numbers) -> Thumbs:
    """Each slice as means of blocks of pixels, at most 32 x 32, cut to `RANGE_HU`."""
    count, rows, columns = hu.shape
    step = max(1, rows // ROWS)
    kept = len(range(0, rows, step))
    tops, lefts = _edges(kept), _edges(columns)
    sizes = np.outer(np.diff([*tops, kept]), np.diff([*lefts, columns]))
    thumbs = np.empty((count, len(tops), len(lefts)), dtype=np.float32)
    for plane, thumb in zip(hu, thumbs, strict=True):
        cut = np.clip(plane[::step], *RANGE_HU)
        kind = np.float32 if cut.dtype.kind == "f" else np.int32
        thumb[:] = np.add.reduceat(np.add.reduceat(cut, lefts, axis=1, dtype=kind), tops, axis=0) / sizes
    return thumbs


def best_swap(distances: Float64[np.ndarray, "n n"]) -> tuple[tuple[int, int], float]:
    """The exchange of two slices that shortens the way from slice to slice most.

    Args:
        distances: how different each two slices are.

    Returns:
        The slices, and the share by which the steps to and from them become shorter; 0 if none does.
    """
    count = len(distances)
    if count < 4:
        return (0, 0), 0.0
    d = np.zeros((count + 2, count + 2))  # before the first slice and after the last lies nothing, at no distance
    d[1:-1, 1:-1] = distances
    here = np.arange(1, count + 1)
    i, j = here[:, None], here[None, :]
    near = j == i + 1
    before = d[i - 1, i] + d[j, j + 1] + np.where(near, d[i, j], d[i, i + 1] + d[j - 1, j])
    after = d[i - 1, j] + d[i, j + 1] + np.where(near, d[i, j], d[j, i + 1] + d[j - 1, i])
    gain = np.where(j > i, before - after, 0.0)
    first, second = (int(k) for k in np.unravel_index(int(gain.argmax()), gain.shape))
    won = float(gain[first, second])
    return (first, second), won / float(before[first, second]) if won > 0 else 0.0


def best_exchange(distances: Float64[np.ndarray, "n n"]) -> tuple[tuple[int, int, int], float]:
    """The exchange of two neighboring blocks of slices that makes slices at their ends most like their neighbors.

    Slices sorted by the text of their numbers (1, 10, 11, 2, 20, 3) are such blocks. The whole stack is never both
    blocks: where a scan begins and ends in air, its end fits before its beginning.

    Args:
        distances: how different each two slices are.

    Returns:
        First slices of the blocks and the slice after them, and the share by which the steps at their ends become
        shorter; 0 if none does.
    """
    count = len(distances)
    d = np.zeros((count + 2, count + 2))  # before the first slice and after the last lies nothing, at no distance
    d[1:-1, 1:-1] = distances
    steps = np.diagonal(d, 1)[1:-1]
    cuts = sorted(int(k) + 1 for k in np.argsort(-steps, kind="stable")[:CUTS])
    best, most = (0, 0, 0), 0.0
    for first, second, end in combinations((0, *cuts, count), 3):
        before = d[first, first + 1] + d[second, second + 1] + d[end, end + 1]
        after = d[first, second + 1] + d[end, first + 1] + d[second, end + 1]
        if end - first < count and before - after > most * before:
            best, most = (first, second, end), float((before - after) / before)
    return best, most


def make_signature(thumbs: Thumbs) -> Int16[np.ndarray, "sz sy sx"]:
    """The box of the head in a fixed number of pixels, each the nearest of the thumbnails."""
    head = thumbs > HEAD_HU
    index = []
    for axis, size in enumerate(SIGNATURE):
        others = tuple(other for other in range(3) if other != axis)
        profile = np.count_nonzero(head, axis=others)
        inside = np.flatnonzero(profile > 0.05 * profile.max()) if profile.any() else np.arange(len(profile))
        index.append(_spread(int(inside[0]), int(inside[-1]) + 1, size))
    picked: Int16[np.ndarray, "sz sy sx"] = np.rint(thumbs[np.ix_(*index)]).astype(np.int16)
    return picked


def _padding_change(hu: Numbers) -> tuple[float, int]:
    if hu.min() >= AIR_HU or len(hu) < 2:
        return 0.0, 0
    changes = np.abs(np.diff([np.count_nonzero(plane < AIR_HU) / plane.size for plane in hu]))
    at = int(changes.argmax())
    return float(changes[at]), at + 1


def _edges(size: int) -> Int[np.ndarray, " n"]:
    """First pixels of at most `EDGE` blocks."""
    blocks = min(EDGE, size)
    return np.arange(blocks) * size // blocks


def _spread(first: int, end: int, count: int) -> Int[np.ndarray, " n"]:
    """Middles of `count` equal parts of a range, as whole numbers."""
    return (first + (np.arange(count) + 0.5) * (end - first) / count).astype(np.int64)


def _distances(thumbs: Thumbs) -> Float64[np.ndarray, "n n"]:
    """Root mean square difference of each two thumbnails, HU; exactly 0 for equal ones."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float64)
    squares = (flat**2).sum(axis=1)
    product = flat @ flat.T
    mean = np.maximum(squares[:, None] + squares[None, :] - 2 * product, 0.0) / flat.shape[1]
    return np.asarray(np.sqrt(np.where(mean < 1e-6, 0.0, mean)))
