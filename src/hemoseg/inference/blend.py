"""Sums of tiles: what overlaps is averaged by weight. Only slices that later tiles still reach are held.

By default sums are float32. With `half`, which `--exact` takes, logits are rounded wherever nnU-Net rounds: it
multiplies the logits of a tile by weights in float16, adds them up in float16, divides by the sum of weights, and
averages folds, in float16 each time. That moves labels where classes are close, and at corners of the volume, where
weights are so small that few bits are left.

Source:
    nnU-Net v2 2.8.1, `nnUNetPredictor._internal_predict_sliding_window_return_logits`, `compute_gaussian`.
"""

from collections.abc import Callable, Iterator
from math import prod

import numpy as np

from hemoseg.arrays import Bool, Float, Float32
from hemoseg.inference.field import Field
from hemoseg.inference.limits import Room
from hemoseg.inference.tiles import half_weights, tile_weights
from hemoseg.types import IntZYX

Planes = Float[np.ndarray, "k 1 y x"]
"""Logits of one slice, axes (class, 1, y, x)."""
IsThere = Callable[[Float[np.ndarray, "k ..."]], Bool[np.ndarray, "..."]]
"""Takes the logits of a slice or a tile to where something holds of them."""

QUIET = np.errstate(over="ignore", invalid="ignore")
"""What overflows is not warned of but refused, where slices are given: see `finite` in `sliding.py`."""


class Blend:
    """Takes tiles in the order of their first slices, and gives the slices of the field's box in order."""

    def __init__(self, field: Field, blank: Float32[np.ndarray, " k"], *, groups: int, half: bool, room: Room) -> None:
        """Get ready.

        Args:
            field: the tiles that will come.
            blank: logits of what no tile covers.
            groups: sums that are averaged only when a slice is complete.
            half: whether everything is rounded to float16 as nnU-Net does it.
            room: where sums are held.
        """
        kind = np.float16 if half else np.float32
        self.tile, self.box, self.half = field.tile, field.box, half
        self.weights = half_weights(field.tile) if half else tile_weights(field.tile)
        self.factors = self.weights.astype(np.float32)
        self.blank = blank.astype(kind)
        depth, rows, columns = sums_shape(field)
        self.room = room
        self.sums = room.zeros((groups, len(blank), depth, rows, columns), kind)
        self.total = room.zeros((depth, rows, columns), kind)
        self.first = field.box[0].start

    @QUIET
    def add(self, group: int, corner: IntZYX, logits: Float32[np.ndarray, "k z y x"]) -> None:
        """Add a tile, whose logits are weighted in place; its first slice must not be before one that was given."""
        place, inner = [], []
        for start, length, part, first in zip(
            corner, self.tile, self.box, (self.first, *(side.start for side in self.box[1:])), strict=True
        ):
            low, high = max(start, part.start), min(start + length, part.stop)
            place.append(slice(low - first, high - first))
            inner.append(slice(low - start, high - start))
        sums = self.sums[group][(slice(None), *place)]
        logits *= self.factors
        for one, values in zip(sums, logits[(slice(None), *inner)], strict=True):  # so a file need not be held whole
            np.add(one, values, out=one, casting="same_kind")
            self.room.rest()
        if group == 0:
            self.total[tuple(place)] += self.weights[tuple(inner)]
        self.room.rest()

    def give_until(self, z: int) -> Iterator[Planes]:
        """The slices before z, which no tile will reach any more; each must be used before the next is asked for."""
        stop = min(z, self.box[0].stop)
        held = min(stop - self.first, len(self.total))
        for number in range(held):
            yield self._slice(number)
            self.room.rest()
        for _ in range(max(0, stop - self.first - held)):
            yield np.broadcast_to(self.blank[:, None, None, None], (len(self.blank), 1, *self.total.shape[1:]))
        if stop > self.first:
            self._drop(held)
            self.first = stop

    def where(self, is_there: IsThere) -> Bool[np.ndarray, "y x"]:
        """Where in the box something holds of the mean so far, in any of the slices that are held.

        Args:
            is_there: takes the logits of a slice to where it holds.
        """
        found: Bool[np.ndarray, "y x"] = np.zeros(self.total.shape[1:], dtype=bool)
        for number in range(len(self.total)):
            if self.total[number].any():
                found |= is_there(self._slice(number)[:, 0]) & (self.total[number] > 0)
                self.room.rest()
        return found

    @QUIET
    def _slice(self, number: int) -> Planes:
        total, count = self.total[number], len(self.sums)
        covered = total > 0
        mean = np.zeros((self.sums.shape[1], *total.shape), dtype=self.sums.dtype)
        for sums in self.sums[:, :, number]:
            mean += np.divide(sums, total, out=np.zeros_like(mean), where=covered)
        if count > 1:
            mean /= mean.dtype.type(count)
        if not covered.all():
            mean[:, ~covered] = self.blank[:, None]
        return mean[:, None]

    def _drop(self, count: int) -> None:
        """Move what is held to the front, slice by slice, so that no copy of it all is made."""
        depth = len(self.total)
        for number in range(depth - count):
            self.sums[:, :, number] = self.sums[:, :, number + count]
            self.total[number] = self.total[number + count]
            self.room.rest()
        for number in range(depth - count, depth):
            self.sums[:, :, number] = 0
            self.total[number] = 0
            self.room.rest()


def sums_bytes(field: Field, *, outputs: int, groups: int, half: bool) -> tuple[int, int]:
    """Bytes of all sums, and of those of one class with the weights', which are touched at a time."""
    one = (2 if half else 4) * prod(sums_shape(field))
    return (groups * outputs + 1) * one, 2 * one


def sums_shape(field: Field) -> IntZYX:
    """Slices, rows and columns that sums are held of."""
    z, y, x = (part.stop - part.start for part in field.box)
    return min(field.tile[0], z), y, x
