"""Plan → network: nnU-Net's plain U-Net, by dynamic-network-architectures."""

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import nn

from hemoseg.plan import Configuration, Plan

CONVS_PER_STAGE = 2
"""Convolutions per stage, down and up: nnU-Net's template."""


def build_network(plan: Plan, configuration: Configuration) -> PlainConvUNet:
    """The network of a configuration with freshly drawn weights.

    3-D convolutions throughout: a 2d configuration has patches of one slice and kernels of (1, k, k),
    which is the same arithmetic as 2-D convolutions. Weights are drawn from the plan's seed (He, for
    leaky ReLU of slope 0.01); the process's own generator is left as it was.

    Returns:
        In training mode, with one output per decoder stage, the finest first, each of shape
        (b, classes, z, y, x). `decoder.deep_supervision = False` leaves the finest alone.

    Source:
        Isensee et al., Nat. Methods 18:203–211 (2021), doi:10.1038/s41592-020-01008-z.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network: PlainConvUNet = PlainConvUNet(
            input_channels=plan.input_channels(configuration),
            n_stages=len(configuration.features),
            features_per_stage=list(configuration.features),
            conv_op=nn.Conv3d,
            kernel_sizes=[list(kernel) for kernel in configuration.kernels],
            strides=[list(stride) for stride in configuration.strides],
            n_conv_per_stage=CONVS_PER_STAGE,
            num_classes=len(plan.labels),
            n_conv_per_stage_decoder=CONVS_PER_STAGE,
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"negative_slope": 0.01, "inplace": True},
            deep_supervision=True,
        )
        network.apply(InitWeights_He(1e-2))
    return network
