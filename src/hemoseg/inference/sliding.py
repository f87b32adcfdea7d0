"""Networks over a whole volume: tile, mirror, blend."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, groupby
from math import prod

import numpy as np

from hemoseg.arrays import Float, Float32
from hemoseg.errors import InputError
from hemoseg.inference.blend import Blend, IsThere
from hemoseg.inference.field import Field
from hemoseg.inference.later import telling, worth_running
from hemoseg.inference.limits import Room
from hemoseg.types import Channels, IntZYX
from hemoseg.windows import repeat_slices

Network = Callable[[Float32[np.ndarray, "b c z y x"]], Float32[np.ndarray, "b k z y x"]]
"""Takes patches to logits."""
Logits = Float[np.ndarray, "k z y x"]
"""One value per class and voxel, axes (class, z, y, x)."""
Counts = Callable[[Float32[np.ndarray, "k z y x"]], bool]
"""Takes the logits of a tile to whether something in them counts."""
IN_MEMORY = Room(mapped=False)
BATCH_VOXELS = 2**16
"""Voxels of the tiles that a network sees at once: calling it costs more than computing below; above, memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a tile holds where it reaches beyond the volume."""

    values: tuple[float, ...]
    """Value of each channel beyond the borders within the slices, and beyond the slices unless these are repeated."""
    repeats_slices: bool = False
    """Whether the outermost slices are repeated beyond the last, as if the head went on."""


def mirror_sets(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """All subsets of the mirror axes, the empty one first.

    Example:
        >>> mirror_sets((1, 2))
        [(), (1,), (2,), (1, 2)]
    """
    return [chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count)]


def stream_logits(
    channels: Channels,
    networks: Sequence[Network],
    *,
    field: Field,
    blank: Float32[np.ndarray, " k"],
    mirror_axes: Sequence[int],
    outside: Outside,
    half: bool,
    watch: Callable[[int, int], None],
    is_there: IsThere | None = None,
    room: Room = IN_MEMORY,
) -> Iterator[Logits]:
    """Logits of the field's box, slice by slice: the mean over networks, mirrorings and, by weight, tiles.

    Args:
        channels: what the networks see, axes (c, z, y, x).
        networks: one per fold.
        field: the tiles to run.
        blank: logits of what no tile covers, one per class.
        mirror_axes: array axes (0 z, 1 y, 2 x) to mirror along.
        outside: what lies beyond the volume, where it is smaller than a tile; as in training.
        half: whether sums are rounded as nnU-Net rounds them, see `blend.py`; tiles are run one by one then.
        watch: told (tiles done, tiles in all); of the later ones those that turn out to be needed.
        is_there: where in logits, class first, something may be, for which the field's later tiles and the mirrored
            copies of all tiles are run if they matter there; None runs all.
        room: where sums are held.

    Yields:
        The next slices, axes (class, z, y, x), to be used before the next are asked for.
    """
    groups = [[network] for network in networks] if half else [list(networks)]
    blend = Blend(field, blank, groups=len(groups), half=half, room=room)
    batch = batch_size(field.tile, half=half)
    done, whole = 0, len(groups) * len(field.corners)

    def run(corners: Sequence[IntZYX]) -> None:
        nonlocal done
        for first in range(0, len(corners), batch):
            some = corners[first : first + batch]
            patches = np.stack([cut_tile(channels, corner, field.tile, outside) for corner in some])
            counts = None if is_there is None else [partial(_counts, is_there, field, corner) for corner in some]
            for number, group in enumerate(groups):
                for corner, logits in zip(some, tile_logits(patches, group, mirror_axes, counts), strict=True):
                    blend.add(number, corner, logits)
                done += len(some)
                watch(done, whole)

    for z, layer in groupby(field.corners, key=lambda corner: corner[0]):
        yield from blend.give_until(z)
        corners = list(layer)
        later = [] if is_there is None else [corner for corner in corners if corner in field.later]
        run([corner for corner in corners if corner not in later])
        if is_there is not None and later:
            needed = worth_running(field, later, blend.where(is_there))
            whole -= len(groups) * (len(later) - len(needed))
            watch(done, whole)
            run(needed)
    yield from blend.give_until(field.box[0].stop)


def finite(slices: Iterator[Logits], *, scan: str, half: bool) -> Iterator[Logits]:
    """The same logits, as long as they are numbers: NaN is below every threshold, and would pass for no blood.

    Args:
        slices: what `stream_logits` gives.
        scan: name of the scan, for errors.
        half: whether sums are rounded to float16, whose largest number is 65504.

    Raises:
        InputError: they are infinite or NaN somewhere; nnU-Net ends at infinite ones too.
    """
    for logits in slices:
        if not np.isfinite(logits).all():
            raise InputError(
                "the networks' logits are infinite or no numbers somewhere" + (", as sums in float16" if half else ""),
                where=scan,
                expected="a number for each class and voxel",
                remedy="look at the model: its weights, or the intensities of its plan, may be too large"
                + ("; --exact adds up in float16, as nnU-Net does, so it may do without" if half else ""),
            )
        yield logits


def batch_size(tile: IntZYX, *, half: bool) -> int:
    """Tiles that a network sees at once; one where everything is as nnU-Net does it."""
    return 1 if half else max(1, BATCH_VOXELS // prod(tile))


def tile_logits(
    patches: Float32[np.ndarray, "b c z y x"],
    networks: Sequence[Network],
    mirror_axes: Sequence[int],
    counts: Sequence[Counts] | None = None,
) -> Float32[np.ndarray, "b k z y x"]:
    """Mean logits of tiles over networks and mirrorings; mirrored copies are run one after the other.

    Args:
        patches: the tiles.
        networks: one per fold.
        mirror_axes: array axes (0 z, 1 y, 2 x) to mirror along.
        counts: for each tile, whether something in its logits counts; mirrored copies of tiles in whose mean over
            networks nothing does are not run. None runs all.
    """
    first, *others = networks
    mean = np.array(first(patches), dtype=np.float32)
    for network in others:
        mean += network(patches)
    passes = np.full(len(patches), len(networks), dtype=np.float32)
    mirrored = mirror_sets(mirror_axes)[1:]
    worth = list(range(len(patches)))
    if counts is not None and mirrored:
        worth = [place for place in worth if counts[place](mean[place] / passes[place])]
    for axes in mirrored if worth else ():
        turned = tuple(axis + 2 for axis in axes)
        given = np.ascontiguousarray(np.flip(patches[worth], turned))
        for network in networks:
            _add(mean, worth, np.flip(network(given), turned))
        passes[worth] += len(networks)
    mean /= passes.reshape(-1, 1, 1, 1, 1)
    return mean


def _counts(is_there: IsThere, field: Field, corner: IntZYX, logits: Float32[np.ndarray, "k z y x"]) -> bool:
    """Whether something may be in a tile where it has a noticeable share in the mean over tiles."""
    return bool((is_there(logits) & telling(field, corner)).any())


def _add(
    sums: Float32[np.ndarray, "b k z y x"], places: Sequence[int], logits: Float32[np.ndarray, "n k z y x"]
) -> None:
    """Add logits of some tiles to their sums. Nothing of them, tens of megabytes, is held when the next pass runs."""
    for place, one in zip(places, logits, strict=True):
        sums[place] += one


def cut_tile(channels: Channels, corner: IntZYX, tile: IntZYX, outside: Outside) -> Float32[np.ndarray, "c tz ty tx"]:
    """A tile of a volume, and what lies beyond the volume."""
    place, inner = [], []
    for start, length, size in zip(corner, tile, channels.shape[1:], strict=True):
        low, high = max(start, 0), min(start + length, size)
        place.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    cut = np.empty((len(channels), *tile), dtype=np.float32)
    cut[:] = np.asarray(outside.values, dtype=np.float32)[:, None, None, None]
    cut[(slice(None), *inner)] = channels[(slice(None), *place)]
    if outside.repeats_slices:
        repeat_slices(cut, inner[0])
    return cut
