"""How a scan becomes what networks see: every step that a plan can ask for, in the order in which they are applied."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, model_validator

from hemoseg.plan.intensity import Intensity

Normalization = Literal["none", "ct", "zscore", "rescale", "rgb"]
"""nnU-Net's schemes: unchanged; global clip and z-score of CT; z-score per image; to [0, 1]; divided by 255."""
PoolingKind = Literal["maximum", "average", "summed-area", "random-area"]
"""The ways of pooling that the paper lists."""


class Window(BaseModel):
    """A named range of HU that becomes one input channel, clamped at both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the window."""
    low_hu: float
    """HU at and below which the channel has its lowest value."""
    high_hu: float
    """HU at and above which the channel has its highest value."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "Window":
        if not self.low_hu < self.high_hu:
            raise ValueError(f"window {self.name}: low {self.low_hu} HU is not below high {self.high_hu} HU")
        return self

    @property
    def width_hu(self) -> float:
        """Window width: high - low."""
        return self.high_hu - self.low_hu

    @property
    def center_hu(self) -> float:
        """Window center (level): the middle of the range."""
        return (self.low_hu + self.high_hu) / 2


class Channel(BaseModel):
    """One input channel of the networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name: that of its window, or nnU-Net's channel name."""
    source: NonNegativeInt = 0
    """Index of the image channel that it is made from."""
    window: Window | None = None
    """Range that values are clamped to and scaled from; None leaves them as they are."""
    scale: tuple[float, float] = (-1.0, 1.0)
    """What the window's bounds become; without a window it has no meaning."""
    normalization: Normalization = "none"
    """nnU-Net's scheme, applied after the window."""
    masked: bool = False
    """Whether normalization looks at the voxels inside the non-zero mask alone (nnU-Net's use_mask_for_norm)."""
    intensity: Intensity | None = None
    """Foreground statistics that the scheme `ct` needs. Only a plan from files of nnU-Net that lack them is without;
    no scan can be prepared by it."""


class Pooling(BaseModel):
    """In-plane downsampling by a whole factor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PoolingKind
    """How the pixels of a block become one: largest, mean, sum, or one drawn in proportion to its value."""
    factor: Annotated[int, Field(ge=2)]
    """Pixels per block along y and along x."""


class Slab(BaseModel):
    """The slices that are kept: a range, and some beyond both its ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    extend: NonNegativeInt
    """Slices kept beyond each end of the range, where the scan has them."""
    train_range: Literal["head", "label"] = "head"
    """Range in training: slices of the head, or those that hold a label. Without labels it is the head always."""


class AverageResampling(BaseModel):
    """Averages over the covered interval where the target is coarser, linear interpolation where it is finer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["average"] = "average"
    """Which rule."""


class Spline(BaseModel):
    """Interpolation by splines, along z apart from the plane where voxels are anisotropic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: Literal[0, 1, 3]
    """Order of the spline, in plane or along all axes."""
    z_order: Literal[0, 1, 3] = 0
    """Order along the axis that is treated apart; 0 takes the nearest slice."""
    separate_z: bool | None = None
    """Whether the coarsest axis is treated apart; None decides by nnU-Net's factor of 3."""
    winner: Literal["largest", "half", "first"] = "largest"
    """Which label a voxel gets: the one with the largest share, of equals the nearest; or, in nnU-Net v1, the highest
    of those with a half of it, and 0 if none has; or, where nnU-Net resamples by torch, the largest in half precision,
    of equals the lowest. Images have no part in it."""


class SplineResampling(BaseModel):
    """nnU-Net's rule, or nearly so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["spline"] = "spline"
    """Which rule."""
    image: Spline = Spline(order=3)
    """Images."""
    labels: Spline | None = Spline(order=1)
    """Label maps: each class as an indicator, the largest wins. None keeps the volume of every class instead, which
    nnU-Net does not."""
    logits: Spline = Spline(order=1)
    """Logits on their way back to the scan's grid."""

    @property
    def by_torch(self) -> bool:
        """Whether it is nnU-Net's `resample_torch_fornnunet`, which leaves logits in float32."""
        return self.labels is not None and self.labels.winner == "first"


Resampling = Annotated[AverageResampling | SplineResampling, Field(discriminator="kind")]


class Preparation(BaseModel):
    """From a scan to the channels of a network, in the order of the fields; `preprocess` applies it and undoes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    orientation: Literal["canonical", "as-stored", "ras"]
    """`canonical`: arrays run to superior, posterior, left; `as-stored`: as the file has them; `ras`: to superior,
    anterior, right, as readers of nnU-Net have them that turn axes."""
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    """Input channels."""
    windowed: Literal["first", "last"]
    """`first`: windows come before all that follows, and channels are stored. `last`: HU clamped to the range that
    holds all windows go through, HU are stored, and channels are made from them when they are needed."""
    head_crop: bool
    """Whether the volume is cropped to the head's bounding box."""
    pooling: Pooling | None = None
    """In-plane downsampling by pooling."""
    slice_spacing_mm: PositiveFloat | None = None
    """Spacing along z before nnU-Net's own resampling; None leaves it."""
    slab: Slab | None = None
    """Slices that are kept; None keeps all."""
    transpose: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] = (0, 1, 2)
    """Order of the axes for all that follows: nnU-Net puts the coarsest first."""
    nonzero_crop: bool
    """Whether the volume is cropped to what is not 0 in any channel; label voxels of background beyond that
    become -1 (nnU-Net)."""
    normalize: Literal["before", "after"] = "before"
    """Whether normalization comes before the resampling to the target spacing (nnU-Net v2) or after it (v1)."""
    resampling: Resampling
    """How volumes reach the target spacing of a configuration, and return."""

    @model_validator(mode="after")
    def _is_possible(self) -> "Preparation":
        if sorted(self.transpose) != [0, 1, 2]:
            raise ValueError(f"transpose {self.transpose} is no order of the axes 0, 1, 2")
        if (self.pooling or self.slice_spacing_mm or self.slab) and self.orientation != "canonical":
            raise ValueError("pooling, slice spacing and slab need canonical axes: they act on slices")
        if self.windowed == "last":
            if any(c.window is None or c.normalization != "none" or c.source for c in self.channels):
                raise ValueError("windows can come last only if each channel is a window of image channel 0 alone")
            if self.nonzero_crop:
                raise ValueError("a non-zero crop needs windows first: HU are 0 in water, not outside the head")
        from_zero = self.windowed == "first" and all(c.window and c.scale[0] >= 0 for c in self.channels)
        if self.pooling is not None and self.pooling.kind in ("summed-area", "random-area") and not from_zero:
            raise ValueError(f"{self.pooling.kind} pooling needs windows first, scaled to values from 0 up")
        return self

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows of all channels that have one."""
        return tuple(channel.window for channel in self.channels if channel.window is not None)
