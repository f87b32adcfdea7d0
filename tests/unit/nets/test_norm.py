"""Instance norm of channels that come last: the same values and gradients, and the layout stays."""

import pytest
import torch
from torch import nn

from hemoseg.nets.norm import InstanceNorm

LAST = torch.channels_last_3d


def results(norm, x, gradient):
    """Output, and gradients to input, weight and bias."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    norm.zero_grad()
    y = norm(x)
    y.backward(gradient)
    return y, x.grad, norm.weight.grad, norm.bias.grad


@pytest.fixture
def pair():
    """Ours and torch's with the same weights, an input and a gradient."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = InstanceNorm(5, eps=1e-5, affine=True), nn.InstanceNorm3d(5, eps=1e-5, affine=True)
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.linspace(0.5, 2, 5))
            norm.bias.copy_(torch.linspace(-1, 1, 5))
    x, gradient = (torch.randn(3, 5, 4, 6, 7, generator=generator) * 3 + 1 for _ in range(2))
    return ours, theirs, x, gradient


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_channels_last_gives_what_torch_gives(pair, dtype, tolerance):
    ours, theirs, x, gradient = pair
    found = results(ours, x.to(dtype, memory_format=LAST), gradient.to(dtype, memory_format=LAST))
    wanted = results(theirs, x, gradient)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.float(), b, atol=tolerance * float(b.detach().abs().max()), rtol=0)
    assert all(one.is_contiguous(memory_format=LAST) and one.dtype == dtype for one in found[:2])


@pytest.mark.parametrize("voxels", [(4, 64, 64), (16, 96, 96)], ids=["few parts", "many"])
def test_sums_of_many_voxels_lose_nothing(voxels):
    """Against float64; torch's batch norm with channels last is 1e-4 off here."""
    generator = torch.Generator().manual_seed(1)
    ours, exact = InstanceNorm(48, eps=1e-5, affine=True), nn.InstanceNorm3d(48, eps=1e-5, affine=True).double()
    x, gradient = (torch.randn(2, 48, *voxels, generator=generator) * 3 + 7 for _ in range(2))
    found = results(ours, x.to(memory_format=LAST), gradient.to(memory_format=LAST))
    wanted = results(exact, x.double(), gradient.double())
    torch.testing.assert_close(found[0].double(), wanted[0], atol=5e-6, rtol=0)
    for a, b in zip(found[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-4 * float(b.abs().max()), rtol=0)
    with torch.inference_mode():
        given = x.to(memory_format=LAST)
        assert torch.equal(ours(given), found[0])
        assert torch.equal(given, found[0]), "where no gradient is asked for, it works in place"


def test_many_equal_voxels_are_normed_to_the_shift():
    norm = InstanceNorm(3, eps=1e-5, affine=True)
    with torch.inference_mode():
        norm.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        found = norm(torch.full((1, 3, 8, 64, 64), 50.3).to(memory_format=LAST))
    torch.testing.assert_close(found, norm.bias[None, :, None, None, None].expand_as(found), atol=1e-6, rtol=0)


def test_the_plain_layout_is_torchs_own_to_the_bit(pair):
    ours, theirs, x, gradient = pair
    assert all(torch.equal(a, b) for a, b in zip(results(ours, x, gradient), results(theirs, x, gradient), strict=True))


def test_slopes_agree_with_differences(pair):
    ours = pair[0].double()
    x = torch.randn(2, 5, 1, 3, 2, dtype=torch.float64).to(memory_format=LAST).requires_grad_()
    moments = InstanceNorm(5, affine=True).double()
    assert torch.autograd.gradcheck(lambda x: ours(x) + moments(x), (x,))
