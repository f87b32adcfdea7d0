"""How far volumes were off on scans that no network had seen: `calibration.json`."""

from math import expm1, log1p
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hemoseg.segmentation import Intervals, VolumeInterval

METHOD = (
    "split conformal prediction on out-of-fold volumes: errors on the scale of log(1 + ml), which are absolute below "
    "1 ml and relative above, each patient with the same weight"
)
"""How the bounds come about, in words."""
CAVEATS = {
    "same": "They hold on average over scans from the same source, not for each size of bleed",
    "one-of-folds": "The model is the network of one fold; each of these scans was predicted by the network of the "
    "fold that held it out, made alike: coverage elsewhere is expected, not proven, and on average over scans, not "
    "for each size of bleed",
    "of-folds": "The model averages networks of several folds, and each of these scans was predicted by one fold's: "
    "coverage elsewhere is expected, not proven, and on average over scans, not for each size of bleed",
}
"""What coverage means, by whose predictions it was measured on."""
SHOWN_ML = (1.0, 10.0, 50.0)
"""Predicted volumes whose intervals stand for all, where there is room for a few."""
Kind = Literal["two-sided", "symmetric"]
"""Whether the bounds have half of the allowed misses each, or are the same on either side."""


class VolumeCalibration(BaseModel):
    """Where the reference's volume lies beside the predicted one, for one class or all bleeding ones together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind | None
    """How the bounds were set; None where there are too few patients for the level."""
    low: float | None
    """Lower bound of log(1 + reference ml) - log(1 + predicted ml)."""
    high: float | None
    """Upper bound."""
    covered: float | None
    """Share of held-out scans inside bounds that were made without their patient; None where too few are left."""
    median_width_ml: float | None
    """Half of the held-out scans have an interval at most this wide."""

    def interval(self, ml: float) -> VolumeInterval | None:
        """The interval around a predicted volume in ml, which ends at 0; None where there are no bounds.

        Example:
            >>> from math import log
            >>> one = VolumeCalibration(kind="symmetric", low=-log(2), high=log(2), covered=None, median_width_ml=None)
            >>> found = one.interval(9.0)
            >>> round(found.low_ml, 6), round(found.high_ml, 6)
            (4.0, 19.0)
        """
        if self.low is None or self.high is None:
            return None
        return VolumeInterval(low_ml=max(0.0, expm1(log1p(ml) + self.low)), high_ml=expm1(log1p(ml) + self.high))


class Calibration(BaseModel):
    """Intervals around the volumes of a model; no case is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    level: Annotated[float, Field(gt=0, lt=1)]
    """Nominal coverage: the share of scans whose reference lies inside."""
    scans: int
    """Held-out scans that the bounds rest on."""
    patients: int
    """Whose they are."""
    networks: Literal["same", "one-of-folds", "of-folds"]
    """Whether the networks that predicted the held-out scans are those of the model, or the model is one of several
    that were made alike and predicted some scans each, or their mean."""
    calibrated_on: str
    """What was held out, in words."""
    method: str = METHOD
    """How the bounds come about."""
    classes: dict[str, VolumeCalibration]
    """By class."""
    total: VolumeCalibration | None
    """All bleeding classes together; None where none bleeds."""

    def intervals(self, volume_ml: dict[str, float], hemorrhage_ml: float) -> Intervals:
        """The intervals of one scan.

        Args:
            volume_ml: ml by class; classes that were not calibrated get None.
            hemorrhage_ml: ml of all bleeding classes together.
        """
        found = {
            name: self.classes[name].interval(ml) if name in self.classes else None for name, ml in volume_ml.items()
        }
        return Intervals(
            level=self.level,
            scans=self.scans,
            patients=self.patients,
            calibrated_on=self.calibrated_on,
            volume_ml=found,
            hemorrhage_ml=self.total.interval(hemorrhage_ml) if self.total is not None else None,
        )

    @property
    def rows(self) -> dict[str, VolumeCalibration]:
        """What was calibrated, by name for people: each class, and `all blood` where that is more than one of them."""
        has_total = self.total is not None and self.total not in self.classes.values()
        return self.classes | ({"all blood": self.total} if self.total is not None and has_total else {})

    @property
    def caveat(self) -> str:
        """What the intervals do not promise."""
        return CAVEATS[self.networks]

    @property
    def too_few(self) -> str | None:
        """Why there are no intervals, where there are too few patients."""
        if all(one.kind is not None for one in self.classes.values()):
            return None
        return (
            f"{self.patients} held-out patients are too few for intervals of {self.level * 100:g} %: "
            f"{fewest_patients(1 - self.level)} are needed"
        )


def fewest_patients(miss: float) -> int:
    """The fewest patients for a bound that is missed by at most this share of scans: n ≥ 1 / miss - 1.

    Example:
        >>> fewest_patients(0.1), fewest_patients(0.05)
        (9, 19)
    """
    n = 1
    while n / (n + 1) < 1 - miss - 1e-9:
        n += 1
    return n
