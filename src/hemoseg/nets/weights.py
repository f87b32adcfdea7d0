"""Weights of networks as safetensors; written whole or not at all."""

import json
import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save, save_file
from torch import Tensor, nn

from hemoseg.artifacts import whole_file
from hemoseg.errors import ArtifactError, SettingsError
from hemoseg.nets.stored import HEADS, opened

SHARED = ("decoder.encoder.", ".all_modules.")
"""Parts of a state dict that repeat other entries: the architecture registers some modules twice."""
WEIGHT, MOMENTUM = "weight.", "momentum."
"""Begin the names of tensors in the state of a training, which holds an optimizer's beside a network's."""


def distinct_weights(network: nn.Module) -> dict[str, Tensor]:
    """The state dict without repeated entries; {name: tensor}, on the CPU."""
    return {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items() if not repeats(name)
    }


def repeats(name: str) -> bool:
    """Whether an entry of a state dict repeats another one."""
    return any(part in name for part in SHARED)


def load_weights(network: nn.Module, weights: dict[str, Tensor], *, where: Path | str) -> None:
    """Load distinct weights into a network.

    Raises:
        ArtifactError: names or shapes are not those of the network.
    """
    check_fit(network, weights, where=where)
    network.load_state_dict(weights, strict=False)


def check_fit(network: nn.Module, weights: dict[str, Tensor], *, where: Path | str) -> None:
    """Make sure that distinct weights have the names and shapes of a network's, which may be one without memory.

    Raises:
        ArtifactError: they have others.
    """
    expected = {name: tensor.shape for name, tensor in network.state_dict().items() if not repeats(name)}
    wrong = set(expected) ^ set(weights) or {name for name in expected if expected[name] != weights[name].shape}
    if wrong:
        raise ArtifactError(
            f"{len(wrong)} tensors do not fit the network, {sorted(wrong)[0]} the first",
            where=where,
            expected="the weights of the plan beside them",
            remedy="use the plan that the weights were trained with",
        )


def take_weights(network: nn.Module, path: Path) -> list[str]:
    """Put weights of a file into a network where name and shape agree; the others stay as they are.

    Heads may differ, as they do for other classes; everything else must be there, in the same shape.

    Returns:
        Names that were not taken, sorted.

    Raises:
        SettingsError: the file is of a network of another topology, or the state of a training.
        ArtifactError: it is absent or damaged.
    """
    given, own = read_start(path), distinct_weights(network)
    taken = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    left = sorted((set(own) | set(given)) - set(taken))
    strange = [name for name in left if not name.startswith(HEADS)]
    if strange:
        raise SettingsError(
            f"{len(strange)} tensors of another network, {strange[0]} the first",
            where=path,
            expected="weights of a network with the same stages, features, kernels and input channels",
            remedy="leave out --init, or plan the network that the weights are of",
        )
    network.load_state_dict(own | taken, strict=False)
    return left


def read_start(path: Path) -> dict[str, Tensor]:
    """Weights to begin with, whatever the network.

    Raises:
        SettingsError: the file is the state of a training.
        ArtifactError: it is absent or damaged.
    """
    given = read_weights(path)
    if given and all(name.startswith((WEIGHT, MOMENTUM)) for name in given):
        raise SettingsError(
            "the state of a training, not weights alone",
            where=path,
            expected="weights, like best.safetensors or last.safetensors, or a model's folder",
            remedy="name best.safetensors or last.safetensors of that fold, or a model",
        )
    return given


def write_weights(path: Path, network: nn.Module, *, plan_sha256: str) -> None:
    """Write a network's weights in float32, marked with the plan that they were trained to."""
    write_tensors(path, distinct_weights(network), {"plan_sha256": plan_sha256})


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file; the same content gives the same bytes.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:  # how the library passes on what the system says of a disk
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Sort the metadata, which the library writes in an order drawn anew each time; no other byte moves.

    A safetensors file begins with the length of its header in 8 bytes, little-endian, then JSON padded with spaces.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size
        file.seek(8)
        file.write(text.ljust(size))


def check_plan(path: Path, plan_sha256: str) -> None:
    """Make sure that a weights or state file was made to a plan.

    Raises:
        ArtifactError: absent, damaged, or made to another plan.
    """
    if read_metadata(path).get("plan_sha256") != plan_sha256:
        raise ArtifactError(
            "was made to another plan",
            where=path,
            expected=f"the plan with SHA-256 {plan_sha256[:12]}…",
            remedy="use a new run folder, or delete the fold's folder to train it anew",
        )


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        ArtifactError: absent or damaged.
    """
    with opened(path, "pt") as handle:
        return handle.metadata() or {}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights as float32, {name: tensor}.

    Raises:
        ArtifactError: absent or damaged.
    """
    return {name: tensor.float() for name, tensor in read_tensors(path).items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        ArtifactError: absent or damaged.
    """
    with opened(path, "pt") as handle:
        return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118


def full_weights(weights: dict[str, Tensor]) -> bytes:
    """Weights in float32 as a safetensors file's bytes."""
    return save({name: tensor.float().contiguous() for name, tensor in weights.items()})
