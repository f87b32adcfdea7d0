"""Configurations of plans.json from before nnU-Net 2.3, which named the parts of a U-Net one by one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hemoseg.errors import InputError
from hemoseg.interop.nnunet_blocks import IMPORTED, block_arguments

OLD_KEYS = (
    "UNet_class_name",
    "UNet_base_num_features",
    "n_conv_per_stage_encoder",
    "n_conv_per_stage_decoder",
    "num_pool_per_axis",
    "pool_op_kernel_sizes",
    "conv_kernel_sizes",
    "unet_max_num_features",
)
"""What was there in place of `architecture`."""


def with_architecture(content: Mapping[str, Any], *, where: Path | str) -> dict[str, Any]:
    """The configuration with `architecture`, as nnU-Net itself converts it; newer ones as they are.

    Raises:
        InputError: it has neither the new nor all of the old entries, or they are no numbers.
    """
    if "architecture" in content:
        return dict(content)
    missing = [key for key in OLD_KEYS if key not in content]
    if missing:
        raise _unusable(f"neither architecture nor {', '.join(missing)}", where)
    try:
        stages = len(content["n_conv_per_stage_encoder"])
        base, largest = int(content["UNet_base_num_features"]), int(content["unet_max_num_features"])
        axes = len(content["patch_size"])
    except (TypeError, ValueError, KeyError) as error:
        raise _unusable(f"entries of its network that cannot be used: {error}", where) from error
    name = content["UNet_class_name"]
    blocks = "n_blocks_per_stage" if name == "ResidualEncoderUNet" else "n_conv_per_stage"
    new = {key: value for key, value in content.items() if key not in OLD_KEYS}
    new["architecture"] = {
        "network_class_name": name,
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [min(base * 2**stage, largest) for stage in range(stages)],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": content["conv_kernel_sizes"],
            "strides": content["pool_op_kernel_sizes"],
            blocks: content["n_conv_per_stage_encoder"],
            "n_conv_per_stage_decoder": content["n_conv_per_stage_decoder"],
            **block_arguments(axes),
        },
        "_kw_requires_import": list(IMPORTED),
    }
    return new


def _unusable(found: str, where: Path | str) -> InputError:
    return InputError(
        found,
        where=where,
        expected=f"architecture, or all of {', '.join(OLD_KEYS)} as before nnU-Net 2.3",
        remedy="plan the data set again with nnU-Net",
    )
