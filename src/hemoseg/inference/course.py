"""How the work on one scan goes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hemoseg.brain import BrainRegion


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
