"""What every network of nnU-Net v2 has alike, in the words of plans.json."""

from typing import Any

IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")
"""Arguments of networks that name classes."""


def block_arguments(axes: int) -> dict[str, Any]:
    """Arguments of a network's blocks: biases, instance norm, no dropout, leaky ReLU; in nnU-Net's order.

    Args:
        axes: 2 or 3.
    """
    return {
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
