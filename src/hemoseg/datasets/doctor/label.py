"""What is measured of a label map, alone and over its image. All but the search for its box is done inside the box."""

from dataclasses import dataclass, field

import numpy as np

from hemoseg.anatomy import AIR_HU
from hemoseg.arrays import Bool, Integer, Real
from hemoseg.components import CORNERS, Box, find_runs
from hemoseg.datasets.facts import filled_box
from hemoseg.labels import LabelTable

Marks = Integer[np.ndarray, "z y x"]
Numbers = Real[np.ndarray, "z y x"]

AIR_BELOW_HU = -150.0
"""Neither blood nor brain lies below, nor most fat."""
BONE_ABOVE_HU = 300.0
"""Bone, metal and dense calcification lie above, blood does not."""
BLOOD_HU = (45.0, 100.0)
"""Acute blood; most of the brain lies below."""
MOST_VALUES = 16
"""Distinct numbers that are kept of a label map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFacts:
    """One class of one case."""

    voxels: int
    """Voxels."""
    air: int = 0
    """Voxels in air, or in what clipping made of it."""
    bone: int = 0
    """Voxels in bone, or in what clipping made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacts:
    """What was measured of a label map."""

    values: tuple[int, ...]
    """Distinct numbers, ascending, the first of them."""
    classes: dict[str, ClassFacts] = field(default_factory=dict)
    """Foreground classes that are present; empty if the label holds numbers without a name."""
    slices: tuple[int, ...] = ()
    """Slices with foreground, as stored along the axis of slices."""
    full_slices: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """{number: slices that hold it alone}, of numbers that are no class, as stored along the first axis."""
    islands: tuple[int, ...] = ()
    """Slice of each foreground voxel that stands alone (26-connectivity, all classes as one)."""
    padding: int = 0
    """Foreground voxels below -1024 HU."""
    blood_share: float = 0.0
    """Share of bleeding voxels whose HU are those of acute blood."""
    turned_share: float = 0.0
    """The largest share after turning the label."""
    turn: str = ""
    """How it was turned."""


def measure_label(labels: Marks, hu: Numbers | None, table: LabelTable | None, *, slice_axis: int = 0) -> LabelFacts:
    """Measure a label map. Pure.

    Args:
        labels: whole numbers, axes (z, y, x).
        hu: the image on the same grid; None if there is none, or on another.
        table: names of the classes; None if they are not known.
        slice_axis: axis along which slices are counted.
    """
    box = filled_box(labels)
    inside = labels[box]
    values = _values(labels, inside)
    if table is None or not all(0 <= value < table.end for value in values):
        return LabelFacts(values=values)
    foreground = (inside > 0) & (inside <= table.largest)
    names = [name for name, numbers in table.members.items() if not set(values).isdisjoint(numbers)]
    runs = find_runs(foreground, CORNERS)
    alone = np.isin(runs.component, np.flatnonzero(runs.sizes == 1)) if len(runs.component) else np.zeros(0, bool)
    first, others = box[slice_axis].start, tuple(axis for axis in range(3) if axis != slice_axis)
    measured = LabelFacts(
        values=values,
        classes={name: ClassFacts(voxels=int(np.count_nonzero(table.mask(inside, name)))) for name in names},
        slices=tuple(int(k) + first for k in np.flatnonzero(foreground.any(axis=others))),
        full_slices={k: _full_slices(labels, k) for k in values if k > table.largest},
        islands=tuple(int(k) + first for k in (runs.z, runs.y, runs.start)[slice_axis][alone]),
    )
    return measured if hu is None or not names else _over_image(measured, labels, box, hu, table)


def _over_image(alone: LabelFacts, labels: Marks, box: Box, hu: Numbers, table: LabelTable) -> LabelFacts:
    """The facts with those that need the image."""
    inside, under = labels[box], hu[box]
    low, high = float(hu.min()), float(hu.max())
    classes, padding = {}, 0
    for name, found in alone.classes.items():
        values = under[table.mask(inside, name)]
        air = (values >= AIR_HU) & (values <= max(AIR_BELOW_HU, low))
        bone = values >= min(BONE_ABOVE_HU, high)
        padding += int(np.count_nonzero(values < AIR_HU))
        classes[name] = ClassFacts(
            voxels=found.voxels, air=int(np.count_nonzero(air)), bone=int(np.count_nonzero(bone))
        )
    bleeding = table.mask(inside, *table.bleeding)
    own, turned, turn = _turns(bleeding, box, hu) if bleeding.any() else (0.0, 0.0, "")
    return LabelFacts(
        values=alone.values,
        classes=classes,
        slices=alone.slices,
        full_slices=alone.full_slices,
        islands=alone.islands,
        padding=padding,
        blood_share=own,
        turned_share=turned,
        turn=turn,
    )


def _turns(mask: Bool[np.ndarray, "bz by bx"], box: Box, hu: Numbers) -> tuple[float, float, str]:
    """Share of acute blood under a mask as it is and as it fits best after a turn, and the turn."""
    ways: dict[str, Numbers] = {}
    for name, axes in (
        ("its columns reversed", (2,)),
        ("its rows reversed", (1,)),
        ("its slices reversed", (0,)),
        ("its rows and columns reversed", (1, 2)),
        ("its slices and columns reversed", (0, 2)),
        ("its slices and rows reversed", (0, 1)),
        ("all its axes reversed", (0, 1, 2)),
    ):
        ways[name] = np.flip(hu, axes)
    if hu.shape[1] == hu.shape[2]:
        ways["its rows and columns exchanged"] = hu.transpose(0, 2, 1)
    shares = {name: _blood_share(way[box][mask]) for name, way in ways.items()}
    best = max(shares, key=lambda name: shares[name])
    return _blood_share(hu[box][mask]), shares[best], best


def _blood_share(values: Real[np.ndarray, " n"]) -> float:
    return float(np.count_nonzero((values >= BLOOD_HU[0]) & (values < BLOOD_HU[1])) / len(values))


def _values(labels: Marks, inside: Integer[np.ndarray, "bz by bx"]) -> tuple[int, ...]:
    """Distinct numbers, the first of them; what lies outside of the box of all that is not 0 is 0."""
    if inside.dtype == np.uint8:
        found = np.flatnonzero(np.bincount(inside.reshape(-1), minlength=256))
    else:
        found = np.unique(inside)
    values = {int(value) for value in found[:MOST_VALUES]}
    if inside.size < labels.size:
        values.add(0)
    return tuple(sorted(values))


def _full_slices(labels: Marks, number: int) -> tuple[int, ...]:
    """Slices that hold one number alone."""
    return tuple(z for z, plane in enumerate(labels) if plane[0, 0] == number and (plane == number).all())
