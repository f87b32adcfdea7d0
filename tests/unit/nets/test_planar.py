"""Convolutions of single slices in two dimensions: the same numbers and names."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from hemoseg.nets import build_network
from hemoseg.nets.planar import PlanarConv3d, take_slices
from hemoseg.training.execution import lay_out, lay_out_network
from plans import tiny_configuration, tiny_plan


def trained(convolution: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, and gradients of input, weight and bias."""
    start = x.clone(memory_format=torch.preserve_format).requires_grad_()
    result = convolution(start)
    result.backward(torch.linspace(-1, 2, result.numel()).view(result.shape))
    return [result.detach(), start.grad, *(one.grad for one in convolution.parameters())]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [1, 3])
def test_values_and_gradients_are_the_convolutions(
    layout: str, stride: tuple[int, int, int], batch: int, size: int
) -> None:
    padding = size // 2
    convolution = nn.Conv3d(3, 5, (1, size, size), stride=stride, padding=(0, padding, padding))
    other = deepcopy(convolution)
    take_slices(other)
    assert type(other) is PlanarConv3d
    x = lay_out(torch.randn(batch, 3, 4, 7, 6), layout)
    found, expected = trained(other, x), trained(convolution, x)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    if layout == "channels_last":
        assert found[0].is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv3d(3, 5, (3, 3, 3), padding=1),
        nn.Conv3d(3, 5, (1, 3, 3), padding=(0, 1, 1), stride=(2, 1, 1)),
        nn.Conv3d(4, 4, (1, 3, 3), groups=2),
        nn.ConvTranspose3d(3, 5, (1, 2, 2)),
    ],
)
def test_other_convolutions_stay(convolution: nn.Module) -> None:
    kind = type(convolution)
    take_slices(convolution)
    assert type(convolution) is kind


def test_a_network_with_channels_last_keeps_its_names_and_logits() -> None:
    configuration = tiny_configuration()
    network = build_network(tiny_plan(configuration), configuration)
    other, x = deepcopy(network), torch.randn(2, 2, *configuration.patch_size)
    lay_out_network(other, "channels_last")
    planar = [module for module in other.modules() if isinstance(module, PlanarConv3d)]
    assert len(planar) == 5
    assert list(other.state_dict()) == list(network.state_dict())
    for one, two in zip(other(lay_out(x, "channels_last")), network(x), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
