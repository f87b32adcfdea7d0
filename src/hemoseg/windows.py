"""HU to input channels: named windows, clamped and scaled."""

import re
from collections.abc import Sequence

import numpy as np

from hemoseg.arrays import Shaped
from hemoseg.errors import SettingsError
from hemoseg.plan import Channel, Window
from hemoseg.types import HU, Channels, Labels

WINDOWS = {
    "paper": (59.0, 96.0),
    "paper-swapped": (96.0, 59.0),
    "brain": (80.0, 40.0),
    "subdural": (200.0, 75.0),
    "stroke": (40.0, 40.0),
    "blood": (80.0, 70.0),
    "bone": (2800.0, 600.0),
    "soft": (350.0, 50.0),
    "wide": (1500.0, 550.0),
}
"""Named windows as (width, center) in HU; bounds are center ± width / 2.

`paper` is the pair that Liangwei prints (INSTANCE 2022, team superembrace), `paper-swapped` the same two numbers
exchanged, which is what the report's own picture shows. The others are display windows in common use; for `blood`
there is no standard, and `wide` is the third window of several challenge entries, [-200, 1300] HU.
"""
BLOOD_HU = (40.0, 90.0)
"""HU of most acute hemorrhage: a window that cuts into this range loses blood."""
_PAIR = re.compile(r"(?P<width>\d+(\.\d+)?)/(?P<center>-?\d+(\.\d+)?)")


def window_named(text: str) -> Window:
    """The window of a name in `WINDOWS`, or of `WIDTH/CENTER` in HU.

    Raises:
        SettingsError: neither.

    Example:
        >>> w = window_named("paper"); w.low_hu, w.high_hu
        (66.5, 125.5)
        >>> window_named("80/40").high_hu
        80.0
    """
    match = _PAIR.fullmatch(text)
    if match is not None and float(match["width"]) > 0:
        return _window(text, float(match["width"]), float(match["center"]))
    if text not in WINDOWS:
        raise SettingsError(
            f"no window '{text}'",
            where="--window",
            expected=f"one of {', '.join(WINDOWS)}, or WIDTH/CENTER in HU such as 80/40",
            remedy="name another window",
        )
    return _window(text, *WINDOWS[text])


def is_printed_pair(window: Window) -> bool:
    """Whether these are the bounds that the paper prints, by whatever name.

    Example:
        >>> is_printed_pair(window_named("59/96")), is_printed_pair(window_named("96/59"))
        (True, False)
    """
    return (window.width_hu, window.center_hu) == WINDOWS["paper"]


def window_doubt(window: Window, *, alone: bool = True) -> str | None:
    """What a user must know of a window that hides blood; None if it shows most of it.

    Args:
        window: the window.
        alone: whether no other window shows what this one hides.

    Example:
        >>> window_doubt(window_named("brain")) is None
        True
    """
    low, high = BLOOD_HU
    shown = max(0.0, min(high, window.high_hu) - max(low, window.low_hu)) / (high - low)
    if shown >= 0.75:
        return None
    return (
        f"window {window.name} [{window.low_hu:g}, {window.high_hu:g}] HU shows {shown:.0%} of the range "
        f"{low:g} to {high:g} HU of acute blood: what lies beyond its bounds is lost to the network"
        + ("" if alone else " but for what other windows show of it")
    )


def apply_windows(hu: HU, channels: Sequence[Channel]) -> Channels:
    """One channel per window: its low bound → the scale's first value, its high bound → the second, clamped beyond.

    Args:
        hu: intensities in HU, axes (z, y, x).
        channels: the plan's channels, in their order; each has a window.

    Returns:
        Axes (c, z, y, x).
    """
    result = np.empty((len(channels), *hu.shape), dtype=np.float32)
    for values, channel in zip(result, channels, strict=True):
        window, (first, last) = channel.window, channel.scale
        assert window is not None
        np.subtract(hu, np.float32(window.low_hu), out=values)
        values *= np.float32((last - first) / window.width_hu)
        values += np.float32(first)
        np.clip(values, np.float32(first), np.float32(last), out=values)
    return result


def hu_range(windows: Sequence[Window]) -> tuple[float, float]:
    """The smallest range of HU that holds every window: nothing beyond it reaches a network."""
    return min(window.low_hu for window in windows), max(window.high_hu for window in windows)


def one_hot(labels: Labels, classes: int) -> Channels:
    """One channel of 0 and 1 per foreground class 1 … `classes` - 1, axes (c, z, y, x)."""
    numbers = np.arange(1, classes, dtype=np.uint8)[:, None, None, None]
    channels: Channels = (labels[None] == numbers).astype(np.float32)
    return channels


def repeat_slices(patch: Shaped[np.ndarray, "*_ z y x"], there: slice) -> None:
    """Repeat the outermost slices of those that are there over the rest of a patch, in place.

    A head goes on beyond the slices that a scan has of it; air there is what a network never saw above a brain.

    Example:
        >>> patch = np.array([0, 7, 8, 0, 0]).reshape(5, 1, 1)
        >>> repeat_slices(patch, slice(1, 3))
        >>> patch.ravel().tolist()
        [7, 7, 8, 8, 8]
    """
    patch[..., : there.start, :, :] = patch[..., there.start : there.start + 1, :, :]
    patch[..., there.stop :, :, :] = patch[..., there.stop - 1 : there.stop, :, :]


def _window(name: str, width_hu: float, center_hu: float) -> Window:
    return Window(name=name, low_hu=center_hu - width_hu / 2, high_hu=center_hu + width_hu / 2)
