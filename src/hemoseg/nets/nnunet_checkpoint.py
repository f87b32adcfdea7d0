"""Checkpoints of nnU-Net v2: read without running anything that they hold, and written for nnU-Net to read.

A checkpoint is a file of `torch.save`, so a pickle, and a pickle names the functions that rebuild it. Only those that
tensors and NumPy's numbers need are called; a file that names any other is refused before it is read.
"""

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from hemoseg.artifacts import whole_file
from hemoseg.errors import InputError
from hemoseg.nets.build import build_network
from hemoseg.nets.weights import check_fit, distinct_weights, load_weights, repeats
from hemoseg.plan import Configuration, Plan

KIND = "a checkpoint that nnU-Net v2 wrote: network_weights, trainer_name, init_args"
REMEDY = "take the file that nnU-Net itself wrote, or train again"
NUMBERS = (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_)
"""NumPy's numbers, which are in the log of a training."""
SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
"""What rebuilds them."""
ALLOWED: list[Any] = [
    (SCALAR, "numpy._core.multiarray.scalar"),
    (SCALAR, "numpy.core.multiarray.scalar"),  # its name before NumPy 2
    np.dtype,
    *(type(np.dtype(number)) for number in NUMBERS),
    torch.device,
]
"""All that may be called beside what tensors need."""


ZIP = b"PK\x03\x04"
"""Beginning of what torch.save writes."""
OLD_FORMAT = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Beginning of what it wrote before torch 1.6: a number of its own, as a pickle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What prediction needs of a checkpoint."""

    trainer: str
    """Class that trained it."""
    configuration: str
    """Its configuration in plans.json."""
    mirror_axes: tuple[int, ...]
    """Axes of the network that prediction may mirror; () for none."""
    weights: dict[str, Tensor]
    """The network's state dict as nnU-Net has it."""


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint of nnU-Net v2. Weights stay on disk until they are used.

    Raises:
        InputError: it is absent, damaged, no checkpoint of nnU-Net, or names functions that it does not need.
    """
    if not path.is_file():
        raise _unusable("no such file", path)
    content = _load(path)
    weights = content.get("network_weights")
    arguments = content.get("init_args")
    if not isinstance(weights, dict) or not isinstance(arguments, dict) or not weights:
        raise _unusable("no network_weights or no init_args", path)
    if not all(isinstance(name, str) and _is_dense(value) for name, value in weights.items()):
        raise _unusable("network_weights that are no tensors, or none with all their real numbers", path)
    axes = content.get("inference_allowed_mirroring_axes") or ()
    if not isinstance(axes, list | tuple) or not all(isinstance(axis, int) and 0 <= axis <= 2 for axis in axes):
        raise _unusable(f"inference_allowed_mirroring_axes {axes!r:.100}", path)
    return Checkpoint(
        trainer=str(content.get("trainer_name")),
        configuration=str(arguments.get("configuration")),
        mirror_axes=tuple(axes),
        weights=weights,
    )


def fitted_weights(
    checkpoint: Checkpoint, plan: Plan, configuration: Configuration, *, path: Path
) -> dict[str, Tensor]:
    """The weights for our network of a configuration, float32, each once; planar kernels have a z of 1.

    Raises:
        InputError: names or shapes are not those of the plan's network, entries that should be one differ, or
            weights are not finite.
    """
    with torch.device("meta"):  # takes no memory, however large plans.json says that it is
        outline = build_network(plan, configuration)
    strange = [name for name in checkpoint.weights if name not in outline.state_dict()]
    if strange:
        raise InputError(
            f"{len(strange)} tensors that the network of {configuration.name} does not have, {strange[0]} the first",
            where=path,
            expected=f"the {configuration.encoder} U-Net that plans.json describes",
            remedy="a trainer with a network of its own cannot be imported",
        )
    given = {name: _volumetric(value, configuration) for name, value in checkpoint.weights.items()}
    weights = {name: value for name, value in given.items() if not repeats(name)}
    check_fit(outline, weights, where=path)
    network = build_network(plan, configuration)
    load_weights(network, weights, where=path)
    loaded = network.state_dict()
    for name, value in given.items():
        if not torch.equal(value, loaded[name]):
            raise _unusable(f"{name} differs from the entry that it repeats, or is not a number", path)
        if not bool(torch.isfinite(value).all()):
            raise _unusable(f"{name} is not finite: the training diverged", path)
    return distinct_weights(network)


def write_checkpoint(
    path: Path, plan: Plan, configuration: Configuration, weights: dict[str, Tensor], *, trainer: str
) -> None:
    """Write weights as a checkpoint that nnU-Net predicts with; it starts other trainings, but does not resume one.

    Raises:
        ArtifactError: the weights are not those of the plan's network.
        ResourceError: the file cannot be written.
    """
    network = build_network(plan, configuration)
    load_weights(network, weights, where=path)
    flat = 3 - configuration.dimensions
    state = {
        name: value.squeeze(2) if flat and value.ndim == 5 else value for name, value in network.state_dict().items()
    }
    axes = tuple(axis - flat for axis in configuration.mirror_axes)
    content = {
        "network_weights": state,
        "optimizer_state": None,
        "grad_scaler_state": None,
        "logging": None,
        "_best_ema": None,
        "current_epoch": 0,
        "init_args": {"configuration": configuration.name},
        "trainer_name": trainer,
        "inference_allowed_mirroring_axes": axes or None,
    }
    written = BytesIO()  # to a full disk torch would write with an error of its own, which does not say so
    torch.save(content, written)
    with whole_file(path) as temporary:
        temporary.write_bytes(written.getbuffer())


def _load(path: Path) -> dict[str, Any]:
    """The dictionary in the file, by torch's own unpickler that calls nothing but what is allowed."""
    with path.open("rb") as file:
        first = file.read(len(OLD_FORMAT))
    is_old = first == OLD_FORMAT
    if not is_old and not first.startswith(ZIP[: len(first)]):
        raise _unusable(f"no file of torch.save: it begins with {first!r}; nothing of it was run", path)
    try:
        if not is_old:
            _check_sums(path)
        with safe_globals(ALLOWED):
            # the unpickler itself refuses what an older file names, at the first that is not allowed
            surplus = [] if is_old else get_unsafe_globals_in_checkpoint(path)
            if not surplus:
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=not is_old)
    except MemoryError:
        raise
    except Exception as error:  # damaged pickles and archives raise errors of any kind
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is None:
            told = " ".join(str(error).split()) or type(error).__name__
            raise _unusable(f"damaged: {told:.100}", path) from error
        surplus = [named[1]]
    if surplus:
        raise _refused(surplus, path)
    if not isinstance(content, dict):
        raise _unusable(f"a {type(content).__name__}", path)
    return content


def _check_sums(path: Path) -> None:
    """Compare each record with its checksum, which torch does not: damaged weights would be taken for whole."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of its record {damaged} is wrong")


def _is_dense(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_complex()


def _volumetric(weight: Tensor, configuration: Configuration) -> Tensor:
    """Float32; kernels of a 2-D network as those of a 3-D one with a single slice."""
    planar = configuration.dimensions == 2 and weight.ndim == 4
    return (weight.unsqueeze(2) if planar else weight).float()


def _refused(names: Iterable[str], path: Path) -> InputError:
    return InputError(
        f"names {', '.join(sorted(names)[:4])}, which could run code on this machine; nothing of it was run",
        where=path,
        expected="tensors, numbers, texts and containers of them alone",
        remedy="do not use this file with software that loads it as a pickle, unless you know who wrote it",
    )


def _unusable(found: str, path: Path) -> InputError:
    return InputError(found, where=path, expected=KIND, remedy=REMEDY)
