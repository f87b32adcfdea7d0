"""Plan → network: nnU-Net's U-Nets, plain and residual, by dynamic-network-architectures."""

from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from hemoseg.errors import SettingsError
from hemoseg.nets.norm import InstanceNorm
from hemoseg.plan import Configuration, Plan

SEEDS_APART = 1_000_003
"""Between the seeds of two folds, so that no plan's next seeds are those of its folds."""


def build_network(plan: Plan, configuration: Configuration, *, fold: int = 0) -> PlainConvUNet | ResidualEncoderUNet:
    """The network of a configuration with freshly drawn weights.

    3-D convolutions throughout: a 2d configuration has patches of one slice and kernels of (1, k, k),
    which is the same arithmetic as 2-D convolutions. Weights are drawn from the plan's seed and the fold (He, for
    leaky ReLU of slope 0.01; the last norm of a residual block starts at 0); the process's own generator
    is left as it was.

    Args:
        plan: the plan.
        configuration: one of its networks.
        fold: whose training begins with the weights; folds that are averaged gain by differing.

    Returns:
        In training mode, with one output per decoder stage, the finest first, each of shape
        (b, classes, z, y, x). `decoder.deep_supervision = False` leaves the finest alone.

    Raises:
        SettingsError: the configuration has one stage: no decoder, so no output.

    Source:
        Isensee et al., Nat. Methods 18:203–211 (2021), doi:10.1038/s41592-020-01008-z; residual encoders:
        Isensee et al., MICCAI 2024, doi:10.1007/978-3-031-72114-4_47.
    """
    if len(configuration.features) < 2:
        raise SettingsError(
            "a network of one stage has no decoder, so it has no output",
            where=f"configuration {configuration.name}",
            expected="two or more stages: patches of 8 voxels or more along some axis",
            remedy="plan with a finer spacing or a larger patch, or leave this configuration out",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed + SEEDS_APART * fold)
        network: PlainConvUNet | ResidualEncoderUNet
        if configuration.encoder == "plain":
            network = PlainConvUNet(n_conv_per_stage=list(configuration.blocks), **_common(plan, configuration))
        else:
            network = ResidualEncoderUNet(n_blocks_per_stage=list(configuration.blocks), **_common(plan, configuration))
        network.apply(network.initialize)
    return network


def _common(plan: Plan, configuration: Configuration) -> dict[str, Any]:
    """Arguments that both architectures take, nnU-Net's template."""
    return {
        "input_channels": plan.input_channels(configuration),
        "n_stages": len(configuration.features),
        "features_per_stage": list(configuration.features),
        "conv_op": nn.Conv3d,
        "kernel_sizes": [list(kernel) for kernel in configuration.kernels],
        "strides": [list(stride) for stride in configuration.strides],
        "num_classes": plan.outputs,
        "n_conv_per_stage_decoder": list(configuration.decoder_blocks),
        "conv_bias": True,
        "norm_op": InstanceNorm,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"negative_slope": 0.01, "inplace": True},
        "deep_supervision": True,
    }
