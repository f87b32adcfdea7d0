"""How the work on one scan goes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hemoseg.brain import BrainRegion
from hemoseg.plan import Configuration
from hemoseg.preprocess import Prepared


@dataclass(slots=True, kw_only=True)
class Course:
    """How the work on one scan goes."""

    region: BrainRegion | None
    """Where networks look; None for the whole field."""
    watch: Callable[[int, int], None]
    """Told (tiles done, tiles in all) of each stage."""
    began: float
    """When it began, on the model's clock."""
    stages_left: int
    """Stages that were not run yet."""
    seconds: dict[str, float] = field(default_factory=lambda: {"prepare": 0.0, "network": 0.0, "restore": 0.0})
    """Time spent, by stage."""
    warnings: list[str] = field(default_factory=list)
    """What the reader of the result must know."""
    members: int = 0
    """Networks, times mirrored copies, that were run."""
    is_full: bool = True
    """Whether all was done that the model does."""
    has_few_slices: bool = False
    """Whether the scan has less than two thirds of the slices that networks look at at once."""

    def doubt_few_slices(self, prepared: Prepared, configuration: Configuration) -> None:
        """Doubt a scan of less than two thirds of a patch in slices, of which networks seldom saw any.

        The embedded model saw tens of milliliters in a single slice that has half of one (lab log, 2026-11-29).
        """
        slices, wanted, mm = prepared.shape[0], configuration.patch_size[0], prepared.properties.spacing_mm[0]
        if 3 * slices < 2 * wanted and not self.has_few_slices:
            self.has_few_slices = True
            self.warnings.append(
                f"the scan has {slices * mm:.3g} mm of the {wanted * mm:.3g} mm that networks look at at once: "
                "in so few slices what they find is not to be relied on"
            )
