"""nnU-Net's resampling, by separable matrices instead of one spline per volume.

Images go by cubic splines, in plane alone where voxels are anisotropic; then slices are the nearest ones. Label maps
go class by class. What comes out agrees with scikit-image's `resize` (no anti-aliasing, clipped) to rounding.

Source:
    nnU-Net v2 2.8.1, `resample_data_or_seg_to_shape` and `resample_torch_fornnunet`; batchgenerators 0.25.5,
    `resize_segmentation`. For v1, whose labels need half a voxel: nnU-Net 1.7.1, `resample_data_or_seg`;
    batchgenerators 0.23.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.plan import Spline
from hemoseg.preprocess.maps import AxisMap, Order, bands, one_thread, spline_matrix
from hemoseg.preprocess.shares import windows
from hemoseg.types import FloatZYX, Labels, NewLabels, NewStack

Stack = Float32[np.ndarray, "c z y x"]
"""Channels of one volume, axes (c, z, y, x)."""
ANISOTROPIC = 3.0
"""Ratio of the largest to the smallest spacing beyond which the coarsest axis is treated apart."""
TIED = 1e-9
"""Shares of two classes that differ by less are equal but for rounding."""
THOUSAND = 1000
"""What `resample_torch_fornnunet` multiplies shares by, before it rounds them to half precision."""
HALF = 0.5
"""Share of a voxel that gives it to a label in nnU-Net v1."""


def separate_axis(current_mm: FloatZYX, new_mm: FloatZYX, forced: bool | None) -> int | None:
    """The axis that is treated apart, or None: the coarsest of the present spacing, else of the new one.

    Args:
        current_mm: spacing before, axes (z, y, x).
        new_mm: spacing after.
        forced: whether an axis is treated apart; None decides by the ratio of spacings.

    Example:
        >>> separate_axis((5.0, 0.5, 0.5), (1.0, 1.0, 1.0), None)
        0
        >>> separate_axis((5.0, 5.0, 0.5), (1.0, 1.0, 1.0), None) is None
        True
    """
    if forced is False:
        return None
    for spacing in (current_mm,) if forced else (current_mm, new_mm):
        coarsest = [axis for axis in range(3) if max(spacing) / spacing[axis] == 1]
        if forced or max(spacing) / min(spacing) > ANISOTROPIC:
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def spline_image(stack: Stack, maps: Sequence[AxisMap], rule: Spline, apart: int | None) -> NewStack:
    """Intensities on another grid.

    Args:
        stack: axes (c, z, y, x).
        maps: the way of each axis.
        rule: orders of the splines.
        apart: the axis that is treated apart; its neighbors are a plane then.
    """
    if all(way.is_identity for way in maps):
        return stack
    result = np.empty((len(stack), *(way.new_size for way in maps)), dtype=np.float32)
    order = (apart or 0, *(axis for axis in range(3) if axis != (apart or 0)))
    ways = [maps[axis] for axis in order]
    with one_thread():
        for new, one in zip(result, stack, strict=True):
            if apart is None:
                new[:] = _volume(one, maps, rule.order)
            else:
                _planes(one.transpose(order), ways, rule, out=new.transpose(order))
    return result


def spline_labels(labels: Labels, maps: Sequence[AxisMap], rule: Spline, apart: int | None) -> NewLabels:
    """A label map on another grid: each class as an indicator, the largest wins; of equals the nearest label.

    By the rule of v1, every class of half a voxel or more wins over the lower ones, and 0 stays where none has that. By
    that of `resample_torch_fornnunet`, thousandths are compared in half precision, and the lowest of equals wins.

    Args:
        labels: class numbers, axes (z, y, x).
        maps: the way of each axis.
        rule: orders of the splines.
        apart: the axis that is treated apart.
    """
    if all(way.is_identity for way in maps):
        return labels
    if apart is None:
        return _labels(labels, maps, rule)
    order = (apart, *(axis for axis in range(3) if axis != apart))
    turned, ways = labels.transpose(order), [maps[axis] for axis in order]
    result = np.empty(tuple(way.new_size for way in maps), dtype=labels.dtype)
    out = result.transpose(order)
    if rule.z_order == 0 or ways[0].is_identity:
        for new, old in _runs(ways[0]):
            out[new] = _labels(turned[old], ways[1:], rule)
        return result
    flat = np.stack([_labels(one, ways[1:], rule) for one in turned])
    out[:] = _more_than_half(flat, spline_matrix(ways[0], rule.z_order))
    return result


def _planes(one: np.ndarray, ways: Sequence[AxisMap], rule: Spline, *, out: np.ndarray) -> None:
    """Plane by plane, clipped to the range of each; then along the first axis."""
    if rule.z_order == 0 or ways[0].is_identity:
        for new, old in _runs(ways[0]):
            out[new] = _plane(one[old], ways[1:], rule.order)
        return
    flat = np.stack([_plane(plane, ways[1:], rule.order) for plane in one])
    out[:] = _along(flat, ways[0], rule.z_order, axis=0)


def _runs(way: AxisMap) -> list[tuple[slice, int]]:
    """Neighboring new slices that come from the same old one, and which that is."""
    nearest = way.nearest()
    starts = [0, *(np.flatnonzero(np.diff(nearest)) + 1).tolist(), len(nearest)]
    return [(slice(a, b), int(nearest[a])) for a, b in pairwise(starts)]


def _plane(plane: np.ndarray, ways: Sequence[AxisMap], order: Order) -> np.ndarray:
    return _clipped(_along(_along(plane, ways[0], order, axis=0), ways[1], order, axis=1), plane, order)


def _volume(one: np.ndarray, maps: Sequence[AxisMap], order: Order) -> np.ndarray:
    """Axes that shrink come first: the others then have less to do."""
    result = one
    for axis in sorted(range(3), key=lambda axis: -maps[axis].ratio):
        result = _along(result, maps[axis], order, axis=axis)
    return _clipped(result, one, order)


def _clipped(new: np.ndarray, old: np.ndarray, order: Order) -> np.ndarray:
    """Splines of order 3 overshoot: beyond the range of the old values nothing is let through."""
    return np.clip(new, old.min(), old.max(), out=new) if order > 1 and new is not old else new


def _along(array: np.ndarray, way: AxisMap, order: Order, *, axis: int) -> np.ndarray:
    """The spline along one axis of a plane or volume, float32."""
    if way.is_identity:
        return array
    if order == 0:
        picked: np.ndarray = array.take(way.nearest(), axis=axis)
        return picked
    shape = list(array.shape)
    shape[axis] = way.new_size
    result = np.empty(shape, dtype=np.float32)
    if axis == array.ndim - 1:
        for band in bands(way, order):
            np.matmul(array[..., band.columns], band.weights.T, out=result[..., band.rows])
        return result
    tail = int(np.prod(shape[axis + 1 :]))
    old, new = array.reshape(*shape[:axis], way.size, tail), result.reshape(*shape[:axis], way.new_size, tail)
    for band in bands(way, order):
        np.matmul(band.weights, old[..., band.columns, :], out=new[..., band.rows, :])
    return result


def _labels(labels: np.ndarray, maps: Sequence[AxisMap], rule: Spline) -> np.ndarray:
    """Labels of a plane or volume by their indicators, where there is more than one near."""
    if all(way.is_identity for way in maps):
        return labels
    nearest = [way.nearest() for way in maps]
    if rule.order == 0:
        picked: np.ndarray = labels[np.ix_(*nearest)]
        return picked
    numbers = np.unique(labels)
    rest = 0 if 0 in numbers else int(numbers[0])
    result = np.full(tuple(way.new_size for way in maps), rest, dtype=labels.dtype)
    if len(numbers) == 1:
        return result
    matrices = [spline_matrix(way, rule.order) for way in maps]
    with one_thread():
        if rule.winner == "half":
            _take_halves(labels, rest, matrices, out=result)
        else:
            _decide(labels, rest, matrices, None if rule.winner == "first" else nearest, out=result)
    return result


def _decide(
    labels: np.ndarray,
    rest: int,
    matrices: Sequence[np.ndarray],
    nearest: Sequence[np.ndarray] | None,
    *,
    out: np.ndarray,
) -> None:
    """The label with the largest share, where other labels than `rest` reach; of equals the nearest, or the lowest."""
    target, source = windows(labels != rest, matrices)
    part = labels[source]
    weights = [matrix[rows, columns] for matrix, rows, columns in zip(matrices, target, source, strict=True)]
    if nearest is None:
        out[target] = _first_largest(part, weights)
        return
    near = labels[np.ix_(*(index[rows] for index, rows in zip(nearest, target, strict=True)))]
    best = np.full(near.shape, -np.inf)
    winner, is_nearest_level = np.empty_like(near), np.zeros(near.shape, dtype=bool)
    for number in np.unique(part):
        share = np.clip(_spread(part == number, weights), 0, 1)
        is_better, is_level = share > best + TIED, share >= best - TIED
        winner[is_better] = number
        is_nearest_level = (is_nearest_level & ~is_better) | ((near == number) & is_level & (share > TIED))
        np.maximum(best, share, out=best)
    out[target] = np.where(is_nearest_level, near, winner)


def _first_largest(part: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    """The lowest label with the largest share, in half precision."""
    best: np.ndarray = np.full([len(matrix) for matrix in weights], -1, dtype=np.float16)
    winner: np.ndarray = np.empty(best.shape, dtype=part.dtype)
    for number in np.unique(part):
        share = (_spread(part == number, weights) * THOUSAND).astype(np.float16)
        winner[share > best] = number
        np.maximum(best, share, out=best)
    return winner


def _take_halves(labels: np.ndarray, rest: int, matrices: Sequence[np.ndarray], *, out: np.ndarray) -> None:
    """The highest label with half a voxel or more, where other labels than `rest` reach; 0 if there is none."""
    target, source = windows(labels != rest, matrices)
    part = labels[source]
    weights = [matrix[rows, columns] for matrix, rows, columns in zip(matrices, target, source, strict=True)]
    out[target] = 0
    for number in np.unique(part):
        out[target][_spread(part == number, weights) >= HALF - TIED] = number


def _spread(mask: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    values: np.ndarray[Any, Any] = mask.astype(np.float64)
    for axis, matrix in enumerate(weights):
        values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return values


def _more_than_half(labels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Labels along the first axis: those whose share exceeds one half, the largest number of several, else 0."""
    result = np.zeros((len(matrix), *labels.shape[1:]), dtype=labels.dtype)
    for number in np.unique(labels):
        share = np.tensordot(matrix, (labels == number).astype(np.float64), axes=(1, 0))
        result[share > 0.5] = number
    return result
