"""Networks are those that the plan asks for."""

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import nn

from hemoseg.errors import SettingsError
from hemoseg.nets import build_network
from hemoseg.nets.weights import distinct_weights, load_weights
from plans import tiny_configuration, tiny_plan


def network(**changes):
    plan = tiny_plan(tiny_configuration(**changes))
    return build_network(plan, plan.configurations[0])


def test_plain_weights_are_drawn_as_ever():
    """The same draws in the same order: trained bundles name the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = PlainConvUNet(
            2,
            2,
            [4, 8],
            nn.Conv3d,
            [[1, 3, 3], [3, 3, 3]],
            [[1, 1, 1], [1, 2, 2]],
            2,
            3,
            2,
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            deep_supervision=True,
        )
        expected.apply(InitWeights_He(1e-2))
    built = network().state_dict()
    assert all(torch.equal(value, built[name]) for name, value in expected.state_dict().items())


def test_blocks_count_convolutions():
    net = network(blocks=(1, 3), decoder_blocks=(4,))
    assert [len(stage[0].convs) for stage in net.encoder.stages] == [1, 3]
    assert [len(stage.convs) for stage in net.decoder.stages] == [4]


def test_a_residual_encoder_starts_as_its_shortcuts():
    net = network(encoder="residual", blocks=(1, 3), decoder_blocks=(1,))
    assert isinstance(net, ResidualEncoderUNet)
    assert [len(stage.blocks) for stage in net.encoder.stages] == [1, 3]
    last_norms = [block.conv2.norm for stage in net.encoder.stages for block in stage.blocks]
    assert all(not norm.weight.any() and not norm.bias.any() for norm in last_norms)
    outputs = net(torch.zeros(1, 2, 4, 16, 16))
    assert [tuple(o.shape) for o in outputs] == [(1, 3, 4, 16, 16)]


def test_residual_weights_return_from_their_distinct_part():
    net = network(encoder="residual", blocks=(1, 2), decoder_blocks=(1,))
    other = network(encoder="residual", blocks=(1, 2), decoder_blocks=(1,))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.uniform_(-0.1, 0.1)
    load_weights(other, distinct_weights(net), where="test")
    x = torch.rand(1, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net(x)[0], other(x)[0])


def test_one_stage_is_refused():
    with pytest.raises(SettingsError, match="one stage has no decoder"):
        network(features=(4,), strides=((1, 1, 1),), kernels=((3, 3, 3),), blocks=(2,), decoder_blocks=())
