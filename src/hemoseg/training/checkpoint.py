"""The state of a training, all that resuming to the same bits needs; written whole or not at all."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hemoseg.errors import ArtifactError
from hemoseg.nets.weights import (
    MOMENTUM,
    WEIGHT,
    check_plan,
    distinct_weights,
    load_weights,
    read_metadata,
    read_tensors,
    write_tensors,
)
from hemoseg.training.early_stop import Patience
from hemoseg.training.validation import Tally

DIGEST = "content_sha256"
"""Metadata with the hash of everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a training stands beside its weights; batches follow from their number, so no generator is kept."""

    iteration: int = 0
    """Optimizer steps done."""
    epochs: int = 0
    """Epochs done, validation included."""
    stopped: bool = False
    """Whether early stopping has ended it."""
    loss_sum: float = 0.0
    """Sum of the losses of the epoch's steps so far."""
    loss_average: float | None = None
    """Moving average of the epochs' losses."""
    tally: Tally = field(default_factory=Tally)
    """Validation of the epoch so far."""
    ema: float | None = None
    """Moving average of the epochs' mean pseudo Dice."""
    best: float | None = None
    """The largest that it was."""
    wait: Patience = field(default_factory=Patience)
    """Where the wait for a better loss stands."""


def write_state(path: Path, network: nn.Module, optimizer: torch.optim.SGD, state: State, *, plan_sha256: str) -> None:
    """Write all that a resumed training needs to go on with the same bits."""
    tensors = {f"{WEIGHT}{name}": tensor for name, tensor in distinct_weights(network).items()}
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for parameter, slot in optimizer.state.items():
        if slot.get("momentum_buffer") is not None:
            tensors[f"{MOMENTUM}{names[id(parameter)]}"] = slot["momentum_buffer"].cpu().contiguous()
    metadata = {name: json.dumps(value) for name, value in asdict(state).items()}
    metadata["plan_sha256"] = plan_sha256
    write_tensors(path, tensors, {**metadata, DIGEST: _digest(tensors, metadata)})


def read_state(path: Path, network: nn.Module, optimizer: torch.optim.SGD, *, plan_sha256: str) -> State:
    """Put network and optimizer where `write_state` found them.

    Raises:
        ArtifactError: absent, damaged, or of another plan.
    """
    check_plan(path, plan_sha256)
    tensors, metadata = read_tensors(path), read_metadata(path)
    if metadata.pop(DIGEST, None) != _digest(tensors, metadata):
        raise ArtifactError(
            "its content is not what was written",
            where=path,
            expected="the state of a training, to the bit",
            remedy="delete it: the training of this fold begins anew",
        )
    weights = {n.removeprefix(WEIGHT): t for n, t in tensors.items() if n.startswith(WEIGHT)}
    load_weights(network, weights, where=path)
    for name, parameter in network.named_parameters():
        if f"{MOMENTUM}{name}" in tensors:
            buffer = tensors[f"{MOMENTUM}{name}"].to(parameter.device)
            optimizer.state[parameter]["momentum_buffer"] = buffer
    return _parse(metadata)


def _digest(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 of all that a file holds: safetensors has no checksum, and a changed bit would train on."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parse(metadata: dict[str, str]) -> State:
    """The state in a file's metadata."""
    values: dict[str, Any] = {item.name: json.loads(metadata[item.name]) for item in fields(State)}
    tally, wait = values.pop("tally"), values.pop("wait")
    counts: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in tally.items()}
    return State(**values, tally=Tally(**counts), wait=Patience(**wait))
