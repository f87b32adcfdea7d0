"""Class names and numbers of a label map."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hemoseg.arrays import Shaped
from hemoseg.errors import LabelError
from hemoseg.types import LabelMap

NOT_BLEEDING = frozenset({"edema"})
"""Class names that are no blood: left out of `hemorrhage_ml`."""
KNOWN = frozenset({"hemorrhage", "edema", "edh", "iph", "ivh", "sah", "sdh"})
"""Class names with an agreed meaning; any other foreground class counts as bleeding, with a warning."""


@dataclass(frozen=True, slots=True)
class LabelTable:
    """The classes of a model or data set, by number."""

    names: tuple[str, ...]
    """Class names; the position is the number. The first is `background`."""

    @classmethod
    def from_mapping(cls, labels: dict[str, Any], *, where: str) -> "LabelTable":
        """The table of a `dataset.json` `labels` entry, {name: number}.

        Raises:
            LabelError: no `background` 0, numbers that are not 0, 1, 2, …, or regions (lists of numbers).
        """
        numbers = list(labels.values())
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
            raise LabelError(
                f"labels {labels}",
                where=where,
                expected='one whole number per class, like {"background": 0, "hemorrhage": 1}; no regions',
                remedy="give every class a number of its own",
            )
        if labels.get("background") != 0 or sorted(numbers) != list(range(len(numbers))) or len(numbers) < 2:
            raise LabelError(
                f"labels {labels}",
                where=where,
                expected="background 0 and the other classes numbered 1, 2, … without a gap",
                remedy="renumber the classes in dataset.json and in the label files",
            )
        return cls(tuple(sorted(labels, key=lambda name: int(labels[name]))))

    @property
    def foreground(self) -> dict[str, int]:
        """{name: number} without the background, in the order of the numbers."""
        return {name: number for number, name in enumerate(self.names) if number}

    @property
    def bleeding(self) -> tuple[str, ...]:
        """Names of the classes that are blood: every foreground class but `edema`."""
        return tuple(name for name in self.foreground if name not in NOT_BLEEDING)

    def warnings(self) -> tuple[str, ...]:
        """One line for each class whose meaning is a guess."""
        return tuple(
            f"class '{name}' has no agreed meaning; it is counted as bleeding"
            for name in self.foreground
            if name not in KNOWN
        )

    def check(self, labels: Shaped[np.ndarray, "z y x"], *, where: str) -> LabelMap:
        """The label map as uint8.

        Raises:
            LabelError: values that are not whole numbers of this table.
        """
        if labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < len(self.names):
            return labels.astype(np.uint8, copy=False)
        values = np.unique(labels)
        strange = [float(v) for v in values if not (0 <= v < len(self.names) and v == int(v))]
        if strange:
            raise LabelError(
                f"label values {strange[:8]}",
                where=where,
                expected=f"only {', '.join(f'{i} {name}' for i, name in enumerate(self.names))}",
                remedy="map the values to the numbers of dataset.json (a 0/255 mask: divide by 255)",
            )
        return labels.astype(np.uint8)
