"""What a phantom is asked to be."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from hemoseg.errors import InputError
from hemoseg.types import FloatZYX, IntZYX

Site = Literal["none", "deep", "lobar", "subdural", "intraventricular"]
"""Where the blood is: nowhere, in the basal ganglia, under the cortex, along the skull, in a ventricle."""
Side = Literal["left", "right"]
"""Side of the patient, not of the picture."""

SMALLEST_ML = 0.05
"""Bleeds below this are smaller than a few voxels of thick slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """One head with at most one bleed."""

    site: Site = "none"
    """Where the blood is."""
    volume_ml: float = 0.0
    """Volume of the blood, reached exactly; 0 for `none`, else at least `SMALLEST_ML`."""
    edema_ml: float = 0.0
    """Volume of the rim of edema around a deep or lobar bleed."""
    side: Side = "left"
    """Side of the bleed."""
    seed: int = 0
    """Seed of the head's size, tilt, place and folds, of the bleed's form, and of the noise."""
    shape: IntZYX = (32, 256, 256)
    """Voxels along z, y, x: a whole head in thick slices, in a quarter of the usual number of pixels."""
    spacing_mm: FloatZYX = (5.0, 0.9, 0.9)
    """Voxel spacing along z, y, x: slices of 5 mm are the usual ones in emergencies."""

    @property
    def name(self) -> str:
        """A name like `phantom-deep-20ml`; it does not tell seeds and grids apart."""
        return "phantom-none" if self.site == "none" else f"phantom-{self.site}-{self.volume_ml:g}ml"

    def check(self) -> None:
        """Refuse values that contradict each other.

        Raises:
            InputError: volumes that do not belong to the site, or a grid without extent.
        """
        numbers = (self.volume_ml, self.edema_ml, *self.spacing_mm)
        if not all(isfinite(value) and value >= 0 for value in numbers) or self.seed < 0:
            raise self.refusal("a negative or endless number", "volumes, spacings and a seed of 0 and more")
        if min(self.shape) < 1 or min(self.spacing_mm) <= 0:
            raise self.refusal("a grid without extent", "one voxel and more, and a spacing, along each axis")
        if (self.site == "none") != (self.volume_ml == 0):
            raise self.refusal(
                f"site '{self.site}' with {self.volume_ml:g} ml",
                "0 ml for 'none' and more for every other site",
            )
        if 0 < self.volume_ml < SMALLEST_ML:
            raise self.refusal(f"{self.volume_ml:g} ml of blood", f"at least {SMALLEST_ML:g} ml")
        if self.edema_ml and self.site not in ("deep", "lobar"):
            raise self.refusal(
                f"{self.edema_ml:g} ml of edema at site '{self.site}'",
                "edema around deep and lobar bleeds alone",
            )

    def refusal(self, found: str, expected: str) -> InputError:
        """The error for a spec that cannot be met."""
        return InputError(found, where=self.name, expected=expected, remedy="change the volume, the site or the grid")
