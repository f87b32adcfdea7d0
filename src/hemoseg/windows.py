"""HU to input channels: named windows, clamped and scaled."""

from collections.abc import Sequence

import numpy as np

from hemoseg.plan import Window
from hemoseg.types import HU, Channels, LabelMap


def apply_windows(hu: HU, windows: Sequence[Window]) -> Channels:
    """One channel per window: low_hu → -1, high_hu → 1, clamped beyond.

    Args:
        hu: intensities in HU, axes (z, y, x).
        windows: the plan's windows, in their order.

    Returns:
        Values in [-1, 1], axes (c, z, y, x).
    """
    channels = np.empty((len(windows), *hu.shape), dtype=np.float32)
    for channel, window in zip(channels, windows, strict=True):
        np.subtract(hu, np.float32(window.low_hu), out=channel)
        channel *= np.float32(2 / (window.high_hu - window.low_hu))
        channel -= 1
        np.clip(channel, -1, 1, out=channel)
    return channels


def hu_range(windows: Sequence[Window]) -> tuple[float, float]:
    """The smallest range of HU that holds every window: nothing beyond it reaches a network."""
    return min(window.low_hu for window in windows), max(window.high_hu for window in windows)


def one_hot(labels: LabelMap, classes: int) -> Channels:
    """One channel of 0 and 1 per foreground class 1 … `classes` - 1, axes (c, z, y, x)."""
    numbers = np.arange(1, classes, dtype=np.uint8)[:, None, None, None]
    channels: Channels = (labels[None] == numbers).astype(np.float32)
    return channels
