"""Gradients in bf16 are tried shape by shape before a training, since a CPU's library may have them wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hemoseg.data import Batch
from hemoseg.nets import build_network
from hemoseg.training import halved, timing
from hemoseg.training.halved import LARGEST_ERROR, Layer, bf16_fault, gradient_error, layers_of
from hemoseg.training.step import Learner
from plans import tiny_configuration, tiny_plan

BF16 = tiny_configuration(precision="bf16")
LAYER = Layer(
    kind="Conv3d", channels=(4, 8), kernel=(1, 3, 3), stride=(1, 1, 1), padding=(0, 1, 1), shape=(2, 4, 4, 16, 16)
)


@pytest.fixture
def amx(monkeypatch):
    """A CPU that is said to have AMX, and nothing found on it yet."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    halved.first_fault.cache_clear()
    yield
    halved.first_fault.cache_clear()


def fault(item=BF16, device="cpu"):
    return bf16_fault(tiny_plan(item), item, device=device, layout="channels_last", threads=1)


def test_layers_are_those_of_a_step():
    """Hand-checked: two convolutions a stage, one up, and one to the classes from the only stage of the decoder."""
    layers = layers_of(tiny_plan(BF16), BF16)
    shapes = [(layer.kind, layer.channels, layer.kernel, layer.stride, layer.shape) for layer in layers]
    fine, coarse = (4, 16, 16), (4, 8, 8)
    assert shapes == [
        ("Conv3d", (2, 4), (1, 3, 3), (1, 1, 1), (2, 2, *fine)),
        ("Conv3d", (4, 4), (1, 3, 3), (1, 1, 1), (2, 4, *fine)),
        ("Conv3d", (4, 8), (3, 3, 3), (1, 2, 2), (2, 4, *fine)),
        ("Conv3d", (8, 8), (3, 3, 3), (1, 1, 1), (2, 8, *coarse)),
        ("ConvTranspose3d", (8, 4), (1, 2, 2), (1, 2, 2), (2, 8, *coarse)),
        ("Conv3d", (8, 4), (1, 3, 3), (1, 1, 1), (2, 8, *fine)),
        ("Conv3d", (4, 3), (1, 1, 1), (1, 1, 1), (2, 4, *fine)),
    ]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_rounding_is_no_error(layout):
    before = torch.get_rng_state()
    errors = [gradient_error(layer, layout) for layer in layers_of(tiny_plan(BF16), BF16)]
    assert max(errors) < LARGEST_ERROR / 2
    assert min(errors) > 0.0  # bf16 was computed in bf16
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [0.1, float("nan")])
def test_a_wrong_gradient_is_seen(monkeypatch, wrong):
    """Stands for the library's kernel: autocast's gradient of the weights is a tenth too large, or no number."""
    right, hooks = torch.nn.Conv3d.forward, []

    def forward(self, given):
        while hooks:
            hooks.pop().remove()
        if torch.is_autocast_enabled("cpu"):
            hooks.append(self.weight.register_hook(lambda gradient: gradient * (1 + wrong)))
        return right(self, given)

    monkeypatch.setattr(torch.nn.Conv3d, "forward", forward)
    error = gradient_error(LAYER, "channels_last")
    assert error == pytest.approx(wrong, rel=0.1) or error == float("inf")


def test_a_network_that_holds_has_no_fault(amx):
    assert fault() is None


def test_one_layer_that_fails_is_the_networks_fault(amx, monkeypatch):
    """In another process, where this one's tricks do not reach: a layer of no such kind stands for one that fails."""
    layers = (LAYER, replace(LAYER, kind="Conv9d", shape=(1, 2, 3, 4, 5)))
    monkeypatch.setattr(halved, "layers_of", lambda *_: layers)
    assert fault().startswith("gradients in bf16 for an input of 1 x 2 x 3 x 4 x 5: failed with AttributeError")


def test_what_never_ends_is_a_fault(amx, monkeypatch):
    """A layer that takes more CPU than it may stands for a kernel that never ends."""
    large = replace(LAYER, shape=(2, 4, 64, 256, 256))
    monkeypatch.setattr(halved, "layers_of", lambda *_: (large,))
    monkeypatch.setattr(halved, "LIMIT_CPU_S", 0)
    assert "killed by signal 24" in fault()


def test_nothing_is_tried_without_bf16_or_amx(monkeypatch):
    monkeypatch.setattr(halved, "first_fault", lambda *_: "tried")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert fault() == "tried"
    assert fault(tiny_configuration()) is None
    assert fault(device="cuda") is None
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert fault() is None


@pytest.mark.skipif(not torch.cpu._is_amx_tile_supported(), reason="needs a CPU with AMX")
def test_2d_patches_that_the_library_gets_wrong_are_found():
    """On the CPUs with AMX that were looked at, oneDNN 3.12 fails with these; another may have mended it."""
    item = tiny_configuration(precision="bf16", patch_size=(1, 96, 96), features=(32, 64), kernels=((1, 3, 3),) * 2)
    found = fault(item)
    if found is None:
        errors = [gradient_error(layer, "channels_last") for layer in layers_of(tiny_plan(item), item)]
        assert max(errors) <= LARGEST_ERROR


def test_a_learner_in_float32_has_the_numbers_of_a_plan_in_float32():
    generator = np.random.default_rng(0)
    shape = (2, 2, *BF16.patch_size)
    labels = generator.integers(0, 3, (2, *BF16.patch_size)).astype(np.uint8)
    batch = Batch(inputs=generator.normal(size=shape).astype(np.float32), labels=labels, cases=("a", "b"))
    losses = {}
    for item, asked in ((BF16, True), (BF16, False), (tiny_configuration(), True)):
        learner = Learner(tiny_plan(item), item, ignore=None, device="cpu", halved=asked)
        losses[item.precision, asked] = learner.step(batch, 0.01, where=Path("test"), iteration=0)
    assert losses["bf16", False] == losses["fp32", True]
    assert losses["bf16", True] != losses["fp32", True]


@pytest.mark.parametrize(("found", "expected"), [(None, {True}), ("wrong", {False})])
def test_a_step_is_timed_in_the_precision_that_it_will_have(monkeypatch, found, expected):
    seen = set()

    def built(*arguments):
        network = build_network(*arguments)
        network.register_forward_pre_hook(lambda *_: seen.add(torch.is_autocast_enabled("cpu")))
        return network

    monkeypatch.setattr(timing, "build_network", built)
    monkeypatch.setattr(timing, "bf16_fault", lambda *_, **__: found)
    timing.measure_step_seconds(tiny_plan(BF16), BF16, device="cpu", layout="channels_last", steps=1, warm_up=0)
    assert seen == expected
