"""The largest patch that fits: nnU-Net's loop, the same in v1 and v2 but for what it counts."""

from collections.abc import Callable
from math import isfinite

from hemoseg.errors import SettingsError
from hemoseg.planning.topology import SizesZYX, Topology
from hemoseg.types import FloatZYX, IntZYX

TopologyRule = Callable[[FloatZYX, SizesZYX], Topology]
"""Spacing and wanted patch to stages and padded patch."""


def shrink_to_fit(
    start: Topology,
    rule: TopologyRule,
    *,
    spacing_mm: FloatZYX,
    median_shape: SizesZYX,
    is_too_large: Callable[[Topology], bool],
    where: str,
) -> Topology:
    """Shrink a patch step by step along the axis that covers most of the median case until it fits.

    A step is what the patch must be a multiple of once it is smaller, so that no valid size is passed over. Of
    axes that cover the same the last one shrinks.

    Args:
        start: stages and patch to start from.
        rule: how a patch becomes a topology.
        spacing_mm: spacing of the network's grid.
        median_shape: voxels of the median case on that grid.
        is_too_large: whether a topology needs more memory than there is.
        where: name of data set and configuration, for errors.

    Raises:
        SettingsError: nothing fits, or the loop would not end, as in nnU-Net.
    """
    topology, seen = start, {start}
    axes = [axis for axis in range(3) if isfinite(spacing_mm[axis])]
    while is_too_large(topology):
        patch = topology.patch_size
        axis = max(axes, key=lambda a: (patch[a] / median_shape[a], a))
        smaller = rule(spacing_mm, _less(patch, axis, topology.divisor[axis]))
        reduced = _less(patch, axis, smaller.divisor[axis])
        topology = rule(spacing_mm, reduced)
        if min(reduced) < 1 or topology in seen:
            why = "no patch is small enough" if min(reduced) < 1 else f"nnU-Net's loop does not end at {patch}"
            raise SettingsError(
                f"{why} for the memory given",
                where=where,
                expected="memory that a patch of a few voxels fits into, in two samples",
                remedy="give more memory (--memory-gb)",
            )
        seen.add(topology)
    return topology


def _less(patch: IntZYX, axis: int, step: int) -> IntZYX:
    z, y, x = (size - step if a == axis else size for a, size in enumerate(patch))
    return z, y, x
