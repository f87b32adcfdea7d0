"""The state of a training on disk: what comes back, and what is not taken."""

import json

import pytest
import torch

from hemoseg.errors import ArtifactError
from hemoseg.nets import build_network
from hemoseg.training.checkpoint import State, read_state, write_state
from plans import tiny_configuration, tiny_plan

PLAN = tiny_plan(tiny_configuration())


def made():
    """A network, and an optimizer that has momentum."""
    network = build_network(PLAN, PLAN.configurations[0])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return network, optimizer


@pytest.fixture
def written(tmp_path):
    network, optimizer = made()
    path = tmp_path / "state.safetensors"
    write_state(path, network, optimizer, State(iteration=7, loss_sum=1.5), plan_sha256="p")
    return path


def test_a_state_comes_back(written):
    assert read_state(written, *made(), plan_sha256="p") == State(iteration=7, loss_sum=1.5)


@pytest.mark.parametrize("place", ["header", "middle", "end"])
def test_a_state_with_a_changed_bit_is_refused(written, place):
    """safetensors would read it, and the training would go on with it."""
    raw = bytearray(written.read_bytes())
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    at = {"header": raw.index(header["__metadata__"]["loss_sum"].encode()), "middle": (8 + size + len(raw)) // 2}
    raw[at.get(place, len(raw) - 1)] ^= 1
    written.write_bytes(raw)
    with pytest.raises(ArtifactError, match="not what was written"):
        read_state(written, *made(), plan_sha256="p")
