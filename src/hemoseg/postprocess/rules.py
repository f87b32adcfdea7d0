"""What can be done to a label map, as selection.json holds it."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

Share = Annotated[float, Field(gt=0, lt=1)]
"""A probability that says something."""


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeepLargest(_Rule):
    """Only the largest component of some classes together stays; equally large ones all do."""

    kind: Literal["largest"] = "largest"
    """Which rule."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    """The classes, taken as one."""
    connectivity: Literal[6, 26]
    """Neighbors of a voxel: 26 in nnU-Net v2, 6 in v1."""

    def __str__(self) -> str:
        return f"largest component of {' and '.join(self.classes)} ({self.connectivity} neighbors)"


class MinimumVolume(_Rule):
    """Lesions of a class below a volume are removed."""

    kind: Literal["minimum-volume"] = "minimum-volume"
    """Which rule."""
    class_name: str
    """The class."""
    ml: PositiveFloat
    """Volume from which on a lesion (26 neighbors) stays."""

    def __str__(self) -> str:
        return f"lesions of {self.class_name} from {self.ml:g} ml"


class MinimumConfidence(_Rule):
    """Lesions of a class that the networks are not sure of are removed."""

    kind: Literal["minimum-confidence"] = "minimum-confidence"
    """Which rule."""
    class_name: str
    """The class."""
    probability: Share
    """Mean probability of the class over a lesion's voxels (26 neighbors) from which on it stays."""

    def __str__(self) -> str:
        return f"lesions of {self.class_name} from mean probability {self.probability:g}"


class InsideSkull(_Rule):
    """Voxels of bone, and those outside the skull in slices where it is a closed ring, are removed."""

    kind: Literal["inside-skull"] = "inside-skull"
    """Which rule."""
    bone_hu: float
    """HU above which a voxel is bone."""

    def __str__(self) -> str:
        return f"inside the skull, no bone (above {self.bone_hu:g} HU)"


class Threshold(_Rule):
    """The odds of a class are divided by those of a threshold before the largest wins; 0.5 changes nothing.

    With one class, or with regions, voxels above the threshold are its.
    """

    kind: Literal["threshold"] = "threshold"
    """Which rule."""
    class_name: str
    """The class."""
    probability: Share
    """The threshold."""

    def __str__(self) -> str:
        return f"{self.class_name} from probability {self.probability:g}"


Rule = Annotated[KeepLargest | MinimumVolume | MinimumConfidence | InsideSkull | Threshold, Field(discriminator="kind")]
"""Any of them."""


def classes_of(rule: Rule) -> tuple[str, ...]:
    """The classes that a rule names."""
    if isinstance(rule, KeepLargest):
        return rule.classes
    return () if isinstance(rule, InsideSkull) else (rule.class_name,)


def needs_probabilities(rules: Sequence[Rule]) -> bool:
    """Whether a label map alone is not enough to apply the rules to."""
    return any(isinstance(rule, Threshold | MinimumConfidence) for rule in rules)
