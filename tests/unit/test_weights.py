"""Weights on disk: nothing repeated, nothing foreign, nothing damaged."""

import pytest
import torch
from safetensors.torch import load, load_file

from hemoseg.errors import ArtifactError
from hemoseg.nets import build_network
from hemoseg.nets.stored import half_weights, read_arrays
from hemoseg.nets.weights import (
    distinct_weights,
    load_weights,
    read_metadata,
    read_tensors,
    read_weights,
    write_tensors,
    write_weights,
)
from plans import tiny_configuration, tiny_plan


def network(**changes):
    plan = tiny_plan(tiny_configuration(**changes))
    return build_network(plan, plan.configurations[0])


def test_distinct_weights_hold_every_parameter_once():
    net = network()
    assert sum(t.numel() for t in distinct_weights(net).values()) == sum(p.numel() for p in net.parameters())


def test_round_trip(tmp_path):
    net = network()
    write_weights(tmp_path / "w.safetensors", net, plan_sha256="p")
    other = network()
    with torch.no_grad():
        next(other.parameters()).zero_()
    load_weights(other, read_weights(tmp_path / "w.safetensors"), where="w")
    x = torch.randn(1, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(net(x), other(x), strict=True))


def test_half_weights_are_float16(tmp_path):
    write_weights(tmp_path / "w.safetensors", network(), plan_sha256="p")
    assert {t.dtype for t in load(half_weights(tmp_path / "w.safetensors")).values()} == {torch.float16}
    assert {t.dtype for t in load_file(tmp_path / "w.safetensors").values()} == {torch.float32}


def test_weights_read_without_torch_are_the_same(tmp_path):
    write_weights(tmp_path / "w.safetensors", network(), plan_sha256="p")
    (tmp_path / "half.safetensors").write_bytes(half_weights(tmp_path / "w.safetensors"))
    for name in ("w", "half"):
        arrays, tensors = (read(tmp_path / f"{name}.safetensors") for read in (read_arrays, read_weights))
        assert arrays.keys() == tensors.keys()
        assert all(torch.equal(torch.from_numpy(arrays[key]), tensors[key]) for key in tensors)


def test_weights_of_another_network_are_refused(tmp_path):
    write_weights(tmp_path / "w.safetensors", network(features=(4, 12)), plan_sha256="p")
    with pytest.raises(ArtifactError, match="do not fit"):
        load_weights(network(), read_weights(tmp_path / "w.safetensors"), where="w")


def test_damaged_files_are_refused(tmp_path):
    write_weights(tmp_path / "w.safetensors", network(), plan_sha256="p")
    content = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_weights(tmp_path / "w.safetensors")


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    network()
    assert torch.equal(torch.rand(1), expected)


def test_the_order_of_metadata_changes_no_byte(tmp_path):
    tensors = {"b": torch.arange(3.0), "a": torch.zeros(2, 2, dtype=torch.float16)}
    names = [f"key_{number}" for number in range(8)]
    contents = set()
    for turn in range(4):
        metadata = {name: f"{name} µ" for name in (*names[turn:], *names[:turn])}
        write_tensors(tmp_path / "t.safetensors", tensors, metadata)
        contents.add((tmp_path / "t.safetensors").read_bytes())
    assert len(contents) == 1
    assert read_metadata(tmp_path / "t.safetensors") == metadata
    found = read_tensors(tmp_path / "t.safetensors")
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"b": [0, 1, 2], "a": [[0, 0], [0, 0]]}
