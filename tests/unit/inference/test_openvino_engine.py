"""OpenVINO's logits against torch's, and weights that are not the plan's."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from hemoseg.errors import ArtifactError
from hemoseg.inference.engines import openvino_winograd
from hemoseg.inference.engines.openvino_engine import OpenVinoNetwork, build_graph, has_bf16, in_parts
from hemoseg.inference.engines.torch_engine import TorchNetwork
from hemoseg.nets import build_network
from hemoseg.nets.stored import read_arrays
from hemoseg.nets.weights import write_weights
from hemoseg.plan import Region
from plans import tiny_configuration, tiny_plan

THREE = {
    "patch_size": (4, 32, 16),
    "features": (4, 8, 8),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 1)),
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 5, 3)),
}
REGIONS = (Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2))
SHAPES = {
    "plain": THREE | {"blocks": (2, 1, 3), "decoder_blocks": (1, 2)},
    "residual": THREE | {"encoder": "residual", "blocks": (1, 3, 2), "decoder_blocks": (1, 1)},
    "two-d": {
        "dimensions": 2,
        "patch_size": (1, 32, 24),
        "strides": ((1, 1, 1), (1, 2, 2)),
        "kernels": ((1, 3, 3), (1, 3, 3)),
    },
    "two-d-residual": {
        "encoder": "residual",
        "dimensions": 2,
        "patch_size": (1, 32, 24),
        "strides": ((1, 1, 1), (1, 2, 2)),
        "kernels": ((1, 3, 3), (1, 3, 3)),
        "decoder_blocks": (1,),
    },
}


def written(path, configuration, **changes):
    """A plan, and weights of its network on disk in which no norm is as it was drawn, for 0 and 1 hide mistakes."""
    plan = tiny_plan(configuration, **changes)
    network = build_network(plan, configuration)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim == 1:
                value.add_(torch.rand(value.shape, generator=generator) - 0.3)
    write_weights(path, network, plan_sha256="test")
    return plan


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_torchs(shape, tmp_path, rng):
    configuration = tiny_configuration(**SHAPES[shape])
    path = tmp_path / "weights.safetensors"
    plan = written(path, configuration)
    patches = rng.normal(0, 1, (3, 2, *configuration.patch_size)).astype(np.float32)
    ours = OpenVinoNetwork(plan, configuration, path, precision="fp32")(patches)
    expected = TorchNetwork(plan, configuration, path, precision="fp32", device="cpu")(patches)
    assert ours.shape == expected.shape == (3, 3, *configuration.patch_size)
    assert expected.std() > 0.1
    assert np.abs(ours - expected).max() < 1e-4


@pytest.mark.parametrize("patch_size", [(4, 32, 24), (1, 20, 12)])
def test_wide_convolutions_give_torchs_logits_in_fewer_multiplications(patch_size, tmp_path, rng, monkeypatch):
    configuration = tiny_configuration(
        patch_size=patch_size,
        features=(64, 64, 64),
        strides=((1, 1, 1), (1, 2, 2), (1, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        blocks=(1, 2, 2),
        decoder_blocks=(1, 1),
    )
    path = tmp_path / "weights.safetensors"
    plan = written(path, configuration)
    patches = rng.normal(0, 1, (2, 2, *configuration.patch_size)).astype(np.float32)
    expected = TorchNetwork(plan, configuration, path, precision="fp32", device="cpu")(patches)
    convolutions = kinds(plan, configuration, path)["Convolution"]
    monkeypatch.setattr(openvino_winograd, "LEAST_PRODUCTS", 1)
    ours = OpenVinoNetwork(plan, configuration, path, precision="fp32")(patches)
    fewer = kinds(plan, configuration, path)
    assert (fewer["Convolution"], fewer["MatMul"]) == (convolutions - 3, 9)
    assert 0 < np.abs(ours - expected).max() < 1e-4


def kinds(plan, configuration, path):
    """How many nodes of each kind the graph in float32 has."""
    graph = build_graph(plan, configuration, read_arrays(path), precision="fp32", where=path)
    return Counter(node.get_type_name() for node in graph.get_ops())


@pytest.mark.skipif(not has_bf16(), reason="the CPU has no bf16: OpenVINO computes in float32 then")
@pytest.mark.parametrize("changes", [{}, {"regions": REGIONS}], ids=["classes", "regions"])
def test_bf16_is_near_and_not_the_same(changes, tmp_path, rng):
    configuration = tiny_configuration()
    path = tmp_path / "weights.safetensors"
    plan = written(path, configuration, **changes)
    patches = rng.normal(0, 1, (1, 2, *configuration.patch_size)).astype(np.float32)
    full, half = (OpenVinoNetwork(plan, configuration, path, precision=p)(patches) for p in ("fp32", "bf16"))
    for one, other in zip(half[0], full[0], strict=True):  # each output: one that is off is not hidden by the others
        assert 0 < np.sqrt(((one - other) ** 2).mean()) < 0.03 * other.std()


@pytest.mark.skipif(not has_bf16(), reason="the CPU has no bf16: OpenVINO computes in float32 then")
@pytest.mark.parametrize("shape", SHAPES)
def test_bf16_sees_differences_that_its_own_bits_do_not_hold(shape, tmp_path, rng):
    """Filters that see the difference of two channels alone: of values with steps of a 64th in bf16, mere 0.05."""
    configuration = tiny_configuration(**SHAPES[shape])
    path = tmp_path / "weights.safetensors"
    plan = written(path, configuration)
    weights = read_arrays(path)
    first = "encoder.stem.convs.0" if configuration.encoder == "residual" else "encoder.stages.0.0.convs.0"
    filters = weights[f"{first}.conv.weight"]
    filters[:, 1] = -1.003 * filters[:, 0]  # whose own bits in bf16 are not those of 1.003
    save_file(weights, path)
    patches = rng.uniform(2, 4, (1, 1, *configuration.patch_size)).repeat(2, axis=1).astype(np.float32)
    patches[:, 0] += rng.normal(0, 0.05, configuration.patch_size)
    full, half = (OpenVinoNetwork(plan, configuration, path, precision=p)(patches) for p in ("fp32", "bf16"))
    assert 0 < np.sqrt(((half - full) ** 2).mean()) < 0.05 * full.std()


@pytest.mark.skipif(not has_bf16(), reason="the CPU has no bf16: OpenVINO computes in float32 then")
def test_bf16_tells_two_large_logits_apart(tmp_path, rng):
    """All logits are near 300, where bf16 has steps of two; which is ahead is known far better."""
    configuration = tiny_configuration()
    path = tmp_path / "weights.safetensors"
    plan = written(path, configuration)
    weights = read_arrays(path)
    weights["decoder.seg_layers.0.bias"][:] += 300
    save_file(weights, path)
    patches = rng.normal(0, 1, (1, 2, *configuration.patch_size)).astype(np.float32)
    full, half = (OpenVinoNetwork(plan, configuration, path, precision=p)(patches)[0] for p in ("fp32", "bf16"))
    assert full.mean() == pytest.approx(300, abs=5)
    assert half[0] == pytest.approx(full[0], abs=2)
    assert half[1:] - half[0] == pytest.approx(full[1:] - full[0], abs=0.25)


@given(hnp.arrays(np.float32, (2, 3), elements=st.floats(-1e5, 1e5, width=32, allow_subnormal=False)))
def test_parts_of_a_patch_add_up_to_it(values):
    patch = values.reshape(2, 1, 1, 3)
    leading, rest, again = in_parts(patch).reshape(3, *patch.shape)
    assert np.array_equal(leading + rest, patch)
    assert np.array_equal(leading, again)
    assert np.array_equal(torch.from_numpy(leading).bfloat16().float().numpy(), leading)
    assert (np.abs(rest) <= np.abs(patch) * 2.0**-7).all()


def test_each_result_is_its_own(tmp_path, rng):
    """The engine's memory is used again for the next patch, what it gave is not."""
    configuration = tiny_configuration()
    path = tmp_path / "weights.safetensors"
    network = OpenVinoNetwork(written(path, configuration), configuration, path, precision="fp32")
    one, other = rng.normal(0, 1, (2, 1, 2, *configuration.patch_size)).astype(np.float32)
    first = network(one)
    kept = first.copy()
    network(other)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda weights: weights.pop("decoder.stages.0.convs.1.norm.bias"), "no tensor decoder.stages.0.convs.1.norm"),
        (lambda weights: weights.update(extra=np.zeros(1, np.float32)), "1 tensors that the plan's network"),
        (
            lambda weights: weights.update({"encoder.stages.0.0.convs.0.conv.bias": np.zeros(5, np.float32)}),
            r"has shape \(5,\), not \(4,\)",
        ),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_of_another_network_are_refused(change, found, precision, tmp_path):
    configuration = tiny_configuration()
    path = tmp_path / "weights.safetensors"
    plan = written(path, configuration)
    weights = read_arrays(path)
    change(weights)
    with pytest.raises(ArtifactError, match=found):
        build_graph(plan, configuration, weights, precision=precision, where=path)


SIGNALED = """
import gc, os, signal
from hemoseg.inference.engines.openvino_library import one_core

first, second = one_core(), one_core()
for core in (first, second):
    core.get_property("CPU", "FULL_DEVICE_NAME")
del core, first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_after_networks_are_gone_is_handled():
    """Where a CPU has AMX, two cores that end one after the other make it a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", SIGNALED], capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_it_takes_the_threads_that_it_is_given_and_all_otherwise(tmp_path):
    configuration, path = tiny_configuration(), tmp_path / "net.safetensors"
    plan = written(path, configuration)

    def threads_of(threads):
        network = OpenVinoNetwork(plan, configuration, path, precision="fp32", threads=threads)
        return network.request.get_compiled_model().get_property("INFERENCE_NUM_THREADS")

    assert threads_of(1) == 1
    assert threads_of(None) == len(os.sched_getaffinity(0))


WIDE = {
    "patch_size": (16, 128, 128),
    "features": (32, 32),
    "strides": ((1, 1, 1), (1, 2, 2)),
    "kernels": ((1, 3, 3),) * 2,
}
FOUR = """
import sys
from pathlib import Path
import numpy as np
import psutil
from hemoseg.inference.engines.openvino_engine import OpenVinoNetwork
from hemoseg.plan import Plan

plan = Plan.model_validate_json(Path("plan.json").read_text())
(configuration,) = plan.configurations
weights = Path("weights.safetensors")
networks = [
    OpenVinoNetwork(plan, configuration, weights, precision="fp32", lean=sys.argv[1] == "lean") for _ in range(4)
]
patch = np.ones((1, 2, *configuration.patch_size), np.float32)
found = [network(patch) for network in networks * 2]
assert all(np.array_equal(found[0], one) for one in found), "memory found anew changes nothing"
print(psutil.Process().memory_info().rss / 1e6)
"""
LEAST_MB = 100
"""Less with four lean networks: each works in 50 MB or more here."""


def test_of_lean_networks_one_at_a_time_holds_memory_to_work_in(tmp_path):
    plan = written(tmp_path / "weights.safetensors", tiny_configuration(**WIDE))
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    found = {
        manner: float(
            subprocess.run(
                [sys.executable, "-c", FOUR, manner], cwd=tmp_path, check=True, capture_output=True, text=True
            ).stdout
        )
        for manner in ("lean", "usual")
    }
    assert found["usual"] - found["lean"] > LEAST_MB, found
