"""What was measured of the machine, before planning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from hemoseg.plan import Configuration, ConfigurationName, Precision, SizeZYX


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

    @classmethod
    def of(cls, configuration: Configuration, seconds: float) -> "StepTiming":
        """The time of a configuration's step."""
        return cls(
            configuration=configuration.name,
            features=configuration.features,
            patch_size=configuration.patch_size,
            batch_size=configuration.batch_size,
            precision=configuration.precision,
            seconds=seconds,
        )


class DeviceTiming(BaseModel):
    """`device.json`: measured once per run; a resume reads it and measures nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = 2
    """Schema version."""
    device: Literal["cpu", "cuda"]
    """Where networks are trained."""
    threads: PositiveInt
    """Threads that compute."""
    bf16: bool
    """Whether the device computes bf16 natively."""
    steps: tuple[StepTiming, ...] = ()
    """Timings; none where the user fixed the iterations, so that no clock decides."""

    def seconds(self, configuration: Configuration) -> float | None:
        """Seconds of one step of a configuration; None if it was not measured."""
        return next((s.seconds for s in self.steps if s == StepTiming.of(configuration, s.seconds)), None)
