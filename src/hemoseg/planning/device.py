"""What was measured of the machine, before planning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from hemoseg.plan import Configuration, ConfigurationName, Precision


class StepTiming(BaseModel):
    """Time of one optimizer step of one candidate network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    configuration: ConfigurationName
    """Kind of network."""
    features: tuple[PositiveInt, ...]
    """Channels of each stage."""
    precision: Precision
    """Arithmetic."""
    seconds: PositiveFloat
    """Median wall seconds of a step."""


class DeviceTiming(BaseModel):
    """`device.json`: measured once per run; a resume reads it and measures nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
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
        """Seconds of one step of a configuration in its precision; None if it was not measured."""
        key = (configuration.name, configuration.features, configuration.precision)
        return next((s.seconds for s in self.steps if (s.configuration, s.features, s.precision) == key), None)
