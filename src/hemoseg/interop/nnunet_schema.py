"""The shape of nnU-Net's files: what is read of them, and what they must hold to be understood."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from hemoseg.interop.nnunet_labels import class_names
from hemoseg.io import SPACING_LIMITS_MM
from hemoseg.plan import FolderName, Intensity
from hemoseg.planning.nnunet import INTENSITIES

Edge = Annotated[StrictInt, Field(ge=1, lt=2**31)]
"""A whole number of voxels, channels, convolutions."""
PlaneOrVolume = Annotated[tuple[Edge, ...], Field(min_length=2, max_length=3)]
"""One whole number per axis of a network."""
NO_READER = "None"
"""nnU-Net's word for no class of one's own; null is none."""
OLD_INTENSITIES = "foreground_intensity_properties_by_modality"
"""Name that plans.json had for the intensities before nnU-Net 2.3."""
Spline = Literal[0, 1, 3]
"""Orders of splines that are known here."""
ResamplingFunction = Literal["resample_data_or_seg_to_shape", "resample_torch_fornnunet"]
"""nnU-Net's functions that are known here."""


def _number(value: Any) -> float:
    """A number of JSON as one that can be computed with; a number as text is none, as it is none to nnU-Net."""
    if not isinstance(value, int | float):
        raise ValueError("Input should be a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("Input should be a finite number") from error


def is_folder_name(name: str) -> bool:
    """Whether a folder can have this name: printable, of at most 255 bytes, and no path."""
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and not any(character in "/\\" for character in name)
        and len(name.encode()) <= 255
    )


def _folder_name(name: str) -> str:
    if not is_folder_name(name):
        raise ValueError("Input should be the name of one folder, like Dataset001_Heads")
    return name


Number = Annotated[float, BeforeValidator(_number)]
"""A finite number, whole or not."""
PositiveNumber = Annotated[Number, Field(gt=0)]
"""A finite number above 0."""
SpacingNumber = Annotated[Number, Field(ge=SPACING_LIMITS_MM[0], le=SPACING_LIMITS_MM[1])]
"""Millimeters that a scan's header may have too: others give a grid of no scan, or one that no memory holds."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Loose(BaseModel):
    """What else a file holds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class DatasetJson(_Loose):
    """dataset.json, as far as planning reads it; as nnU-Net's planners do, it looks at no label's number."""

    channel_names: Annotated[dict[StrictStr, StrictStr], Field(min_length=1)]
    """Channel number as text, and name."""
    labels: dict[StrictStr, JsonValue]
    """Class or region, and its number or numbers."""
    numTraining: Number | None = None  # noqa: N815 - nnU-Net's name
    """Cases; planning needs them, prediction does not."""
    file_ending: StrictStr
    """Ending of the files."""
    overwrite_image_reader_writer: StrictStr = NO_READER
    """Class that reads images."""
    regions_class_order: JsonValue = None
    """Numbers that regions are painted with, one per region."""

    @model_validator(mode="before")
    @classmethod
    def _takes_the_older_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and "channel_names" not in value and "modality" in value:
            return {**value, "channel_names": value["modality"]}
        return value

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all labels but `ignore`."""
        return class_names(self.labels)

    @property
    def region_order(self) -> list[Any] | None:
        """Numbers that regions are painted with; None if there is no list of them."""
        return self.regions_class_order if isinstance(self.regions_class_order, list) else None


class IntensityJson(_Loose):
    """Foreground intensities of a channel."""

    mean: Number
    median: Number
    std: Annotated[Number, Field(ge=0)]
    min: Number
    max: Number
    percentile_00_5: Number
    percentile_99_5: Number

    @model_validator(mode="after")
    def _are_in_order(self) -> "IntensityJson":
        if self.percentile_00_5 > self.percentile_99_5:
            raise ValueError(f"percentile_00_5 {self.percentile_00_5:g} above percentile_99_5 {self.percentile_99_5:g}")
        return self

    def typed(self) -> Intensity:
        """The same as a part of a plan."""
        return Intensity.model_validate(self.model_dump())


class FingerprintJson(_Loose):
    """dataset_fingerprint.json."""

    spacings: Annotated[tuple[tuple[PositiveNumber, PositiveNumber, PositiveNumber], ...], Field(min_length=1)]
    """Spacing of each case as stored."""
    shapes_after_crop: tuple[tuple[PositiveNumber, PositiveNumber, PositiveNumber], ...]
    """Shape of each case after the crop to what is not 0; nnU-Net takes parts of voxels too."""
    foreground_intensity_properties_per_channel: JsonValue
    """Intensities by channel number; nnU-Net's planners copy whatever stands here into plans.json."""
    median_relative_size_after_cropping: Annotated[Number, Field(ge=0)]
    """Median share of voxels that the crop left."""

    @model_validator(mode="after")
    def _is_of_one_data_set(self) -> "FingerprintJson":
        if len(self.spacings) != len(self.shapes_after_crop):
            raise ValueError(f"{len(self.spacings)} spacings for {len(self.shapes_after_crop)} shapes_after_crop")
        return self


class ResamplingJson(_Strict):
    """Arguments of the resampling function by default, which interpolates by splines."""

    is_seg: StrictBool
    order: Spline
    order_z: Spline
    force_separate_z: StrictBool | None


class TorchResamplingJson(_Strict):
    """Arguments of `resample_torch_fornnunet`, which is linear; along an axis apart it takes the nearest."""

    is_seg: StrictBool = False
    force_separate_z: StrictBool | None = None
    memefficient_seg_resampling: Literal[False] = False
    separate_z_anisotropy_threshold: Annotated[Number, Field(ge=3, le=3)] = 3
    mode: Literal["linear"] = "linear"
    aniso_axis_mode: Literal["nearest-exact"] = "nearest-exact"
    num_threads: Edge = 4

    @property
    def order(self) -> Spline:
        """Order of the spline that it is like."""
        return 1

    @property
    def order_z(self) -> Spline:
        """That along an axis apart."""
        return 0


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
    deep_supervision: StrictBool = False
    """Overruled in prediction. This and what follows is no planner's; here it has the values that change nothing."""
    nonlin_first: Literal[False] = False
    stem_channels: None = None
    bottleneck_channels: None = None


class ArchitectureJson(_Loose):
    """A network; nnU-Net passes over what else there is, but not among the arguments."""

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


class ConfigurationJson(_Loose):
    """A configuration with what it inherits; nnU-Net passes over what else there is."""

    inherits_from: StrictStr | None = None
    previous_stage: StrictStr | None = None
    next_stage: StrictStr | tuple[StrictStr, ...] | None = None
    data_identifier: StrictStr
    preprocessor_name: Literal["DefaultPreprocessor"]
    batch_size: Edge
    patch_size: PlaneOrVolume
    median_image_size_in_voxels: Annotated[tuple[PositiveNumber, ...], Field(min_length=2, max_length=3)]
    spacing: Annotated[tuple[SpacingNumber, ...], Field(min_length=2, max_length=3)]
    normalization_schemes: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    use_mask_for_norm: tuple[StrictBool, ...]
    resampling_fn_data: ResamplingFunction
    resampling_fn_seg: ResamplingFunction
    resampling_fn_data_kwargs: dict[StrictStr, JsonValue]
    resampling_fn_seg_kwargs: dict[StrictStr, JsonValue]
    resampling_fn_probabilities: ResamplingFunction
    resampling_fn_probabilities_kwargs: dict[StrictStr, JsonValue]
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


def passed_over(content: Mapping[str, Any]) -> list[str]:
    """Entries of a configuration that neither nnU-Net nor we look at."""
    architecture = content.get("architecture")
    known = {field.alias or name for name, field in ArchitectureJson.model_fields.items()}
    inside = sorted(set(architecture) - known) if isinstance(architecture, Mapping) else []
    return [*(f"architecture.{key}" for key in inside), *sorted(set(content) - set(ConfigurationJson.model_fields))]


class PlansJson(_Loose):
    """plans.json; configurations are read one by one."""

    dataset_name: Annotated[StrictStr, AfterValidator(_folder_name)]
    plans_name: FolderName
    original_median_spacing_after_transp: tuple[PositiveNumber, PositiveNumber, PositiveNumber]
    original_median_shape_after_transp: tuple[Edge, Edge, Edge]
    image_reader_writer: StrictStr
    transpose_forward: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    transpose_backward: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    configurations: Annotated[dict[FolderName, dict[StrictStr, Any]], Field(min_length=1)]
    experiment_planner_used: StrictStr
    label_manager: Literal["LabelManager"] = "LabelManager"
    foreground_intensity_properties_per_channel: JsonValue

    @model_validator(mode="before")
    @classmethod
    def _takes_the_older_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and INTENSITIES not in value and OLD_INTENSITIES in value:
            return {**value, INTENSITIES: value[OLD_INTENSITIES]}
        return value

    @model_validator(mode="after")
    def _turns_back(self) -> "PlansJson":
        back = [self.transpose_forward.index(axis) for axis in range(3) if axis in self.transpose_forward]
        if back != list(self.transpose_backward):
            raise ValueError(
                f"transpose_backward {self.transpose_backward} does not undo transpose_forward {self.transpose_forward}"
            )
        return self
