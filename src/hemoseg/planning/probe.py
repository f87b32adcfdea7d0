"""Smaller patches for the same network, which tell what a step of the whole patch takes.

All stages of a network shrink and grow with its patch, so the time of a step is a + b v for v voxels: the update of
the weights, and what every voxel costs.
"""

from math import ceil, prod

from hemoseg.plan import Configuration, Plan
from hemoseg.planning.memory import plan_memory

LEAST_COARSE = 8
"""Voxels that a patch must keep at the coarsest stage: with fewer, a step mostly moves weights, which tells little."""
SMALLEST_PART = 64
"""A patch that is timed has at least one in so many of the voxels it stands for: what a step takes whatever its size
counts that often where the smallest patch alone can be timed."""
TIMING_MB = 3000.0
"""Memory that timing may take, by the estimate: a machine that plans may not be the one that trains."""


def probes(plan: Plan, configuration: Configuration) -> tuple[Configuration, ...]:
    """What can be timed in place of a configuration, the smallest first; the last is the configuration itself.

    The others take one patch per step. Each has about half the voxels of the next. Those beyond `TIMING_MB` are left
    out, but never the smallest.
    """
    factors = [prod(stride[axis] for stride in configuration.strides) for axis in range(3)]
    units = [size // factor for size, factor in zip(configuration.patch_size, factors, strict=True)]
    found = [configuration]
    if configuration.batch_size > 1:
        found.append(configuration.model_copy(update={"batch_size": 1}))
    while True:
        axis = units.index(max(units))
        units[axis] = ceil(units[axis] / 2)
        size = tuple(unit * factor for unit, factor in zip(units, factors, strict=True))
        is_too_small = prod(units) < LEAST_COARSE or SMALLEST_PART * prod(size) < voxels_of(configuration)
        if is_too_small or max(units) == 1:
            break
        found.append(configuration.model_copy(update={"patch_size": size, "batch_size": 1}))
    smallest, *larger = reversed(found)
    return smallest, *(item for item in larger if plan_memory(plan, item).total_mb <= TIMING_MB)


def voxels_of(configuration: Configuration) -> int:
    """Voxels of a step's patches."""
    return prod(configuration.patch_size) * configuration.batch_size


def extrapolate_seconds(small: tuple[int, float], large: tuple[int, float], voxels: int) -> float:
    """Seconds of a step of so many voxels, by the line through two timed sizes, or through one and zero.

    Of two that do not rise, by noise, the larger one counts alone.

    Args:
        small: (voxels, seconds) of a step that was timed.
        large: those of a larger one, or the same again.
        voxels: of the step that is sought.

    Example:
        >>> extrapolate_seconds((10, 2.0), (10, 2.0), 30)
        6.0
        >>> extrapolate_seconds((10, 2.0), (20, 3.0), 50)
        6.0
    """
    (low, low_s), (high, high_s) = small, large
    if high == low or high_s <= low_s:
        return high_s * voxels / high
    return high_s + (high_s - low_s) / (high - low) * (voxels - high)
