"""The plan: what training and prediction must agree on. Written once; never edited by code."""

from math import prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from hemoseg.labels import LabelTable

SizeZYX = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Voxels along the array axes (z, y, x)."""
ConfigurationName = Literal["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
"""nnU-Net's names for the kinds of network."""
Precision = Literal["fp32", "bf16"]
"""Arithmetic of convolutions; sums, losses and weights are always float32."""


class Window(BaseModel):
    """A named range of HU that becomes one input channel: low → -1, high → 1, clamped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the window."""
    low_hu: float
    """HU at and below which the channel is -1."""
    high_hu: float
    """HU at and above which the channel is 1."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "Window":
        if not self.low_hu < self.high_hu:
            raise ValueError(f"window {self.name}: low {self.low_hu} HU is not below high {self.high_hu} HU")
        return self


class Configuration(BaseModel):
    """One network: the grid it sees, its shape, how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ConfigurationName
    """Kind of network; also the folder of the run that holds it."""
    previous_stage: ConfigurationName | None = None
    """Configuration whose prediction is an additional input, one channel per foreground class."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Voxel spacing (z, y, x) that every case is resampled to."""
    patch_size: SizeZYX
    """Voxels (z, y, x) that the network sees at once."""
    batch_size: PositiveInt
    """Patches per step."""
    features: tuple[PositiveInt, ...]
    """Channels of each stage, the finest first."""
    strides: tuple[SizeZYX, ...]
    """Downsampling (z, y, x) entering each stage; the first is (1, 1, 1)."""
    kernels: tuple[SizeZYX, ...]
    """Kernel (z, y, x) of each stage's convolutions."""
    mirror_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...]
    """Array axes (0 z, 1 y, 2 x) along which training mirrors and prediction averages."""
    precision: Precision
    """Arithmetic of training and prediction."""
    engine: Literal["torch"] = "torch"
    """What runs the network."""
    iterations: PositiveInt
    """Optimizer steps of one fold."""

    @model_validator(mode="after")
    def _stages_agree(self) -> "Configuration":
        if not len(self.features) == len(self.strides) == len(self.kernels) >= 2:
            raise ValueError("features, strides and kernels need one entry for each of two or more stages")
        for axis, size in enumerate(self.patch_size):
            factor = prod(stride[axis] for stride in self.strides)
            if size % factor:
                raise ValueError(f"patch_size {size} along {'zyx'[axis]} is no multiple of {factor}")
        return self


class Recipe(BaseModel):
    """How every network of a plan is trained; nnU-Net's values where nothing else is said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: PositiveFloat = 0.01
    """Initial learning rate; falls as (1 - i/n)^0.9."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Nesterov momentum."""
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5
    """Weight decay on all parameters."""
    clip_norm: PositiveFloat = 12.0
    """Largest norm of the gradient."""
    forced_foreground: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of patches of a batch that must contain foreground."""
    shift_hu: Annotated[float, Field(ge=0)] = 4.0
    """Patches are shifted by a constant, uniform in plus or minus this: scanners differ in calibration."""
    noise_hu: Annotated[float, Field(ge=0)] = 5.0
    """Three patches in ten get Gaussian noise with a deviation uniform in [0, this]."""


class Plan(BaseModel):
    """What training and prediction must agree on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version; a reader refuses any other."""
    planner: Literal["headct"] = "headct"
    """Rules that made the plan."""
    dataset_name: str
    """Name of the data set's folder."""
    labels: tuple[str, ...]
    """Class names by number; the first is `background`."""
    orientation: Literal["canonical", "as-stored"]
    """`canonical`: arrays run to superior, posterior, left; `as-stored`: as the file has them."""
    windows: Annotated[tuple[Window, ...], Field(min_length=1)]
    """Input channels."""
    recipe: Recipe = Recipe()
    """How networks are trained."""
    configurations: Annotated[tuple[Configuration, ...], Field(min_length=1)]
    """Networks in the order of training; a previous stage stands before the one that needs it."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of weights, splits and patches."""
    reasons: tuple[str, ...] = ()
    """Why the values were chosen, for people."""

    @property
    def table(self) -> LabelTable:
        """The label table."""
        return LabelTable(self.labels)

    def configuration(self, name: str) -> Configuration:
        """The configuration of this name; the plan must hold it."""
        return next(item for item in self.configurations if item.name == name)

    def input_channels(self, configuration: Configuration) -> int:
        """Channels that the network of a configuration sees: windows, and previous-stage classes."""
        previous = len(self.labels) - 1 if configuration.previous_stage else 0
        return len(self.windows) + previous
