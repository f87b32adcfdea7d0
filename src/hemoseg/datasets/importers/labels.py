"""Masks of a source in the data set's numbers, and slices that nobody labeled. Pure."""

from pathlib import Path

import numpy as np

from hemoseg.arrays import Integer
from hemoseg.datasets.importers.core import Seen
from hemoseg.errors import LabelError
from hemoseg.types import LabelMap


def renumber(
    found: Integer[np.ndarray, "z y x"], numbers: tuple[tuple[int, int], ...], *, where: Path
) -> tuple[LabelMap, bool]:
    """The mask in new numbers, and whether any voxel changed.

    Args:
        found: numbers of the source, axes (z, y, x).
        numbers: (number in the source, new number).
        where: the mask's file, for error texts.

    Raises:
        LabelError: a number without a new one.
    """
    table = dict(numbers)
    values = [int(value) for value in np.unique(found)]
    strange = [value for value in values if value not in table]
    if strange:
        raise LabelError(
            f"label values {strange[:8]}",
            where=where,
            expected=f"only {', '.join(str(number) for number in sorted(table))}",
            remedy="find out what they mean and correct the mask: a number that is guessed is a wrong label",
        )
    labels = np.zeros(found.shape, dtype=np.uint8)
    for value in values:
        labels[found == value] = table[value]
    return labels, any(table[value] != value for value in values)


def label_slices(
    labels: LabelMap, seen: Seen | None, filled: tuple[int, ...], ignore: int, *, name: str
) -> tuple[LabelMap, tuple[int, ...], tuple[str, ...]]:
    """The label map with slices set to `ignore` that nobody labeled.

    These are filled slices, and unmarked ones that the table calls hemorrhagic or says nothing about: background is
    what was looked at and found free of blood.

    Args:
        labels: class numbers, axes (z, y, x).
        seen: what the table says of each slice; None if there is no table: then all unmarked voxels are background.
        filled: slices that were made from others.
        ignore: number of voxels that nobody labeled.
        name: name of the case, for the doubts.

    Returns:
        The label map (a new array if anything changed), slices that were set to ignore, and contradictions.
    """
    marked = [bool(plane.any()) for plane in labels]
    unlabeled = set(filled)
    doubts: tuple[str, ...] = ()
    if seen is not None:
        unlabeled |= {index for index, kinds in enumerate(seen) if kinds != () and not marked[index]}
        against = [str(index) for index, kinds in enumerate(seen) if kinds == () and marked[index]]
        if against:
            doubts = (f"{name}: slices {', '.join(against)} (from 0) have a mask, and the table sees no blood there",)
    if not unlabeled:
        return labels, (), doubts
    ignored = tuple(sorted(unlabeled))
    result = labels.copy()
    result[list(ignored)] = ignore
    return result, ignored, doubts
