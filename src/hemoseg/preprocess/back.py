"""The way back: logits of the prepared grid to the scan's, plane by plane, so memory does not grow with the slices."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hemoseg.arrays import Float, Float32, Shaped, UInt8
from hemoseg.plan import Region
from hemoseg.preprocess.frame import Box
from hemoseg.preprocess.maps import AxisMap, Band, Order, average_matrix, blocks, one_thread, span, spline_matrix
from hemoseg.preprocess.prepare import Prepared
from hemoseg.preprocess.spline import separate_axis, spline_image
from hemoseg.preprocess.steps import SplineStep, undo_steps
from hemoseg.types import IntZYX, Labels, NewLabelMap, NewLabels, NewStack

Logits = Float[np.ndarray, "k z y x"]
"""One value per class or region, axes (class, z, y, x) of the prepared grid."""
Planes = Float[np.ndarray, "k y x"]
"""One plane of them."""
Look = Callable[[int, tuple[slice, slice], Float32[np.ndarray, "k y x"]], None]
"""Takes the number of a plane, rows and columns, and the logits there, axes of the planes' grid."""
LITTLE = 1e-3
"""Weight that may lie beyond the box: a cubic spline has some of every voxel."""
SURE = 100.0
"""How far background is above all else, as logits, where no network looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What logits say on the scan's own grid."""

    labels: NewLabelMap
    """The class with the largest logit, axes (z, y, x) as stored; background where voxels had been cut away."""
    shares: NewStack | None
    """Probabilities, axes (class, z, y, x) as stored: the softmax of the foreground classes, or each region's
    sigmoid; 0 where voxels had been cut away. None unless asked for."""


class WayBack:
    """Takes the logits of a prepared grid in the order of its first axis, and has what they say on the scan's grid.

    Each plane goes back within itself, then neighboring planes are mixed: no more of them are kept than are mixed.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        outputs: int,
        regions: Sequence[Region] = (),
        box: Box | None = None,
        half: bool = False,
        with_shares: bool = False,
        more: int = 0,
    ) -> None:
        """Get ready.

        Args:
            prepared: the way the scan went.
            outputs: channels of the logits of classes or regions.
            regions: the plan's; they are painted where their sigmoid exceeds one half, later ones over earlier ones.
            box: the part of the prepared grid that there are logits of; None for all. Beyond it is background.
            half: whether logits are float16 again after the resampling, as nnU-Net has it, but where torch resamples.
            with_shares: whether probabilities are wanted.
            more: channels after those, which go back alike and are looked at alone.
        """
        self.prepared, self.regions, self.outputs = prepared, tuple(regions), outputs
        frame = prepared.properties.frame
        self.box = box or _all_of(prepared.shape)
        self.kept = frame.kept()
        ways, orders, self.is_clipped = frame.back(), self._orders(), self._is_clipped()
        self.half = half and not self._stays_float()
        shape = tuple(frame.source_shape[axis] for axis in frame.axes)
        self.labels = np.zeros(shape, dtype=np.uint8)
        classes = len(regions) or outputs - 1
        self.shares = np.zeros((classes, *shape), dtype=np.float32) if with_shares else None
        self.look: Look | None = None  # shown each part of a plane of the scan that there are logits of
        self.received, self.given = 0, 0
        self.recent: deque[Planes] = deque()
        self.whole = None
        if self.is_clipped and self._apart() != 0:  # the clip looks at the whole volume
            self.whole = blank_logits(outputs, prepared.shape, is_regions=bool(regions), more=more)
            return
        self.rows, self.mixed = _mixes(ways[0], orders[0], self.box[0])
        self.within = [_axis(way, order, part) for way, order, part in zip(ways, orders, self.box, strict=True)][1:]

    def take(self, logits: Logits) -> None:
        """The next planes, axes (class, z, y, x) within the box; they may be overwritten afterwards."""
        if self.whole is not None:
            first = self.box[0].start + self.received
            self.whole[(slice(None), slice(first, first + logits.shape[1]), *self.box[1:])] = logits
            self.received += logits.shape[1]
            return
        with one_thread():
            for number in range(logits.shape[1]):
                self._take_plane(logits[:, number])

    def finish(self) -> Returned:
        """What all planes together say."""
        if self.whole is not None:
            back = self._whole_back()
            for number in range(back.shape[1]):
                self._decide(self.kept[0].start + number, self.kept[1:], back[:, number])
        shares = None if self.shares is None else np.stack([self.as_stored(one) for one in self.shares])
        return Returned(labels=self.as_stored(self.labels), shares=shares)

    @property
    def shape(self) -> IntZYX:
        """Planes, rows and columns of the scan in the order of the prepared grid's axes."""
        z, y, x = self.labels.shape
        return z, y, x

    def index(self, place: IntZYX) -> IntZYX:
        """The index (z, y, x) in the scan as stored of a place (plane, row, column)."""
        frame, turn = self.prepared.properties.frame, self.prepared.properties.turn
        turned = dict(zip(frame.axes, place, strict=True))
        found = [0, 0, 0]
        for axis, (source, is_flipped) in enumerate(zip(turn.axes, turn.flips, strict=True)):
            found[source] = frame.source_shape[axis] - 1 - turned[axis] if is_flipped else turned[axis]
        return found[0], found[1], found[2]

    def _take_plane(self, planes: Planes) -> None:
        wide = planes.astype(np.float32)
        y, x = self.within
        flat = x.along_last(y.along_middle(wide))
        if self.is_clipped:
            flat = np.clip(flat, wide.min(axis=(1, 2), keepdims=True), wide.max(axis=(1, 2), keepdims=True))
        self.recent.append(flat)
        self.received += 1
        while self.given < len(self.mixed) and self.mixed[self.given].stop <= self.received:
            self._give(self.mixed[self.given])
            self.given += 1

    def _give(self, mix: "_Mix") -> None:
        """The next plane of the scan."""
        for _ in range(len(self.recent) - (self.received - mix.first)):
            self.recent.popleft()
        planes = [self.recent[number] for number in range(len(mix.weights))]
        result = planes[0] if len(planes) == 1 else planes[0] * mix.weights[0]
        for weight, plane in zip(mix.weights[1:], planes[1:], strict=True):
            result = result + weight * plane
        y, x = (
            slice(kept.start + axis.rows.start, kept.start + axis.rows.stop)
            for kept, axis in zip(self.kept[1:], self.within, strict=True)
        )
        self._decide(self.kept[0].start + self.rows.start + self.given, (y, x), result)

    def _decide(self, number: int, place: tuple[slice, slice], logits: Float32[np.ndarray, "k y x"]) -> None:
        """The labels of a plane of the scan, and its probabilities if they are wanted."""
        found = logits.astype(np.float16) if self.half else logits
        if self.look is not None:
            self.look(number, place, found.astype(np.float32, copy=False))
        found = found[: self.outputs]
        self.labels[(number, *place)] = painted(found, self.regions) if self.regions else first_largest(found)
        if self.shares is not None:
            self.shares[(slice(None), number, *place)] = self._probabilities(found.astype(np.float32, copy=False))

    def _probabilities(self, logits: Float32[np.ndarray, "k y x"]) -> Float32[np.ndarray, "_ y x"]:
        if self.regions:
            sigmoid: np.ndarray = (1 + np.tanh(logits / 2)) / 2
            return sigmoid
        powers = np.exp(logits - logits.max(axis=0))
        shares: np.ndarray = powers[1:] / powers.sum(axis=0)
        return shares

    def _orders(self) -> tuple[Order | None, Order | None, Order | None]:
        """Order of the spline along each axis; None for averages."""
        last = self.prepared.steps[-1]
        if not isinstance(last, SplineStep):
            return None, None, None
        rule, apart = last.rule.logits, self._apart()
        z, y, x = (rule.z_order if axis == apart else rule.order for axis in range(3))
        return z, y, x

    def _is_clipped(self) -> bool:
        """Whether splines overshoot, so that results are clipped; what goes nowhere does not."""
        last, ways = self.prepared.steps[-1], self.prepared.properties.frame.back()
        changes = not all(way.is_identity for way in ways)
        return isinstance(last, SplineStep) and last.rule.logits.order > 1 and changes

    def _stays_float(self) -> bool:
        """Whether logits are resampled by torch, which leaves what it changes in float32."""
        last, ways = self.prepared.steps[-1], self.prepared.properties.frame.back()
        return isinstance(last, SplineStep) and last.rule.by_torch and not all(way.is_identity for way in ways)

    def _apart(self) -> int | None:
        """The axis that is treated apart on the way back."""
        last, properties = self.prepared.steps[-1], self.prepared.properties
        if not isinstance(last, SplineStep):
            return None
        axes = [properties.turn.axes[axis] for axis in properties.frame.axes]
        z, y, x = (properties.source_spacing_mm[axis] for axis in axes)
        return separate_axis(last.spacing_after_mm, (z, y, x), last.rule.logits.separate_z)

    def _whole_back(self) -> NewStack:
        last = self.prepared.steps[-1]
        assert self.whole is not None
        assert isinstance(last, SplineStep)
        return spline_image(self.whole, self.prepared.properties.frame.back(), last.rule.logits, self._apart())

    def as_stored(self, full: Shaped[np.ndarray, "z y x"]) -> Shaped[np.ndarray, "nz ny nx"]:
        """What lies in planes, rows and columns in the order and direction of the scan's axes."""
        axes = self.prepared.properties.frame.axes
        inverse = (axes.index(0), axes.index(1), axes.index(2))
        return np.ascontiguousarray(self.prepared.properties.turn.orientation.undo(full.transpose(inverse)))


def give_back(
    logits: Logits, prepared: Prepared, regions: Sequence[Region] = (), *, with_shares: bool = False
) -> Returned:
    """Logits of a whole prepared grid on the scan's own grid.

    Args:
        logits: one channel per class, or per region, axes (c, z, y, x); those in float16 are float16 again after the
            resampling, as nnU-Net has it.
        prepared: the way the scan went.
        regions: the plan's.
        with_shares: whether probabilities are wanted.
    """
    half = logits.dtype == np.float16
    back = WayBack(prepared, outputs=len(logits), regions=regions, half=half, with_shares=with_shares)
    back.take(logits)
    return back.finish()


def restore(logits: Logits, prepared: Prepared, regions: Sequence[Region] = ()) -> NewLabelMap:
    """The label map on the scan's own grid: logits go back in one resampling, then the largest wins.

    Args:
        logits: one channel per class, or per region, see `give_back`.
        prepared: the way the scan went.
        regions: the plan's.

    Returns:
        Class numbers, axes (z, y, x) as stored; background where the preparation had cut voxels away.
    """
    return give_back(logits, prepared, regions).labels


def restore_labels(labels: Labels, prepared: Prepared) -> NewLabels:
    """A label map of the prepared grid on the scan's own grid."""
    return undo_steps(labels, prepared.steps)


def blank_logits(
    outputs: int, shape: Sequence[int], *, is_regions: bool, more: int = 0
) -> Float32[np.ndarray, "k ..."]:
    """Logits that say background everywhere, axes (class, *shape): 0 for its own channel, if it has one, else -100.

    Further channels are 0.
    """
    blank = np.full((outputs + more, *shape), -SURE, dtype=np.float32)
    blank[outputs:] = 0
    if not is_regions:
        blank[0] = 0
    return blank


def painted(logits: Planes, regions: Sequence[Region]) -> UInt8[np.ndarray, "y x"]:
    """The labels of regions, later ones over earlier ones; a sigmoid exceeds one half where its logit exceeds 0."""
    labels = np.zeros(logits.shape[1:], dtype=np.uint8)
    for values, region in zip(logits, regions, strict=True):
        labels[values > 0] = region.paint
    return labels


def first_largest(logits: Planes) -> UInt8[np.ndarray, "y x"]:
    """The number of the largest logit, the first of equals; several times faster than `argmax` along a first axis."""
    best, labels = logits[0].copy(), np.zeros(logits.shape[1:], dtype=np.uint8)
    for number, values in enumerate(logits[1:], start=1):
        is_larger = values > best
        labels[is_larger] = number
        np.maximum(best, values, out=best)
    return labels


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mix:
    """What one plane of the scan is made of."""

    first: int
    """First plane of the box."""
    weights: Float32[np.ndarray, " n"]
    """How much of that and of those after it."""

    @property
    def stop(self) -> int:
        return self.first + len(self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """The way of one axis within planes."""

    rows: slice
    """The new samples that hardly anything beyond the box has a part in."""
    bands: tuple[Band, ...] | None
    """Their matrix; None where nothing changes."""

    def along_middle(self, planes: Float32[np.ndarray, "k y x"]) -> Float32[np.ndarray, "k ny x"]:
        if self.bands is None:
            return planes
        result = np.empty((len(planes), self.rows.stop - self.rows.start, planes.shape[2]), dtype=np.float32)
        for band in self.bands:
            np.matmul(band.weights, planes[:, band.columns], out=result[:, band.rows])
        return result

    def along_last(self, planes: Float32[np.ndarray, "k y x"]) -> Float32[np.ndarray, "k y nx"]:
        if self.bands is None:
            return planes
        result = np.empty((*planes.shape[:2], self.rows.stop - self.rows.start), dtype=np.float32)
        for band in self.bands:
            np.matmul(planes[..., band.columns], band.weights.T, out=result[..., band.rows])
        return result


def _axis(way: AxisMap, order: Order | None, box: slice) -> _Axis:
    if way.is_identity:
        return _Axis(rows=box, bands=None)
    matrix = _matrix(way, order)
    rows = _decided(matrix, box)
    return _Axis(rows=rows, bands=blocks(matrix[rows, box]))


def _mixes(way: AxisMap, order: Order | None, box: slice) -> tuple[slice, list[_Mix]]:
    """The planes of the scan that hardly anything beyond the box has a part in, and what they are made of."""
    matrix = _matrix(way, order)
    rows = _decided(matrix, box)
    mixed = []
    for weights in matrix[rows, box]:
        part = span(weights != 0)
        mixed.append(_Mix(first=part.start, weights=weights[part].astype(np.float32)))
    return rows, mixed


def _decided(matrix: Float[np.ndarray, "n m"], box: slice) -> slice:
    """The rows whose entries lie in the box, but for a little."""
    beyond = np.abs(matrix)
    beyond[:, box] = 0
    return span(np.less(beyond.sum(axis=1), LITTLE))


def _matrix(way: AxisMap, order: Order | None) -> Float[np.ndarray, "n m"]:
    """The matrix (new size, size) of an axis."""
    if order is None:
        averages: np.ndarray = average_matrix(way).toarray()
        return averages
    if order == 0 or way.is_identity:
        nearest = np.zeros((way.new_size, way.size), dtype=np.float32)
        nearest[np.arange(way.new_size), way.nearest()] = 1
        return nearest
    return spline_matrix(way, order)


def _all_of(shape: Sequence[int]) -> Box:
    z, y, x = (slice(0, size) for size in shape)
    return z, y, x
