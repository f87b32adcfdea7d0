"""nnU-Net's normalization schemes, in the same order of float32 operations.

Source:
    nnU-Net v2 2.8.1, `default_normalization_schemes`; v1 normalizes after resampling and zeroes what lies outside.
"""

from collections.abc import Sequence

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.errors import InputError
from hemoseg.plan import Channel, Intensity
from hemoseg.types import Mask, NewStack

Stack = Float32[np.ndarray, "c z y x"]
"""Channels of one volume, axes (c, z, y, x)."""
SMALLEST_DEVIATION = 1e-8
"""Deviations below this are taken as this."""


def normalize(stack: Stack, channels: Sequence[Channel], inside: Mask | None, *, where: str) -> NewStack:
    """Each channel by its own scheme, in new memory.

    Args:
        stack: axes (c, z, y, x).
        channels: the plan's channels, in the same order.
        inside: the non-zero mask; None if it is everywhere.
        where: the case, for error texts.

    Raises:
        InputError: values that the scheme cannot take.
    """
    result = np.empty(stack.shape, dtype=np.float32)
    for new, old, channel in zip(result, stack, channels, strict=True):
        _one(old, channel, inside if channel.masked else None, new, where=where)
    return result


def _one(old: np.ndarray, channel: Channel, inside: Mask | None, new: np.ndarray, *, where: str) -> None:
    if channel.normalization == "ct":
        facts = _intensity_of(channel, where=where)
        for part, values in zip(new, old, strict=True):  # a slice stays in the cache for all three operations
            np.clip(values, facts.percentile_00_5, facts.percentile_99_5, out=part)
            part -= facts.mean
            part /= max(facts.std, SMALLEST_DEVIATION)
    elif channel.normalization == "zscore" and inside is not None:
        new[:] = old
        values = old[inside]
        if values.size:
            new[inside] = (values - values.mean()) / max(values.std(), SMALLEST_DEVIATION)
    elif channel.normalization == "zscore":
        np.subtract(old, old.mean(), out=new)
        new /= max(old.std(), SMALLEST_DEVIATION)
    elif channel.normalization == "rescale":
        np.subtract(old, old.min(), out=new)
        new /= max(new.max(), SMALLEST_DEVIATION)
    elif channel.normalization == "rgb":
        _check_is_rgb(old, where=where)
        np.divide(old, 255.0, out=new)
    else:
        new[:] = old


def _intensity_of(channel: Channel, *, where: str) -> Intensity:
    if channel.intensity is None:
        raise InputError(
            f"the plan knows no foreground intensities of channel {channel.name}",
            where=where,
            expected="mean, std and percentiles of the foreground, which CT is normalized by",
            remedy="plan again from a fingerprint of cases with labeled voxels",
        )
    return channel.intensity


def _check_is_rgb(old: np.ndarray, *, where: str) -> None:
    low, high = float(old.min()), float(old.max())
    if low < 0 or high > 255:
        raise InputError(
            f"values from {low:g} to {high:g}",
            where=where,
            expected="0 to 255, which normalization `rgb` divides by 255",
            remedy="name the channel CT or otherwise in dataset.json, and plan again",
        )
