"""Gradients in bf16 are tried shape by shape before a training, since a CPU's library may have them wrong."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hemoseg.data import Batch
from hemoseg.errors import InterruptedRunError, ResourceError
from hemoseg.nets import build_network
from hemoseg.nets.planar import PlanarConv3d
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
    cached = halved.first_fault
    cached.cache_clear()
    yield
    cached.cache_clear()


def fault(item=BF16, device="cpu"):
    return bf16_fault(tiny_plan(item), item, device=device, layout="channels_last", threads=1)


def test_layers_are_those_of_a_step():
    """Hand-checked: two convolutions a stage, one up, and one to the classes from the only stage of the decoder."""
    layers = layers_of(tiny_plan(BF16), BF16, (2,))
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
    errors = [gradient_error(layer, layout) for layer in layers_of(tiny_plan(BF16), BF16, (2,))]
    assert max(errors) < LARGEST_ERROR / 2
    assert min(errors) > 0.0  # bf16 was computed in bf16
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("wrong", "expected"), [(0.1, pytest.approx(0.1, rel=0.1)), (float("nan"), float("inf"))])
def test_a_wrong_gradient_is_seen(monkeypatch, wrong, expected):
    """Stands for the library's kernel: autocast's gradient of the weights is a tenth too large, or no number."""
    right, hooks = PlanarConv3d.forward, []

    def forward(self, given):
        while hooks:
            hooks.pop().remove()
        if torch.is_autocast_enabled("cpu"):
            hooks.append(self.weight.register_hook(lambda gradient: gradient * (1 + wrong)))
        return right(self, given)

    monkeypatch.setattr(PlanarConv3d, "forward", forward)
    assert gradient_error(LAYER, "channels_last") == expected


def test_a_network_that_holds_has_no_fault(amx):
    assert fault() is None


def test_one_layer_that_fails_is_the_networks_fault(amx, monkeypatch):
    """In another process, where this one's tricks do not reach: with no error allowed, rounding stands for a fault."""
    monkeypatch.setattr(halved, "LARGEST_ERROR", 0.0)
    assert re.fullmatch(r"gradients in bf16 for an input of 2 x 2 x 4 x 16 x 16: 0\.00\d+ off", fault())


@pytest.mark.skipif(sys.platform != "linux", reason="no such limit elsewhere")
def test_what_never_ends_is_a_fault(amx, monkeypatch):
    """A layer that takes more CPU than it may stands for a kernel that never ends."""
    large = replace(LAYER, shape=(2, 4, 64, 256, 256))
    monkeypatch.setattr(halved, "layers_of", lambda *_: (large,))
    monkeypatch.setattr(halved, "LIMIT_CPU_S", 0)
    assert "killed by signal 24" in fault()


def test_one_death_is_enough(amx, monkeypatch):
    """A worker that the pool replaced: stands for a kernel that kills its process every second time."""

    class Pool:
        def __init__(self, **_):
            pass

        def run(self, _, jobs, *, done):
            for number, job in enumerate(jobs):
                done(job.name, 100 + (number > 2))

    monkeypatch.setattr(halved, "ProcessPool", Pool)
    assert fault() == "a process that computed gradients in bf16 died"


@pytest.mark.parametrize(
    "error",
    [
        InterruptedRunError(2, where="hemoseg", kept="x"),
        ResourceError("no more processes", where="pool", expected="one", remedy="wait"),
        ResourceError("its worker was killed by signal 9 (Killed)", where="a", expected="one", remedy="wait"),
    ],
)
def test_what_tells_nothing_of_a_layer_is_no_fault_and_is_asked_again(amx, monkeypatch, error):
    def run(*_, **__):
        raise error

    monkeypatch.setattr(halved.ProcessPool, "run", run)
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            fault()
        assert caught.value is error


def test_each_number_of_patches_is_tried(amx, monkeypatch):
    tried = []
    monkeypatch.setattr(halved, "first_fault", lambda layers, *_: tried.extend(layer.shape[0] for layer in layers))
    bf16_fault(tiny_plan(BF16), BF16, device="cpu", layout="channels_last", threads=1, batch_sizes=(2, 3))
    assert set(tried) == {2, 3}


def test_nothing_is_tried_without_bf16_or_amx(monkeypatch):
    monkeypatch.setattr(halved, "first_fault", lambda *_: "tried")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert fault() == "tried"
    assert fault(tiny_configuration()) is None
    assert fault(device="cuda") is None
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert fault() is None


@pytest.mark.skipif(not torch.cpu._is_amx_tile_supported(), reason="needs a CPU with AMX")
def test_what_kills_a_process_with_amx_does_not_kill_this_one():
    """With oneDNN 3.12 these planes of one slice kill theirs, on the CPU that was looked at; others may not."""
    features = (32, 64)
    item = tiny_configuration(precision="bf16", patch_size=(1, 160, 160), features=features, kernels=((1, 3, 3),) * 2)
    found = fault(item)
    assert found is None or re.search(r"\d off|inf off|killed by signal \d+|died|not done after", found)


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
