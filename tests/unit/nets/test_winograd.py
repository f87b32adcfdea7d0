"""Convolutions in fewer multiplications, against torch's own in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hemoseg.nets import build_network, winograd
from hemoseg.nets.minimal_filter import filter_sums
from hemoseg.nets.winograd import Winograd, gains, input_sums, output_sums, quicken
from plans import tiny_configuration, tiny_plan

SIZES = st.integers(1, 13)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def last(x: Tensor) -> Tensor:
    return x.to(memory_format=torch.channels_last_3d)


def made(inputs: int, outputs: int, slices: int, *, bias: bool = True) -> nn.Conv3d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv3d(inputs, outputs, (slices, 3, 3), padding=(slices // 2, 1, 1), bias=bias)


def check_agrees(convolution: nn.Conv3d, x: Tensor) -> None:
    with torch.inference_mode():
        expected = nn.Conv3d.forward(convolution.double(), x.double())
        found = Winograd(convolution.float())(last(x))
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    assert (found - expected).abs().max() < 2e-5 * max(1, expected.abs().max())


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "SMALLEST", 1)


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@given(batch=st.integers(1, 2), depth=st.integers(1, 4), height=SIZES, width=SIZES, channels=st.integers(1, 5))
def test_is_the_convolution_at_any_size(
    slices: int, bias: bool, batch: int, depth: int, height: int, width: int, channels: int
) -> None:
    check_agrees(made(channels, 3, slices, bias=bias), drawn(batch, channels, depth, height, width))


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("room", [1, 36 * 4 * 8 * 2 * 3, 36 * 4 * 8 * 2 * 7])
def test_is_the_convolution_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch, slices: int, room: int) -> None:
    monkeypatch.setattr(winograd, "ROOM", room)
    check_agrees(made(5, 8, slices), drawn(1, 5, 2, 18, 21))


def test_a_tile_by_hand() -> None:
    """Of x y, the filter that takes the right neighbor gives (x + 1) y."""
    across = torch.arange(-1.0, 5)
    plane = (across[:, None] * across[None]).view(1, 6, 6, 1)
    weight = torch.zeros(1, 1, 1, 3, 3)
    weight[..., 1, 2] = 1
    products = input_sums(plane, 1, 1) * torch.from_numpy(filter_sums(weight.numpy())).view(6, 6, 1, 1, 1, 1)
    found = output_sums(products)[0, :, :, 0]
    torch.testing.assert_close(found, across[1:5, None] * (across[None, 1:5] + 1), rtol=0, atol=1e-5)


def test_parts_cover_slices_once() -> None:
    for shape, outputs in (((3, 17, 30, 4), 8), ((1, 4, 4, 2000), 2000), ((2, 1, 1, 1), 1)):
        seen = torch.zeros(shape[1] + 4, shape[2] + 4, dtype=torch.int64)
        for top, left, rows, columns in winograd._blocks(shape, outputs):
            seen[top : top + 4 * rows, left : left + 4 * columns] += 1
        assert (seen[: shape[1], : shape[2]] == 1).all()


@pytest.mark.parametrize(
    ("convolution", "expected"),
    [
        (nn.Conv3d(64, 64, (3, 3, 3), padding=1), True),
        (nn.Conv3d(128, 128, (1, 3, 3), padding=(0, 1, 1)), True),
        (nn.Conv3d(64, 64, (1, 3, 3), padding=(0, 1, 1)), False),
        (nn.Conv3d(1, 320, (3, 3, 3), padding=1), False),
        (nn.Conv3d(64, 64, (3, 3, 3), padding=1, stride=(1, 2, 2)), False),
        (nn.Conv3d(64, 64, (3, 3, 3), padding=2, dilation=2), False),
        (nn.Conv3d(64, 64, (3, 3, 3)), False),
        (nn.Conv3d(64, 64, (1, 1, 1)), False),
        (nn.Conv3d(64, 64, (5, 3, 3), padding=(2, 1, 1)), False),
        (nn.Conv3d(64, 64, (3, 3, 3), padding=1, groups=2), False),
        (nn.Conv3d(64, 64, (3, 3, 3), padding=1, padding_mode="reflect"), False),
    ],
)
def test_which_convolutions_gain(convolution: nn.Conv3d, expected: bool) -> None:
    assert gains(convolution) is expected


def test_few_voxels_go_through_the_convolution_itself() -> None:
    convolution = made(4, 4, 3)
    x = last(drawn(1, 4, 2, 8, 8))
    with torch.inference_mode():
        assert torch.equal(Winograd(convolution)(x), convolution(x))


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("encoder", ["plain", "residual"])
def test_a_network_gives_the_same_logits_with_wide_convolutions_replaced(encoder: str) -> None:
    configuration = tiny_configuration(
        encoder=encoder,
        features=(32, 64, 128),
        patch_size=(4, 32, 32),
        strides=((1, 1, 1), (1, 2, 2), (1, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        blocks=(2, 2, 2),
        decoder_blocks=(2, 2),
    )
    network = build_network(tiny_plan(configuration), configuration).eval()
    network.decoder.deep_supervision = False
    network = network.to(memory_format=torch.channels_last_3d)
    x = last(drawn(1, 2, *configuration.patch_size))
    with torch.inference_mode():
        expected = network(x)
        quicken(network)
        found = network(x)
    wide = {module.direct for module in network.modules() if isinstance(module, Winograd)}
    assert len(wide) >= 4
    assert wide == {module for module in network.modules() if isinstance(module, nn.Conv3d) and gains(module)}
    assert 0 < (found - expected).abs().max() < 1e-4
