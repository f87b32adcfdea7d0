"""Class names and numbers of a label map."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hemoseg.arrays import Shaped
from hemoseg.errors import LabelError
from hemoseg.types import LabelMap, Labels, Mask, NewLabels

NOT_BLEEDING = frozenset({"edema"})
"""Class names that are no blood: left out of `hemorrhage_ml`."""
IGNORE = "ignore"
"""nnU-Net's name in `labels` for voxels that nobody labeled."""
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

    @classmethod
    def from_mapping(cls, labels: dict[str, Any], *, where: str) -> "LabelTable":
        """The table of a `dataset.json` `labels` entry, {name: number}; `ignore` is no class.

        Raises:
            LabelError: no `background` 0, numbers that are not 0, 1, 2, …, regions (lists of numbers), or an `ignore`
                that is not the number after the last class.

        Example:
            >>> LabelTable.from_mapping({"background": 0, "hemorrhage": 1, "ignore": 2}, where="dataset.json")
            LabelTable(names=('background', 'hemorrhage'), ignore=2, regions=())
        """
        numbers = list(labels.values())
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
            raise LabelError(
                f"labels {labels}",
                where=where,
                expected='one whole number per class, like {"background": 0, "hemorrhage": 1}; no regions',
                remedy="give every class a number of its own",
            )
        names = sorted((name for name in labels if name != IGNORE), key=lambda name: int(labels[name]))
        ignore = labels.get(IGNORE, len(names))
        in_order = [labels[name] for name in names] == list(range(len(names)))
        if labels.get("background") != 0 or not in_order or len(names) < 2 or ignore != len(names):
            raise LabelError(
                f"labels {labels}",
                where=where,
                expected=f"background 0, the other classes numbered 1, 2, … without a gap, and {IGNORE} after them",
                remedy="renumber the classes in dataset.json and in the label files",
            )
        return cls(tuple(names), ignore if IGNORE in labels else None)

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
    def largest(self) -> int:
        """The largest label number."""
        return max((number for region in self.regions for number in region), default=len(self.names) - 1)

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

    def mask(self, labels: LabelMap, *names: str) -> Mask:
        """Voxels that belong to one of the classes."""
        numbers = sorted({number for name in names for number in self.members[name]})
        return labels == numbers[0] if len(numbers) == 1 else np.isin(labels, numbers)

    @property
    def bleeding(self) -> tuple[str, ...]:
        """Names of the classes that are blood: every foreground class but `edema`."""
        return tuple(name for name in self.names[1:] if name not in NOT_BLEEDING)

    def warnings(self) -> tuple[str, ...]:
        """One line for each class whose meaning is a guess."""
        return tuple(
            f"class '{name}' has no agreed meaning; it is counted as bleeding"
            for name in self.names[1:]
            if name not in KNOWN
        )

    def check(self, labels: Shaped[np.ndarray, "z y x"], *, where: str) -> LabelMap:
        """The label map as uint8; a reference may hold `ignore` where the table has it.

        Raises:
            LabelError: values that are not whole numbers of this table.
        """
        allowed = self.names if self.ignore is None else (*self.names, IGNORE)
        if labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < len(allowed):
            return labels.astype(np.uint8, copy=False)
        values = np.unique(labels)
        strange = [float(v) for v in values if not (0 <= v < len(allowed) and v == int(v))]
        if strange:
            raise LabelError(
                f"label values {strange[:8]}",
                where=where,
                expected=f"only {', '.join(f'{i} {name}' for i, name in enumerate(allowed))}",
                remedy="map the values to the numbers of dataset.json (a 0/255 mask: divide by 255)",
            )
        return labels.astype(np.uint8)

    def without_ignored(self, labels: Labels) -> NewLabels:
        """A label map with background where voxels are ignored, for pictures and counts of what is labeled."""
        return labels if self.ignore is None else np.where(labels == self.ignore, 0, labels).astype(labels.dtype)
