"""plans.json of nnU-Net v2, written from a plan."""

from typing import Any

from hemoseg.errors import SettingsError
from hemoseg.interop.nnunet_blocks import IMPORTED, block_arguments
from hemoseg.interop.nnunet_old_plans import OLD_KEYS
from hemoseg.interop.nnunet_schema import ConfigurationJson
from hemoseg.plan import Configuration, NnunetNames, Normalization, Plan, Spline, SplineResampling
from hemoseg.planning.nnunet import INTENSITIES

SCHEMES: dict[Normalization, str] = {
    "ct": "CTNormalization",
    "none": "NoNormalization",
    "zscore": "ZScoreNormalization",
    "rescale": "RescaleTo01Normalization",
    "rgb": "RGBTo01Normalization",
}
"""nnU-Net's classes of normalization."""
SHARED_DATA = ("2d", "3d_fullres")
"""Configurations of residual planners that use the default planner's preprocessed data."""
PLAIN_CLASS = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
RESIDUAL_CLASS = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
SPLINE_FUNCTION = "resample_data_or_seg_to_shape"
TORCH_FUNCTION = "resample_torch_fornnunet"


def write_plans(plan: Plan) -> dict[str, Any]:
    """The content of plans.json, as nnU-Net's planner writes it for the same decisions.

    Raises:
        SettingsError: the plan holds steps that nnU-Net v2 does not know.
    """
    names = _expressible(plan)
    forward = plan.preparation.transpose
    full = {item.name: _written(plan, item, names) for item in plan.configurations}
    written = {
        item.name: _difference(item, full) if item.inherits_from in full else full[item.name]
        for item in plan.configurations
    }
    content: dict[str, Any] = {
        "dataset_name": plan.dataset_name,
        "plans_name": names.plans_name,
        "original_median_spacing_after_transp": list(names.median_spacing_mm),
        "original_median_shape_after_transp": list(names.median_shape),
        "image_reader_writer": names.reader,
        "transpose_forward": list(forward),
        "transpose_backward": [forward.index(axis) for axis in range(3)],
        "configurations": written,
        "experiment_planner_used": names.experiment_planner,
        "label_manager": "LabelManager",
        INTENSITIES: {
            str(index): channel.intensity.model_dump()
            for index, channel in enumerate(plan.preparation.channels)
            if channel.intensity is not None
        },
    }
    content |= {key: value for key, value in names.said.items() if key == INTENSITIES or key not in content}
    said = names.said.get("configurations")
    for name, item in written.items():
        item |= _more(said.get(name) if isinstance(said, dict) else None)
    return {key: _spelled(value, names.said.get(key)) for key, value in content.items()}


def _more(said: Any) -> dict[str, Any]:
    """Entries of a configuration in its file that are not understood."""
    known = {*ConfigurationJson.model_fields, *OLD_KEYS}
    return {key: value for key, value in said.items() if key not in known} if isinstance(said, dict) else {}


def _spelled(value: Any, said: Any) -> Any:
    """What the plan says, its numbers as the file spelled them where they are the same: 2 stays 2, and 2.0 2.0."""
    if isinstance(value, dict) and isinstance(said, dict):
        return {key: _spelled(item, said.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(said, list) and len(value) == len(said):
        return [_spelled(item, other) for item, other in zip(value, said, strict=True)]
    return said if type(said) in (int, float) and value == said else value


def _expressible(plan: Plan) -> NnunetNames:
    """nnU-Net's names of a plan that plans.json can hold."""
    preparation = plan.preparation
    steps = {
        f"planner {plan.planner}": plan.nnunet is None or plan.planner == "nnunet-v1",
        "normalization after resampling": preparation.normalize != "before",
        "canonical axes": preparation.orientation == "canonical",
        "windows": any(channel.window is not None for channel in preparation.channels),
        "head crop": preparation.head_crop,
        "pooling": preparation.pooling is not None,
        "slice spacing": preparation.slice_spacing_mm is not None,
        "slab": preparation.slab is not None,
        "no crop to what is not 0": not preparation.nonzero_crop,
        "resampling by averages": not isinstance(preparation.resampling, SplineResampling),
        "labels by shares": isinstance(preparation.resampling, SplineResampling) and not preparation.resampling.labels,
        "channels out of order": [c.source for c in preparation.channels] != list(range(len(preparation.channels))),
    }
    unknown = [name for name, is_there in steps.items() if is_there]
    if unknown or plan.nnunet is None:
        raise SettingsError(
            f"the plan has what plans.json cannot hold: {', '.join(unknown)}",
            where=f"plan of {plan.dataset_name}",
            expected="a plan of nnU-Net v2 without further steps",
            remedy="plan with --planner nnunet or nnunet-resenc-m, -l, -xl",
        )
    return plan.nnunet


def _written(plan: Plan, item: Configuration, names: NnunetNames) -> dict[str, Any]:
    """A configuration, all spelled out."""
    first = 3 - item.dimensions
    next_stages = [other.name for other in plan.configurations if other.previous_stage == item.name]
    channels, resampling = plan.preparation.channels, plan.preparation.resampling
    if not isinstance(resampling, SplineResampling) or resampling.labels is None:
        raise TypeError("plans that are written have spline resampling, of labels too")
    function, arguments = (TORCH_FUNCTION, _torch) if resampling.by_torch else (SPLINE_FUNCTION, _spline)
    content: dict[str, Any] = {
        "data_identifier": _data_identifier(item.name, names),
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": item.batch_size,
        "patch_size": list(item.patch_size[first:]),
        "median_image_size_in_voxels": [
            round(size) if next_stages and size.is_integer() else size for size in item.median_shape[first:]
        ],
        "spacing": list(item.spacing_mm[first:]),
        "normalization_schemes": [SCHEMES[channel.normalization] for channel in channels],
        "use_mask_for_norm": [channel.masked for channel in channels],
        "resampling_fn_data": function,
        "resampling_fn_seg": function,
        "resampling_fn_data_kwargs": arguments(resampling.image, is_seg=False),
        "resampling_fn_seg_kwargs": arguments(resampling.labels, is_seg=True),
        "resampling_fn_probabilities": function,
        "resampling_fn_probabilities_kwargs": arguments(resampling.logits, is_seg=False),
        "architecture": _architecture(item),
        "batch_dice": item.batch_dice,
    }
    if item.previous_stage is not None:
        content["previous_stage"] = item.previous_stage
    if next_stages:
        content["next_stage"] = next_stages[0] if len(next_stages) == 1 else next_stages
    return content


def _difference(item: Configuration, full: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A configuration by what it does not inherit; its data are its parent's while the grid is."""
    content, parent = full[item.name], full[str(item.inherits_from)]
    own = {key: value for key, value in content.items() if key != "data_identifier" and value != parent.get(key)}
    if "spacing" in own:
        own = {"data_identifier": content["data_identifier"], **own}
    return {"inherits_from": item.inherits_from, **own}


def _data_identifier(name: str, names: NnunetNames) -> str:
    shares = "ResEnc" in names.experiment_planner and name in SHARED_DATA
    return f"{'nnUNetPlans' if shares else names.plans_name}_{name}"


def _spline(spline: Spline, *, is_seg: bool) -> dict[str, Any]:
    return {
        "is_seg": is_seg,
        "order": spline.order,
        "order_z": spline.z_order,
        "force_separate_z": spline.separate_z,
    }


def _torch(spline: Spline, *, is_seg: bool) -> dict[str, Any]:
    """Arguments as nnU-Net's planners write them: the threshold where it decides."""
    content = {"is_seg": is_seg, "force_separate_z": spline.separate_z, "memefficient_seg_resampling": False}
    return content | ({"separate_z_anisotropy_threshold": 3} if spline.separate_z is None else {})


def _architecture(item: Configuration) -> dict[str, Any]:
    axes, first = item.dimensions, 3 - item.dimensions
    residual = item.encoder == "residual"
    return {
        "network_class_name": RESIDUAL_CLASS if residual else PLAIN_CLASS,
        "arch_kwargs": {
            "n_stages": len(item.features),
            "features_per_stage": list(item.features),
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [list(kernel[first:]) for kernel in item.kernels],
            "strides": [list(stride[first:]) for stride in item.strides],
            "n_blocks_per_stage" if residual else "n_conv_per_stage": list(item.blocks),
            "n_conv_per_stage_decoder": list(item.decoder_blocks),
            **block_arguments(axes),
        },
        "_kw_requires_import": list(IMPORTED),
    }
