"""How much is done for a scan: mirrorings, distance of tiles, folds; all of it, or what fits into a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hemoseg.inference.tiles import STEP

WIDER_STEPS = (0.75, 1.0)
"""Distances of neighboring tiles as a share of the tile that are tried where time is short."""
NETWORK_SHARE = 0.9
"""Share of the time left that networks may take; the rest is for the way back to the scan's grid."""
BACK_S_PER_VOXEL = 2e-7
"""Seconds of that way for each voxel of the scan, if they are more: 1e-7 to 1.8e-7 were measured on an idle CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What is done for a scan."""

    folds: int
    """Networks that are averaged, the first ones."""
    mirror_axes: tuple[int, ...]
    """Array axes to mirror along, in all combinations."""
    step: float = STEP
    """Distance of neighboring tiles as a share of the tile."""

    @property
    def passes(self) -> int:
        """Passes of a tile."""
        return self.folds * self.mirrorings

    @property
    def mirrorings(self) -> int:
        """Copies of a tile that are run, the plain one among them."""
        return 1 << len(self.mirror_axes)


def effort_within(
    full: Effort,
    *,
    budget_s: float,
    left_s: float,
    back_s: float,
    one_pass: Callable[[], object],
    clock: Callable[[], float],
    count_tiles: Callable[[float], int],
    name: str,
) -> tuple[Effort, tuple[str, ...]]:
    """What fits into the time left, by the time that one pass of a tile takes now, and what the user must know of it.

    Args:
        full: what is done without a limit.
        budget_s: the budget as it was given.
        left_s: seconds of it that are left for this network.
        back_s: seconds that the way back to the scan's grid is foreseen to take.
        one_pass: runs one tile once.
        clock: seconds that only grow.
        count_tiles: number of tiles at a distance.
        name: name of the configuration.
    """
    began = clock()
    one_pass()
    pass_s = clock() - began
    share_s, left_s = NETWORK_SHARE * (left_s - pass_s), left_s - pass_s - back_s
    effort, foreseen_s = fit_effort(full, pass_s=pass_s, left_s=min(share_s, left_s), count_tiles=count_tiles)
    dropped = dropped_words(full, effort, budget_s=budget_s, name=name)
    warnings = [] if dropped is None else [dropped]
    if foreseen_s > left_s:
        warnings.append(
            f"{name} was foreseen to take {_seconds(foreseen_s)} s, with {_seconds(max(0.0, left_s))} s left"
        )
    return effort, tuple(warnings)


def fit_effort(
    full: Effort, *, pass_s: float, left_s: float, count_tiles: Callable[[float], int]
) -> tuple[Effort, float]:
    """The first of the efforts, from the full one down, that fits into the time left; the least if none does.

    Args:
        full: what is done without a limit.
        pass_s: seconds of one pass of one tile.
        left_s: seconds left for them.
        count_tiles: number of tiles at a distance.

    Returns:
        The effort, and the seconds of networks foreseen for it.
    """
    tiles = {step: count_tiles(step) for step in {full.step, *WIDER_STEPS}}
    for effort in lesser_efforts(full):
        foreseen_s = tiles[effort.step] * effort.passes * pass_s
        if foreseen_s <= left_s:
            break
    return effort, foreseen_s


def lesser_efforts(full: Effort) -> Iterator[Effort]:
    """Efforts from the full one down to the least.

    Mirrorings go first, z before y before x, as they are the dearest for what they give; then tiles lie farther
    apart, then folds go, and at last tiles do not overlap.

    Example:
        >>> [(e.folds, e.mirror_axes, e.step) for e in lesser_efforts(Effort(folds=2, mirror_axes=(1, 2)))]
        [(2, (1, 2), 0.5), (2, (2,), 0.5), (2, (), 0.5), (2, (), 0.75), (1, (), 0.75), (1, (), 1.0)]
    """
    axes = full.mirror_axes
    for dropped in range(len(axes) + 1):
        yield Effort(folds=full.folds, mirror_axes=axes[dropped:], step=full.step)
    wider, widest = WIDER_STEPS
    for folds in range(full.folds, 0, -1):
        yield Effort(folds=folds, mirror_axes=(), step=wider)
    yield Effort(folds=1, mirror_axes=(), step=widest)


def dropped_words(full: Effort, effort: Effort, *, budget_s: float, name: str) -> str | None:
    """What was dropped, for the result's warnings; None if nothing was."""
    parts: list[str] = []
    if effort.mirror_axes != full.mirror_axes:
        parts.append(f"{effort.mirrorings} of {full.mirrorings} mirrorings")
    if effort.step != full.step:
        parts.append(f"tiles {effort.step:g} of their length apart in place of {full.step:g}")
    if effort.folds != full.folds:
        parts.append(f"{effort.folds} of {full.folds} folds")
    return f"to keep to {budget_s:g} s, {name} was run with {_listed(parts)}" if parts else None


def late_words(budget_s: float | None, taken_s: float) -> str | None:
    """What to say of a scan that took longer than its budget; None if it did not."""
    if budget_s is None or taken_s <= budget_s:
        return None
    return f"it took {_seconds(taken_s)} s, with a time budget of {budget_s:g} s"


def _seconds(value: float) -> str:
    """Whole seconds, or two digits of fewer than ten.

    Example:
        >>> _seconds(0.0214), _seconds(3.14), _seconds(75.3)
        ('0.021', '3.1', '75')
    """
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
