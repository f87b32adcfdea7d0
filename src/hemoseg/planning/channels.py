"""Windows that become the input channels of head-CT networks."""

from hemoseg.errors import SettingsError
from hemoseg.plan import Channel, Pooling, Reason, Window
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.reasons import because
from hemoseg.settings import Steps
from hemoseg.windows import window_named

WINDOWS = (
    Window(name="brain", low_hu=0.0, high_hu=80.0),
    Window(name="edema", low_hu=5.0, high_hu=45.0),
    Window(name="tissue", low_hu=-20.0, high_hu=100.0),
)
"""Input channels: where blood stands out, where edema does, and the range between air and bone."""
NEEDS_WINDOWS = ("summed-area", "random-area")
"""Ways of pooling whose values must not be negative: windows come first, scaled to [0, 1]."""


def make_channels(fingerprint: Fingerprint, steps: Steps) -> tuple[tuple[Channel, ...], Reason]:
    """The channels and why: those asked for, or `WINDOWS` cut to what clipped data or pseudo-HU hold."""
    scale = (0.0, 1.0) if windows_come_first(steps.pooling) else (-1.0, 1.0)
    if steps.windows:
        windows = tuple(window_named(name) for name in steps.windows)
        reason = because("windows", listed(windows), "given", source="--window", basis="given")
    else:
        windows, why = _within(fingerprint)
        reason = because("windows", listed(windows), why)
    return tuple(Channel(name=window.name, window=window, scale=scale) for window in windows), reason


def windows_come_first(pooling: Pooling | None) -> bool:
    """Whether this way of pooling works on windowed values only."""
    return pooling is not None and pooling.kind in NEEDS_WINDOWS


def check_windows(steps: Steps) -> None:
    """Make sure that a way of pooling that needs windows has some.

    Raises:
        SettingsError: it has none.
    """
    if windows_come_first(steps.pooling) and not steps.windows:
        assert steps.pooling is not None
        raise SettingsError(
            f"{steps.pooling.kind} pooling of HU, which may be negative",
            where="--pool",
            expected="values from 0 up: windows come first",
            remedy="name a window, such as --window brain, or pool by maximum or average",
        )


def listed(windows: tuple[Window, ...]) -> str:
    """Windows with their bounds as text."""
    return ", ".join(f"{w.name} [{w.low_hu:g}, {w.high_hu:g}]" for w in windows) + " HU"


def _within(fingerprint: Fingerprint) -> tuple[tuple[Window, ...], str]:
    """The windows, cut to what clipped data hold, so that true-HU scans look alike to the network; and why."""
    held = fingerprint.held_hu
    if held is None:
        return WINDOWS, "the data hold true HU"
    low, high = held
    cut = tuple(
        window.model_copy(update={"low_hu": max(window.low_hu, low), "high_hu": min(window.high_hu, high)})
        for window in WINDOWS
        if max(window.low_hu, low) < min(window.high_hu, high)
    )
    kind = "clipped data" if fingerprint.pseudo_hu is None else "pseudo-HU"
    if not cut:
        return WINDOWS, f"{kind} share no range with them: [{low:g}, {high:g}] HU"
    what = "to which data are clipped" if fingerprint.pseudo_hu is None else "the bounds of the data's pseudo-HU"
    return cut, f"within [{low:g}, {high:g}] HU, {what}"
