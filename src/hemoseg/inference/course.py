"""How the work on one scan goes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hemoseg.brain import BrainRegion
from hemoseg.plan import Configuration
from hemoseg.preprocess import Prepared


@dataclass(slots=True, kw_only=True)
class Course:
    """How the work on one scan goes."""

    watch: Callable[[int, int], None]
    """Told (tiles done, tiles in all) of each stage."""
    began: float
    """When it began, on the model's clock."""
    stages_left: int
    """Stages that were not run yet."""
    region: BrainRegion | None = None
    """Where networks look; None for the whole field."""
    seconds: dict[str, float] = field(default_factory=lambda: {"prepare": 0.0, "network": 0.0, "restore": 0.0})
    """Time spent, by what it was spent on."""
    mark: float = field(default_factory=time.monotonic)
    """Until when it is in `seconds`."""
    warnings: list[str] = field(default_factory=list)
    """What the reader of the result must know."""
    members: int = 0
    """Networks, times mirrored copies, that were run."""
    is_full: bool = True
    """Whether all was done that the model does."""
    has_few_slices: bool = False
    """Whether the scan has less than half of the slices that networks look at at once."""

    def spent(self, what: str) -> None:
        """Count the time since the last call as spent on `prepare`, `network` or `restore`."""
        now = time.monotonic()
        self.seconds[what] += now - self.mark
        self.mark = now

    def doubt_few_slices(self, prepared: Prepared, configuration: Configuration) -> None:
        """Doubt a scan of less than half of a patch in slices: networks seldom saw any.

        With half of one the embedded model is as good as on the whole head, below it grows worse (lab log, 2026-11-30).
        """
        slices, wanted, mm = prepared.shape[0], configuration.patch_size[0], prepared.properties.spacing_mm[0]
        if 2 * slices < wanted and not self.has_few_slices:
            self.has_few_slices = True
            self.warnings.append(
                f"the scan has {slices * mm:.3g} mm of the {wanted * mm:.3g} mm that networks look at at once: "
                "in so few slices what they find is not to be relied on"
            )
