"""The shape of nnU-Net's files: what is read of them, and what they must hold to be understood."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from hemoseg.plan import Intensity

Edge = Annotated[StrictInt, Field(ge=1, lt=2**31)]
"""A whole number of voxels, channels, convolutions."""
PlaneOrVolume = Annotated[tuple[Edge, ...], Field(min_length=2, max_length=3)]
"""One whole number per axis of a network."""
Spline = Literal[0, 1, 3]
"""Orders of splines that are known here."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Loose(BaseModel):
    """What else a file holds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class DatasetJson(_Loose):
    """dataset.json, as far as planning reads it."""

    channel_names: Annotated[dict[StrictStr, StrictStr], Field(min_length=1)]
    """Channel number as text, and name."""
    labels: Annotated[dict[StrictStr, StrictInt | tuple[StrictInt, ...]], Field(min_length=1)]
    """Class or region, and its number or numbers."""
    numTraining: Annotated[StrictInt, Field(ge=1)]  # noqa: N815 - nnU-Net's name
    """Cases."""
    file_ending: Annotated[StrictStr, Field(pattern=r"^\.")]
    """Ending of the files."""
    overwrite_image_reader_writer: StrictStr | None = None
    """Class that reads images."""
    regions_class_order: tuple[StrictInt, ...] | None = None
    """Numbers that regions are painted with, one per region."""

    @model_validator(mode="before")
    @classmethod
    def _takes_the_older_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and "channel_names" not in value and "modality" in value:
            return {**value, "channel_names": value["modality"]}
        return value

    @model_validator(mode="after")
    def _labels_are_nnunets(self) -> "DatasetJson":
        if self.labels.get("background") != 0:
            raise ValueError('labels need an entry "background": 0')
        if any(isinstance(value, tuple) and not value for value in self.labels.values()):
            raise ValueError("a region of no numbers")
        numbers = {n for name in self.classes for n in self._numbers(name)}
        if numbers != set(range(len(numbers))):
            raise ValueError(f"label numbers {sorted(numbers)} are not 0, 1, 2, … without a gap")
        ignore = self.labels.get("ignore")
        if ignore is not None and ignore != len(numbers):
            raise ValueError(f"ignore is {ignore}, must be one number, the one after the last: {len(numbers)}")
        if self.has_regions and len(self.regions_class_order or ()) != len(self.classes) - 1:
            raise ValueError(f"regions_class_order needs {len(self.classes) - 1} numbers, one per region")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all labels but `ignore`: background first, then by number; regions stay in their order."""
        names = [name for name in self.labels if name not in ("ignore", "background")]
        if not self.has_regions:
            names.sort(key=lambda name: min(self._numbers(name)))
        return ("background", *names)

    @property
    def has_regions(self) -> bool:
        """Whether a class is made of several label numbers."""
        return any(isinstance(value, tuple) and len(value) > 1 for value in self.labels.values())

    def _numbers(self, name: str) -> tuple[int, ...]:
        value = self.labels[name]
        return value if isinstance(value, tuple) else (value,)


class IntensityJson(_Loose):
    """Foreground intensities of a channel."""

    mean: float
    median: float
    std: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float

    def typed(self) -> Intensity:
        """The same as a part of a plan."""
        return Intensity.model_validate(self.model_dump())


class FingerprintJson(_Loose):
    """dataset_fingerprint.json."""

    spacings: Annotated[tuple[tuple[PositiveFloat, PositiveFloat, PositiveFloat], ...], Field(min_length=1)]
    """Spacing of each case as stored."""
    shapes_after_crop: tuple[tuple[Edge, Edge, Edge], ...]
    """Shape of each case after the crop to what is not 0."""
    foreground_intensity_properties_per_channel: dict[StrictStr, IntensityJson]
    """Intensities by channel number."""
    median_relative_size_after_cropping: NonNegativeFloat
    """Median share of voxels that the crop left."""

    @model_validator(mode="after")
    def _is_of_one_data_set(self) -> "FingerprintJson":
        if len(self.spacings) != len(self.shapes_after_crop):
            raise ValueError(f"{len(self.spacings)} spacings for {len(self.shapes_after_crop)} shapes_after_crop")
        return self


class ResamplingJson(_Strict):
    """Arguments of the resampling function."""

    is_seg: StrictBool
    order: Spline
    order_z: Spline
    force_separate_z: StrictBool | None


class NormKwargsJson(_Strict):
    """Arguments of the instance norm."""

    eps: Annotated[float, Field(ge=1e-5, le=1e-5)]
    affine: Literal[True]


class NonlinearityKwargsJson(_Strict):
    """Arguments of the leaky ReLU."""

    inplace: Literal[True]


class ArchitectureKwargsJson(_Strict):
    """Arguments of a network; what nnU-Net's planners never change must be as they write it."""

    n_stages: PositiveInt
    features_per_stage: tuple[Edge, ...]
    conv_op: Literal["torch.nn.modules.conv.Conv2d", "torch.nn.modules.conv.Conv3d"]
    kernel_sizes: tuple[PlaneOrVolume, ...]
    strides: tuple[PlaneOrVolume, ...]
    n_conv_per_stage: tuple[Edge, ...] | None = None
    n_blocks_per_stage: tuple[Edge, ...] | None = None
    n_conv_per_stage_decoder: tuple[Edge, ...]
    conv_bias: Literal[True]
    norm_op: Literal[
        "torch.nn.modules.instancenorm.InstanceNorm2d",
        "torch.nn.modules.instancenorm.InstanceNorm3d",
    ]
    norm_op_kwargs: NormKwargsJson
    dropout_op: None
    dropout_op_kwargs: None
    nonlin: Literal["torch.nn.LeakyReLU"]
    nonlin_kwargs: NonlinearityKwargsJson


class ArchitectureJson(_Strict):
    """A network."""

    network_class_name: Annotated[StrictStr, Field(pattern=r"(^|\.)(PlainConvUNet|ResidualEncoderUNet)$")]
    arch_kwargs: ArchitectureKwargsJson
    kw_requires_import: Annotated[tuple[StrictStr, ...], Field(alias="_kw_requires_import")]

    @model_validator(mode="after")
    def _names_its_blocks(self) -> "ArchitectureJson":
        kwargs = self.arch_kwargs
        if (self.is_residual and kwargs.n_blocks_per_stage is None) or (
            not self.is_residual and kwargs.n_conv_per_stage is None
        ):
            raise ValueError(f"{self.network_class_name} lacks its {'blocks' if self.is_residual else 'convolutions'}")
        return self

    @property
    def is_residual(self) -> bool:
        """Whether the encoder is residual."""
        return self.network_class_name.endswith("ResidualEncoderUNet")

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks or convolutions per stage of the encoder."""
        return (self.arch_kwargs.n_blocks_per_stage if self.is_residual else self.arch_kwargs.n_conv_per_stage) or ()


class ConfigurationJson(_Strict):
    """A configuration with what it inherits."""

    inherits_from: StrictStr | None = None
    previous_stage: StrictStr | None = None
    next_stage: StrictStr | tuple[StrictStr, ...] | None = None
    data_identifier: StrictStr
    preprocessor_name: Literal["DefaultPreprocessor"]
    batch_size: Edge
    patch_size: PlaneOrVolume
    median_image_size_in_voxels: Annotated[tuple[PositiveFloat, ...], Field(min_length=2, max_length=3)]
    spacing: Annotated[tuple[PositiveFloat, ...], Field(min_length=2, max_length=3)]
    normalization_schemes: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    use_mask_for_norm: tuple[StrictBool, ...]
    resampling_fn_data: Literal["resample_data_or_seg_to_shape"]
    resampling_fn_seg: Literal["resample_data_or_seg_to_shape"]
    resampling_fn_data_kwargs: ResamplingJson
    resampling_fn_seg_kwargs: ResamplingJson
    resampling_fn_probabilities: Literal["resample_data_or_seg_to_shape"]
    resampling_fn_probabilities_kwargs: ResamplingJson
    architecture: ArchitectureJson
    batch_dice: StrictBool

    @model_validator(mode="after")
    def _has_one_number_of_axes(self) -> "ConfigurationJson":
        kwargs = self.architecture.arch_kwargs
        axes = len(self.patch_size)
        lists = [self.median_image_size_in_voxels, self.spacing, *kwargs.strides, *kwargs.kernel_sizes]
        if any(len(item) != axes for item in lists):
            raise ValueError(f"sizes, spacing, strides and kernels must have {axes} axes, as patch_size has")
        if f"{axes}d" not in kwargs.conv_op or f"{axes}d" not in kwargs.norm_op:
            raise ValueError(f"conv_op and norm_op are not those of {axes} axes")
        if len(self.use_mask_for_norm) != len(self.normalization_schemes):
            raise ValueError("use_mask_for_norm and normalization_schemes differ in length")
        return self


class PlansJson(_Loose):
    """plans.json; configurations are read one by one."""

    dataset_name: StrictStr
    plans_name: StrictStr
    original_median_spacing_after_transp: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    original_median_shape_after_transp: tuple[Edge, Edge, Edge]
    image_reader_writer: StrictStr
    transpose_forward: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    transpose_backward: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    configurations: Annotated[dict[StrictStr, dict[StrictStr, Any]], Field(min_length=1)]
    experiment_planner_used: StrictStr
    label_manager: Literal["LabelManager"] = "LabelManager"
    foreground_intensity_properties_per_channel: dict[StrictStr, IntensityJson]

    @model_validator(mode="before")
    @classmethod
    def _takes_the_older_name(cls, value: Any) -> Any:
        new, old = "foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"
        if isinstance(value, dict) and new not in value and old in value:
            return {**value, new: value[old]}
        return value

    @model_validator(mode="after")
    def _turns_back(self) -> "PlansJson":
        back = [self.transpose_forward.index(axis) for axis in range(3) if axis in self.transpose_forward]
        if back != list(self.transpose_backward):
            raise ValueError(
                f"transpose_backward {self.transpose_backward} does not undo transpose_forward {self.transpose_forward}"
            )
        return self
