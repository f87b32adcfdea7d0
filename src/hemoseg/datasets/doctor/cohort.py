"""What shows only when cases are compared. Pure: facts in, findings out."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from hemoseg.arrays import Bool, Float64
from hemoseg.datasets.doctor.examine import CaseFacts
from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.index import shorten
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable

SPREAD = 1.5
"""Largest over smallest spacing or field of view from which a spread is worth a note."""
NEAR_HU = 6.0
"""Root mean square difference of signatures below which two scans are one: heads of two patients differ by three times
this and more, noise by less."""
FEWEST = 5
"""Cases from which the others tell how a head stands."""
SLICES_BETTER, ROWS_BETTER = 0.95, 0.9
"""Share of the difference to the other heads that may remain after reversing one that stands wrongly. Slices tell more
surely: a head that stands right is never nearer to the others upside down, back to front it may be by some percent."""
FEWEST_ROWS = 15
"""Other cases from which they tell how rows run: fewer heads have no front in their mean."""
ROWS_TELL = 1.12
"""What reversing the rows of the other heads does to their own differences, in the median, if heads have a front."""
DISAGREE = 0.2
"""Share of the other heads that may be nearer to the mean when reversed, or they do not agree on a front."""
FAR_OFF, LEAST_SPREAD = 3.0, 0.02
"""How many spreads below the others, in logarithms, a head has to be to be told by its rows; the least spread."""
TAPERED, WIDE = 0.4, 0.6
"""Upside down without others to compare: the lowest slices have less head than this share of the widest, as only the
vertex has, the highest more than that."""
ENDS = 3
"""Slices at either end that are looked at for it."""

_PATIENT_AXES = (("S", "I"), ("P", "A"), ("L", "R"))


def judge_cohort(cases: Sequence[CaseFacts], table: LabelTable | None, *, in_hu: set[str]) -> Iterator[Finding]:
    """Findings on several cases together.

    Args:
        cases: facts of all cases.
        table: the classes; None if they are not known.
        in_hu: names of those whose numbers are HU: the others cannot be compared.
    """
    yield from _duplicates(cases)
    seen = [case for case in cases if case.stack is not None and case.name in in_hu]
    yield from _near_duplicates(seen)
    yield from _reversed(seen)
    grids = [case.grid for case in cases if case.grid is not None]
    yield from _orientations(grids)
    yield from _ranges("spacings", "spacing", [_turned(grid).spacing_mm for grid in grids])
    fields = [(grid.spacing_mm[1] * grid.shape[1], grid.spacing_mm[2] * grid.shape[2]) for grid in map(_turned, grids)]
    yield from _ranges("field-of-view", "field of view", fields)
    if table is not None:
        yield from _classes(cases, table)


def orientation_of(grid: Grid) -> str:
    """Where the array axes z, y, x run to: S or I (superior, inferior), P or A, L or R."""
    orientation = grid.canonical_orientation()
    letters = ["", "", ""]
    for patient, (axis, flip) in enumerate(zip(orientation.axes, orientation.flips, strict=True)):
        letters[axis] = _PATIENT_AXES[patient][int(flip)]
    return "".join(letters)


def _turned(grid: Grid) -> Grid:
    return grid.reoriented(grid.canonical_orientation())


def _duplicates(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    groups: dict[str, list[CaseFacts]] = defaultdict(list)
    for case in cases:
        if case.image is not None and case.image.low != case.image.high:
            groups[case.image.content].append(case)
    for group in groups.values():
        if len({case.patient for case in group}) > 1:
            names = tuple(case.name for case in group)
            yield Finding(code="duplicate", cases=names, found=f"the same image: {shorten(list(names))}")


def _near_duplicates(seen: Sequence[CaseFacts]) -> Iterator[Finding]:
    if len(seen) < 2:
        return
    flat = _signatures(seen).reshape(len(seen), -1)
    squares = (flat**2).mean(axis=1)
    for row, case in enumerate(seen[:-1]):  # a row at a time: all pairs of thousands of cases would fill the memory
        rest = flat[row + 1 :]
        apart = np.sqrt(np.maximum(squares[row] + squares[row + 1 :] - 2 * (rest @ flat[row]) / flat.shape[1], 0.0))
        for k in np.flatnonzero(apart < NEAR_HU):
            other = seen[row + 1 + int(k)]
            if case.patient != other.patient and _content(case) != _content(other):
                found = f"{case.name} and {other.name} differ by {apart[k]:.1f} HU on a coarse grid"
                yield Finding(code="near-duplicate", cases=(case.name, other.name), found=found)


def _content(case: CaseFacts) -> str:
    return "" if case.image is None else case.image.content


def _signatures(seen: Sequence[CaseFacts]) -> Float64[np.ndarray, "n z y x"]:
    return np.stack([case.stack.signature for case in seen if case.stack is not None]).astype(np.float64)


def _reversed(seen: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Heads that stand upside down or back to front, told by the others or by their own form."""
    told: set[str] = set()
    if len(seen) > FEWEST:
        signatures = _signatures(seen)
        slices, rows = (_remaining(signatures, axis) for axis in (0, 1))
        for code, remaining, wrong in (
            ("slices-reversed", slices, slices < SLICES_BETTER),
            ("rows-reversed", rows, _stand_back_to_front(rows)),
        ):
            for k in map(int, np.flatnonzero(wrong)):
                told.add(seen[k].name)
                found = f"reversed, it is {100 * (1 - remaining[k]):.0f} % nearer to the other heads"
                yield Finding(code=code, cases=(seen[k].name,), found=found)
    for case in seen:
        if case.stack is not None and case.name not in told and len(case.stack.areas) > 2 * ENDS:
            areas = np.array(case.stack.areas)
            low, high = (float(part.mean() / max(areas.max(), 1e-9)) for part in (areas[:ENDS], areas[-ENDS:]))
            if low < TAPERED and high > WIDE:
                found = f"the lowest slices hold {100 * low:.0f} % of the widest, the highest {100 * high:.0f} %"
                yield Finding(code="slices-reversed", cases=(case.name,), found=found)


def _remaining(signatures: Float64[np.ndarray, "n z y x"], axis: int) -> Float64[np.ndarray, " n"]:
    """The difference of each head to the mean of the others after reversing it, as a share of that before."""
    others = (signatures.sum(axis=0) - signatures) / (len(signatures) - 1)
    as_is, turned = (
        np.sqrt(((heads - others) ** 2).mean(axis=(1, 2, 3))) for heads in (signatures, np.flip(signatures, axis + 1))
    )
    return np.asarray(turned / np.maximum(as_is, 1e-9))


def _stand_back_to_front(remaining: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which heads stand back to front, where the others agree on where the front is.

    Heads are nearly alike in front and behind: in a data set whose heads do not tell, chance alone brings some of them
    nearer to the mean when they are reversed.
    """
    logs = np.log(np.maximum(remaining, 1e-9))
    wrong = np.zeros(len(remaining), dtype=np.bool_)
    for k in np.flatnonzero(remaining < ROWS_BETTER) if len(remaining) > FEWEST_ROWS else ():
        others = np.delete(logs, k)
        middle = float(np.median(others))
        spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(others - middle))))
        agree = middle > np.log(ROWS_TELL) and np.mean(others < 0) <= DISAGREE
        wrong[k] = agree and logs[k] < middle - FAR_OFF * spread
    return wrong


def _orientations(grids: Sequence[Grid]) -> Iterator[Finding]:
    counts: dict[str, int] = defaultdict(int)
    for grid in grids:
        counts[orientation_of(grid)] += 1
    if len(counts) > 1:
        text = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        yield Finding(code="orientations", found=f"array axes (z, y, x) run to {text}")


def _ranges(code: str, what: str, rows: Sequence[tuple[float, ...]]) -> Iterator[Finding]:
    """A spread of lengths in mm, axes of which the last is x."""
    if not rows:
        return
    values = np.array(rows)
    low, high = values.min(axis=0), values.max(axis=0)
    if np.any(high > SPREAD * low):
        axes = "zyx"[-values.shape[1] :]
        text = ", ".join(f"{axis} {a:.3g} to {b:.3g}" for axis, a, b in zip(axes, low, high, strict=True))
        yield Finding(code=code, found=f"{what} varies, in mm: {text}")


def _classes(cases: Sequence[CaseFacts], table: LabelTable) -> Iterator[Finding]:
    for text in table.warnings():
        yield Finding(code="class-name", found=text)
    labels = [case.label for case in cases if case.label is not None]
    present = {name for label in labels for name in label.classes}
    if labels and len(labels) == len(cases) and all(max(label.values) <= table.largest for label in labels):
        if not present:
            yield Finding(code="all-empty", found=f"none of {len(labels)} labels has a foreground voxel")
            return
        absent = [name for name in table.members if name not in present]
        if absent:
            yield Finding(code="class-absent", found=f"no label holds {', '.join(absent)}")
