"""What was measured of the machine, before planning."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, model_validator

from hemoseg.plan import Configuration, ConfigurationName, Layout, Precision, SizeZYX
from hemoseg.types import IntZYX


class StepTiming(BaseModel):
    """Time of one optimizer step of one candidate network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    configuration: ConfigurationName
    """Kind of network."""
    features: tuple[PositiveInt, ...]
    """Channels of each stage."""
    patch_size: SizeZYX
    """Voxels of a patch."""
    batch_size: PositiveInt
    """Patches of the step."""
    precision: Precision
    """Arithmetic."""
    seconds: PositiveFloat
    """Median wall seconds of a step."""
    timed_patch: SizeZYX | None = None
    """Patch, one per step, that was timed and `seconds` are extrapolated from; None if the step itself was timed."""

    @classmethod
    def of(cls, configuration: Configuration, seconds: float, *, timed_patch: IntZYX | None = None) -> "StepTiming":
        """The time of a configuration's step."""
        return cls(
            configuration=configuration.name,
            features=configuration.features,
            patch_size=configuration.patch_size,
            batch_size=configuration.batch_size,
            precision=configuration.precision,
            seconds=seconds,
            timed_patch=timed_patch,
        )


class DeviceTiming(BaseModel):
    """`device.json`: measured once per run; a resume reads it and measures nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[3] = 3
    """Schema version."""
    device: Literal["cpu", "cuda"]
    """Where networks are trained."""
    threads: PositiveInt
    """Threads that compute."""
    bf16: bool
    """Whether the device computes bf16 natively, and faster than float32."""
    layout: Layout = "contiguous"
    """Order in memory of what is trained: the faster one. Another rounds otherwise, so a resume keeps it."""
    steps: tuple[StepTiming, ...] = ()
    """Timings; none where the user fixed the iterations, so that no clock decides."""

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, values: Any) -> Any:
        """Version 2 knew one layout; a run that it began goes on with that."""
        if isinstance(values, dict) and values.get("version") == 2:
            return values | {"version": 3, "layout": "contiguous"}
        return values

    def seconds(self, configuration: Configuration) -> float | None:
        """Seconds of one step of a configuration; None if it was not measured."""
        timing = self.timing(configuration)
        return None if timing is None else timing.seconds

    def timing(self, configuration: Configuration) -> StepTiming | None:
        """The timing of a configuration; None if it was not measured."""
        wanted = StepTiming.of(configuration, 1.0)
        result = {"seconds": 1.0, "timed_patch": None}
        return next((step for step in self.steps if step.model_copy(update=result) == wanted), None)

    def how_timed(self, configurations: Iterable[Configuration]) -> str:
        """Where the times of these come from, as part of a sentence."""
        timings = [timing for item in configurations if (timing := self.timing(item)) is not None]
        patches = [" x ".join(map(str, timing.timed_patch)) for timing in timings if timing.timed_patch is not None]
        return "by device.json" + (f", extrapolated from a patch of {', '.join(patches)}" if patches else "")
