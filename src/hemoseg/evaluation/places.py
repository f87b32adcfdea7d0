"""Where in the head lesions lie that are found, missed or made up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hemoseg.errors import InputError
from hemoseg.evaluation.cohort import read_pair
from hemoseg.evaluation.files import PairFiles
from hemoseg.evaluation.lesions import touched_components
from hemoseg.evaluation.many import Progress, run_cases
from hemoseg.evaluation.protocol import class_masks
from hemoseg.evaluation.statistics import wilson
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable
from hemoseg.scale import Job
from hemoseg.types import LabelMap, Mask

MIDDLE_MM = 10.0
"""Lesions whose centroid is nearer to the middle of the head's box belong to neither side: a turned head moves its
midline by about this much."""
THIRDS = ("lower third", "middle third", "upper third")
SIDES = ("left", "near the middle", "right")
PLACES = {"side": SIDES, "height": THIRDS}
"""{way of placing: its places in their order}."""
PLACE_RULE = (
    f"a lesion lies where its centroid does in the box around the head: the patient's left or right if more than "
    f"{MIDDLE_MM:g} mm from the box's middle, and a third of its height; this is geometry, not anatomy: a turned, "
    "tilted or cut head moves it"
)
"""How lesions are placed, for people."""

HeadBox = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First voxel of the head and one beyond its last along z to superior, y to posterior and x to left."""
Fate = Literal["found", "missed", "false"]
"""What became of a lesion: of the reference's found or missed, or predicted where there is none."""
FATES: tuple[Fate, ...] = ("found", "missed", "false")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedLesion:
    """A lesion and where it lies."""

    class_name: str
    """Its class; `any` is all bleeding classes together."""
    fate: Fate
    """What became of it."""
    ml: float
    """Its volume."""
    side: str
    """One of `SIDES`."""
    height: str
    """One of `THIRDS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceJob:
    """What a process needs to place the lesions of a case."""

    files: PairFiles
    """Its files."""
    table: LabelTable
    """Names of the classes."""
    head: HeadBox
    """The box around the head."""


def find_places(
    pairs: Sequence[PairFiles], table: LabelTable, heads: Mapping[str, HeadBox], progress: Progress | None = None
) -> dict[str, Any]:
    """What became of the lesions of a cohort, by class and place, ready for JSON.

    Args:
        pairs: the cases.
        table: names of the class numbers.
        heads: {case: box around its head}.
        progress: told about each case.

    Returns:
        `rule`, and `rows`: `class`, `by` (`side` or `height`), `place`, `recall` {value, low, high, n} with Wilson
        intervals, `missed`, `missed_ml`, `false_positives`, `false_ml`.

    Raises:
        InputError: cases that cannot be used, see `run_cases`.
    """
    jobs = [Job(name=pair.case, argument=PlaceJob(files=pair, table=table, head=heads[pair.case])) for pair in pairs]
    lesions = [lesion for found in run_cases(place_case, jobs, progress) for lesion in found]
    return {"rule": PLACE_RULE, "rows": pool_places(lesions)}


def place_case(job: PlaceJob) -> list[PlacedLesion] | InputError:
    """Read a case and place its lesions; what is wrong with its files is returned."""
    try:
        reference, prediction, grid = read_pair(job.files, job.table)
        return place_lesions(reference, prediction, grid, job.table, job.head)
    except InputError as error:
        return error


def place_lesions(
    reference: LabelMap, prediction: LabelMap, grid: Grid, table: LabelTable, head: HeadBox
) -> list[PlacedLesion]:
    """The lesions of both label maps of a case, matched as `match_lesions` does. Pure.

    Args:
        reference: axes (z, y, x) in any orientation.
        prediction: on the same grid.
        grid: where the voxels lie.
        table: names of the class numbers; `any` is added where more than one class bleeds.
        head: the box around the head, in the canonical orientation.
    """
    orientation = grid.canonical_orientation()
    width_mm = grid.reoriented(orientation).spacing_mm[2]
    expected, found = (class_masks(orientation.apply(labels), table) for labels in (reference, prediction))
    placed = []
    for name in expected:
        if name not in table.members and len(table.bleeding) == 1:
            continue  # `any` is that class
        sides: tuple[tuple[Mask, Mask, Fate | None, Fate], ...] = (
            (expected[name], found[name], "found", "missed"),
            (found[name], expected[name], None, "false"),
        )
        for mask, other, touched, apart in sides:
            for corner, component, is_touched in touched_components(mask, other):
                fate = touched if is_touched else apart
                if fate is None:
                    continue
                z, _, x = (first + at.mean() for first, at in zip(corner, np.nonzero(component), strict=True))
                placed.append(
                    PlacedLesion(
                        class_name=name,
                        fate=fate,
                        ml=int(component.sum()) * grid.voxel_ml,
                        side=_side((x + 0.5 - sum(head[2]) / 2) * width_mm),
                        height=_third((z + 0.5 - head[0][0]) / (head[0][1] - head[0][0])),
                    )
                )
    return placed


def pool_places(lesions: Sequence[PlacedLesion]) -> list[dict[str, Any]]:
    """The rows of `find_places`; each class that has a lesion, with all places."""
    rows = []
    for name in dict.fromkeys(lesion.class_name for lesion in lesions):
        for by, places in PLACES.items():
            for place in places:
                here = [one for one in lesions if one.class_name == name and place in (one.side, one.height)]
                ml: dict[Fate, list[float]] = {fate: [one.ml for one in here if one.fate == fate] for fate in FATES}
                rows.append(
                    {
                        "class": name,
                        "by": by,
                        "place": place,
                        "recall": wilson(len(ml["found"]), len(ml["found"]) + len(ml["missed"])).as_json(
                            note="no lesion of the reference here"
                        ),
                        "missed": len(ml["missed"]),
                        "missed_ml": round(sum(ml["missed"]), 3),
                        "false_positives": len(ml["false"]),
                        "false_ml": round(sum(ml["false"]), 3),
                    }
                )
    return rows


def _side(left_mm: float) -> str:
    """The side of a point so far to the patient's left of the middle."""
    if abs(left_mm) <= MIDDLE_MM:
        return "near the middle"
    return "left" if left_mm > 0 else "right"


def _third(share: float) -> str:
    """The third of a height that a share of it lies in."""
    return THIRDS[min(2, max(0, int(share * 3)))]
