"""The state of a training, all that resuming to the same bits needs; written whole or not at all."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hemoseg.nets.weights import check_plan, distinct_weights, load_weights, read_metadata, read_tensors, write_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a training stands."""

    iteration: int
    """Optimizer steps done."""
    plan_sha256: str
    """SHA-256 of the plan trained to."""


def write_state(path: Path, network: nn.Module, optimizer: torch.optim.SGD, state: State) -> None:
    """Write all that a resumed training needs to go on with the same bits."""
    tensors = {f"weight.{name}": tensor for name, tensor in distinct_weights(network).items()}
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for parameter, slot in optimizer.state.items():
        if slot.get("momentum_buffer") is not None:
            tensors[f"momentum.{names[id(parameter)]}"] = slot["momentum_buffer"].cpu().contiguous()
    write_tensors(path, tensors, {"iteration": str(state.iteration), "plan_sha256": state.plan_sha256})


def read_state(path: Path, network: nn.Module, optimizer: torch.optim.SGD, *, plan_sha256: str) -> State:
    """Put network and optimizer where `write_state` found them.

    Raises:
        ArtifactError: absent, damaged, or of another plan.
    """
    check_plan(path, plan_sha256)
    tensors, metadata = read_tensors(path), read_metadata(path)
    weights = {n.removeprefix("weight."): t for n, t in tensors.items() if n.startswith("weight.")}
    load_weights(network, weights, where=path)
    for name, parameter in network.named_parameters():
        if f"momentum.{name}" in tensors:
            buffer = tensors[f"momentum.{name}"].to(parameter.device)
            optimizer.state[parameter]["momentum_buffer"] = buffer
    return State(
        iteration=int(metadata["iteration"]),
        plan_sha256=metadata["plan_sha256"],
    )
