"""Class names and numbers of a label map."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.arrays import Integer, Shaped
from hemoseg.errors import LabelError
from hemoseg.types import LabelMap, Labels, Mask, NewLabels

NOT_BLEEDING = frozenset({"edema"})
"""Class names that are no blood: left out of `hemorrhage_ml`."""
IGNORE = "ignore"
"""nnU-Net's name in `labels` for voxels that nobody labeled."""
LONGEST_NAME = 100
"""Characters of a class's name: it stands in tables, in pictures and in the names of files."""
KNOWN = frozenset({"hemorrhage", "edema", "edh", "iph", "ivh", "sah", "sdh"})
"""Class names with an agreed meaning; any other foreground class counts as bleeding, with a warning."""


@dataclass(frozen=True, slots=True)
class LabelTable:
    """The classes of a model or data set, by number."""

    names: tuple[str, ...]
    """Class names; the position is the number, unless there are regions. The first is `background`."""
    ignore: int | None = None
    """Number of voxels that nobody labeled, the one after the last class; None where all are labeled. It is no class:
    no network has an output for it, and what is found there counts neither for nor against a prediction."""
    regions: tuple[tuple[int, ...], ...] = ()
    """Label numbers that each class after the background is made of; empty if its number is all that it has."""
    paint: tuple[int, ...] = ()
    """Number that each region's voxels get in a label map, where no later region is found; empty without regions, or
    where nobody makes label maps."""

    @classmethod
    def from_mapping(cls, labels: dict[str, Any], *, where: str, order: Any = None) -> "LabelTable":
        """The table of a `dataset.json` `labels` entry, {name: number or list of numbers}; `ignore` is no class.

        A class with more than one number makes all classes regions, which may overlap.

        Args:
            labels: the entry.
            where: the file, for errors.
            order: its `regions_class_order`; None where no label map is made.

        Raises:
            LabelError: no `background` 0, numbers that are not 0, 1, 2, …, an `ignore` that is not the number after
                the last one, a name that cannot be shown, or an order that does not fit the regions.

        Example:
            >>> LabelTable.from_mapping({"background": 0, "hemorrhage": 1, "ignore": 2}, where="dataset.json")
            LabelTable(names=('background', 'hemorrhage'), ignore=2, regions=(), paint=())
            >>> regions = {"background": 0, "hemorrhage": [1, 2], "ivh": [2]}
            >>> LabelTable.from_mapping(regions, where="dataset.json", order=[1, 2]).members
            {'hemorrhage': (1, 2), 'ivh': (2,)}
        """
        check_class_names(labels, where=where)
        members = _members(labels, where=where)
        is_region = any(len(numbers) > 1 for numbers in members.values())
        numbers = [number for own in members.values() for number in own]
        found = sorted(set(numbers) if is_region else numbers)
        ignore = labels.get(IGNORE)
        in_order = found == list(range(1, len(found) + 1))
        if labels.get("background") != 0 or not found or not in_order or ignore not in (None, len(found) + 1):
            raise LabelError(
                f"labels {labels}",
                where=where,
                expected=f"background 0, the other classes numbered 1, 2, … without a gap, and {IGNORE} after them",
                remedy="renumber the classes in dataset.json and in the label files",
            )
        if not is_region:
            return cls(("background", *sorted(members, key=lambda name: members[name])), ignore)
        regions = tuple(members.values())
        paint = () if order is None else _paint(order, regions, where=where)
        return cls(("background", *members), ignore, regions=regions, paint=paint)

    @property
    def foreground(self) -> dict[str, int]:
        """{name: number} without the background, in the order of the numbers; regions have no such number."""
        assert not self.regions, "a region may have several numbers"
        return {name: number for number, name in enumerate(self.names) if number}

    @property
    def members(self) -> dict[str, tuple[int, ...]]:
        """{name: label numbers that belong to the class} without the background.

        Example:
            >>> LabelTable(("background", "hemorrhage", "ivh"), regions=((1, 2), (2,))).members
            {'hemorrhage': (1, 2), 'ivh': (2,)}
        """
        return dict(
            zip(self.names[1:], self.regions or ((number,) for number in range(1, len(self.names))), strict=True)
        )

    @property
    def entry(self) -> dict[str, int | list[int]]:
        """{name: number, or numbers of a region} as the `labels` entry of dataset.json has it.

        Example:
            >>> LabelTable(("background", "hemorrhage", "ivh"), ignore=3, regions=((1, 2), (2,))).entry
            {'background': 0, 'hemorrhage': [1, 2], 'ivh': [2], 'ignore': 3}
        """
        classes: dict[str, int | list[int]] = {
            name: list(numbers) if self.regions else numbers[0] for name, numbers in self.members.items()
        }
        return {self.names[0]: 0} | classes | ({} if self.ignore is None else {IGNORE: self.ignore})

    @property
    def largest(self) -> int:
        """The largest label number."""
        return max((number for region in self.regions for number in region), default=len(self.names) - 1)

    @property
    def end(self) -> int:
        """One beyond the largest number that a reference may hold: that of `ignore` counts."""
        return self.largest + 1 + (self.ignore is not None)

    @property
    def of_predictions(self) -> "LabelTable":
        """The same table for predictions, which ignore nothing."""
        return replace(self, ignore=None)

    @property
    def legend(self) -> dict[int, str]:
        """{label number: names of the classes that it belongs to} without the background.

        Example:
            >>> LabelTable(("background", "hemorrhage", "ivh"), regions=((1, 2), (2,))).legend
            {1: 'hemorrhage', 2: 'hemorrhage, ivh'}
        """
        members = self.members
        return {
            number: ", ".join(name for name, numbers in members.items() if number in numbers)
            for number in range(1, self.largest + 1)
        }

    def mask(self, labels: Integer[np.ndarray, "z y x"], *names: str) -> Mask:
        """Voxels that belong to one of the classes."""
        numbers = sorted({number for name in names for number in self.members[name]})
        mask: Mask
        if len(numbers) == 1:
            mask = labels == numbers[0]
        elif labels.dtype == np.uint8:  # a sixth of the time of `isin`, which takes several bytes a voxel
            belongs = np.zeros(256, dtype=bool)
            belongs[numbers] = True
            mask = belongs[labels]
        else:
            mask = np.isin(labels, numbers)
        return mask

    @property
    def bleeding(self) -> tuple[str, ...]:
        """Names of the classes that are blood: every foreground class but `edema`."""
        return tuple(name for name in self.names[1:] if name not in NOT_BLEEDING)

    @property
    def blood_channels(self) -> list[int]:
        """Positions of the bleeding classes among the foreground classes, or of the bleeding regions.

        Example:
            >>> LabelTable(("background", "iph", "edema", "ivh")).blood_channels
            [0, 2]
        """
        return [number for number, name in enumerate(self.members) if name in self.bleeding]

    def warnings(self) -> tuple[str, ...]:
        """One line for each class whose meaning is a guess, and for each number that painting regions loses."""
        unknown = tuple(
            f"class '{name}' has no agreed meaning; it is counted as bleeding"
            for name in self.names[1:]
            if name not in KNOWN
        )
        return (*unknown, *self._lost())

    def check(self, labels: Shaped[np.ndarray, "z y x"], *, where: str) -> LabelMap:
        """The label map as uint8; a reference may hold `ignore` where the table has it.

        Raises:
            LabelError: values that are not whole numbers of this table.
        """
        if labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < self.end:
            return labels.astype(np.uint8, copy=False)
        values = np.unique(labels)
        strange = [float(v) for v in values if not (0 <= v < self.end and v == int(v))]
        if strange:
            known = {0: self.names[0]} | self.legend | ({} if self.ignore is None else {self.ignore: IGNORE})
            raise LabelError(
                f"label values {strange[:8]}",
                where=where,
                expected=f"only {', '.join(f'{number} {name}' for number, name in known.items())}",
                remedy="map the values to the numbers of dataset.json (a 0/255 mask: divide by 255)",
            )
        return labels.astype(np.uint8)

    def without_ignored(self, labels: Labels) -> NewLabels:
        """A label map with background where voxels are ignored, for pictures and counts of what is labeled."""
        return labels if self.ignore is None else np.where(labels == self.ignore, 0, labels).astype(labels.dtype)

    def _lost(self) -> tuple[str, ...]:
        """One line for each number that is of other regions once they are painted."""
        lines = []
        for number in range(1, self.largest + 1) if self.paint else ():
            painted = [paint for region, paint in zip(self.regions, self.paint, strict=True) if number in region][-1]
            if self.legend[painted] != self.legend[number]:
                lines.append(
                    f"label {number} ({self.legend[number]}) cannot be told in a prediction: regions_class_order "
                    f"paints it as {painted} ({self.legend[painted]})"
                )
        return tuple(lines)


def check_class_names(names: Iterable[str], *, where: Path | str) -> None:
    """Make sure that names can stand in a table, in a picture and in the name of a file.

    Raises:
        LabelError: one is empty, too long, or has line breaks or other characters that cannot be shown.
    """
    for name in names:
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise LabelError(
                f"a class named {name[:LONGEST_NAME]!r}" + (f", of {len(name)} characters" if len(name) > 20 else ""),
                where=where,
                expected=f"a name of 1 to {LONGEST_NAME} characters on one line",
                remedy="rename the class in dataset.json; its number, and so all masks, stay as they are",
            )


def _members(labels: dict[str, Any], *, where: str) -> dict[str, tuple[int, ...]]:
    """{name: its numbers} without `background` and `ignore`, in the order of the file.

    Raises:
        LabelError: one is neither a whole number nor a list of them.
    """
    members = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in labels.items()}
    if not all(numbers and {type(number) for number in numbers} == {int} for numbers in members.values()):
        raise LabelError(
            f"labels {labels}",
            where=where,
            expected='one whole number per class, like {"background": 0, "hemorrhage": 1}, or a list for a region',
            remedy="give every class a number of its own, or the numbers that it is made of",
        )
    return {name: numbers for name, numbers in members.items() if name not in ("background", IGNORE)}


def _paint(order: Any, regions: tuple[tuple[int, ...], ...], *, where: str) -> tuple[int, ...]:
    """The numbers that regions are painted with.

    Raises:
        LabelError: they are not one known number per region.
    """
    known = {number for region in regions for number in region}
    fits = isinstance(order, list) and len(order) == len(regions)
    if not fits or not all(type(number) is int and number in known for number in order):
        raise LabelError(
            f"regions_class_order {order}",
            where=where,
            expected=f"{len(regions)} numbers out of {sorted(known)}, one per region in the order of labels: what its "
            "voxels are painted with, later regions over earlier ones",
            remedy="correct the entry; large regions come first",
        )
    return tuple(order)
