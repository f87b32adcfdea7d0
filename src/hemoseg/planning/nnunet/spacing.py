"""nnU-Net's target spacing, order of axes and shapes after resampling.

Bit for bit: the operations, their order and NumPy's functions are those of the planners.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hemoseg.planning.nnunet.facts import DatasetFacts
from hemoseg.types import IntZYX

ANISOTROPY = 3
"""An axis is coarse if its spacing is more than this many times the next one's."""
COARSE_PERCENTILE = 10
"""Percentile of the spacings that becomes the target along a coarse axis."""

Axes = NDArray[np.float64]
"""One value per axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The grid that all configurations start from."""

    target_mm: Axes
    """Target spacing along the axes as stored."""
    is_coarse: bool
    """Whether one axis was so coarse that it takes a low percentile instead of the median."""
    transpose: IntZYX
    """Order of the axes: the one of the coarsest target spacing first."""


def make_frame(facts: DatasetFacts) -> Frame:
    """Target spacing and order of the axes, the same in v1 and v2.

    The target is the median spacing along each axis. Along the coarsest axis it is the 10th percentile if that
    median is more than 3 times the others and the axis has less than a third of the others' voxels, but never
    finer than the others.

    Example:
        >>> from hemoseg.planning.nnunet.facts import DatasetFacts
        >>> facts = DatasetFacts(
        ...     dataset_name="d", channel_names=("CT",), label_count=2, training_cases=2, file_ending=".nii.gz",
        ...     spacings_mm=((5.0, 0.5, 0.5),) * 2, shapes=((30, 512, 512),) * 2, relative_size=1.0,
        ...     intensities=(None,))
        >>> make_frame(facts).target_mm.tolist()
        [5.0, 0.5, 0.5]
    """
    spacings = np.array(facts.spacings_mm, dtype=np.float64)
    target: Axes = np.percentile(spacings, 50, 0)
    sizes: Axes = np.percentile(np.array(facts.shapes), 50, 0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    coarsest_other = max(target[axis] for axis in others)
    is_coarse = bool(
        target[worst] > ANISOTROPY * coarsest_other and sizes[worst] * ANISOTROPY < min(sizes[a] for a in others)
    )
    if is_coarse:
        value = np.percentile(spacings[:, worst], COARSE_PERCENTILE)
        target[worst] = coarsest_other + 1e-5 if value < coarsest_other else value
    first = int(np.argmax(target))
    rest = [axis for axis in range(3) if axis != first]
    return Frame(target_mm=target, is_coarse=is_coarse, transpose=(first, rest[0], rest[1]))


def resampled_shapes(facts: DatasetFacts, target_mm: Axes) -> Axes:
    """Shape of each case at the target spacing, not rounded; one row per case."""
    shapes: Axes = np.array(facts.spacings_mm, dtype=np.float64) / target_mm * np.array(facts.shapes)
    return shapes


def median_spacing(facts: DatasetFacts, transpose: IntZYX) -> tuple[float, float, float]:
    """Median spacing along the transposed axes."""
    return _triple(np.median(np.array(facts.spacings_mm, dtype=np.float64), 0), transpose)


def median_shape(facts: DatasetFacts, transpose: IntZYX) -> IntZYX:
    """Median shape along the transposed axes, half rounded to even."""
    z, y, x = (round(value) for value in _triple(np.median(np.array(facts.shapes), 0), transpose))
    return z, y, x


def coarsened(spacing_mm: Axes, factor: float) -> Axes:
    """The next coarser spacing: the finer axes while they are more than 2 times finer, else all.

    Example:
        >>> coarsened(np.array([5.0, 0.5, 0.5]), 2.0).tolist()
        [5.0, 1.0, 1.0]
    """
    result = spacing_mm.copy()
    fine = max(spacing_mm) / spacing_mm > 2
    if np.any(fine):
        result[fine] *= factor
    else:
        result *= factor
    return result


def _triple(values: NDArray[Any], transpose: IntZYX) -> tuple[float, float, float]:
    z, y, x = (float(values[axis]) for axis in transpose)
    return z, y, x
