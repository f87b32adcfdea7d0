"""Rotation and scaling of a patch: batchgeneratorsv2's, with a faster way for the labels."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from torch import Tensor

from hemoseg.arrays import Float32, Int16, Int64

OUTSIDE = -1
"""Label beyond the image."""
MIXED = -(2**15)
"""Stands for a block of voxels that differ."""
MARGIN = 2
"""Voxels put around a label map: a point beyond them sees nothing else."""
SHARE_SCALE = 1000
"""Shares are compared in float16 after this factor, as in batchgeneratorsv2: near ties are ties."""


class Spatial(SpatialTransform):  # type: ignore[misc]
    """batchgeneratorsv2's transform, where labels are interpolated linearly and the largest share wins.

    It interpolates an indicator of every label of every slice. But most points lie among voxels of one label, which
    is the result; shares are computed for the others alone.
    """

    def _apply_to_segmentation(self, segmentation: Int16[Tensor, " n *_"], **params: Any) -> Int16[Tensor, " n *_"]:
        grid = params["grid"]
        return super()._apply_to_segmentation(segmentation, **params) if grid is None else resample(segmentation, grid)


def resample(labels: Int16[Tensor, " n *s"], grid: Float32[Tensor, "*p d"]) -> Int16[Tensor, " n *p"]:
    """Label maps at the points of a grid; `OUTSIDE` surrounds them.

    The label with the largest share of a linear interpolation wins. Among equal ones, to the precision of float16,
    the nearest voxel's does, or the lowest where that is not among them.

    Args:
        labels: one or more label maps, seen at the same points.
        grid: points as `torch.nn.functional.grid_sample` has them: last axis first, -1 and 1 are the outer edges.
    """
    count, *shape = labels.shape
    padded = torch.nn.functional.pad(labels, [MARGIN] * (2 * len(shape)), value=OUTSIDE)
    at = torch.stack([((grid[..., -1 - i].reshape(-1) + 1) * n - 1) / 2 for i, n in enumerate(shape)])
    low = torch.stack([row.floor().clamp(-MARGIN, n) for row, n in zip(at, shape, strict=True)])
    steps = [int(step) for step in padded.stride()[1:]]
    first = sum((row.long() + MARGIN) * step for row, step in zip(low, steps, strict=True))
    assert isinstance(first, Tensor)
    found = _blocks(padded).reshape(count, -1).index_select(1, first)
    maps, points = (found == MIXED).nonzero(as_tuple=True)
    corners = torch.stack([first[points] + offset for offset in _offsets(steps)], dim=1)
    among = padded.reshape(-1)[maps[:, None] * padded[0].numel() + corners]
    found[maps, points] = _winners(among, (at - low)[:, points], (at.round() - low).long()[:, points])
    return found.reshape(count, *grid.shape[:-1])


def _blocks(labels: Int16[Tensor, " n *s"]) -> Int16[Tensor, " n *s"]:
    """For each voxel the label that it shares with its next neighbors along all axes, or `MIXED`."""
    low = high = labels
    for axis in range(1, labels.ndim):
        low = torch.minimum(low, low.roll(-1, axis))
        high = torch.maximum(high, high.roll(-1, axis))
    return torch.where(low == high, low, MIXED)


def _offsets(steps: Sequence[int]) -> list[int]:
    """Distance of each corner of a block from its first voxel; the last axis changes fastest."""
    return [sum(step for step, further in zip(steps, corner, strict=True) if further) for corner in _corners(steps)]


def _corners(axes: Sequence[Any]) -> list[tuple[int, ...]]:
    """The corners of a block: 0 or 1 along each axis."""
    return list(product((0, 1), repeat=len(axes)))


def _winners(
    among: Int16[Tensor, "m k"], fractions: Float32[Tensor, "d m"], nearest: Int64[Tensor, "d m"]
) -> Int16[Tensor, " m"]:
    """The label that wins at each point.

    Args:
        among: labels of the corners of its block.
        fractions: where it lies between them along each axis.
        nearest: the nearest corner, 0 or 1 along each axis.
    """
    weights = torch.ones_like(fractions[0])[:, None]
    number = torch.zeros_like(nearest[0])
    for fraction, near in zip(fractions, nearest, strict=True):
        sides = torch.stack([1 - fraction, fraction], dim=1)
        weights = (weights[:, :, None] * sides[:, None, :]).flatten(1)
        number = number * 2 + near
    same = among[:, :, None] == among[:, None, :]
    shares = ((same * weights[:, None, :]).sum(2) * SHARE_SCALE).to(torch.float16)
    best = shares == shares.amax(1, keepdim=True)
    lowest = torch.where(best, among, torch.iinfo(torch.int16).max).amin(1)
    own = best.gather(1, number[:, None])[:, 0]
    return torch.where(own, among.gather(1, number[:, None])[:, 0], lowest)
