"""Checkpoints of nnU-Net v2: read without running anything that they hold, and written for nnU-Net to read.

A checkpoint is a file of `torch.save`, so a pickle, and a pickle names the functions that rebuild it. Only those that
tensors need are called; what rebuilds the numbers and arrays of a training's log is not: something that is of no use
takes its place. A file that names any other function is refused before it is read.
"""

import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from pickletools import genops
from typing import IO, Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from hemoseg.artifacts import whole_file
from hemoseg.errors import InputError
from hemoseg.nets.build import build_network
from hemoseg.nets.weights import check_fit, distinct_weights, load_weights, repeats
from hemoseg.plan import FOLDER_NAME, Configuration, Plan

KIND = "a checkpoint that nnU-Net v2 wrote: network_weights, trainer_name, init_args"
REMEDY = "take the file that nnU-Net itself wrote, or train again"
PICKLED_AS = "Unsupported operand"
"""How torch says that a pickle is of another protocol than its own."""


class PassedOver:
    """In place of what a log holds beside plain values: a number or an array of NumPy's, or its type."""

    def __init__(self, *_: object) -> None:
        """Take what it would be made of, and keep nothing."""

    def __setstate__(self, _: object) -> None:
        """Nor its state."""


def _plain_dict(*_: object) -> dict[Any, Any]:
    """In place of a `defaultdict`; its entries come after."""
    return {}


LOGGED = (
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("_core", "core")  # the second until NumPy 2
        for name in ("scalar", "_reconstruct")
    ),
    "numpy.dtype",
    "numpy.ndarray",
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str", "tuple")),
)
"""What rebuilds NumPy's numbers and arrays, and what makes the entries that a `defaultdict` lacks."""
ALLOWED: list[Any] = [
    *((PassedOver, name) for name in LOGGED),
    (_plain_dict, "collections.defaultdict"),
    torch.device,
]
"""All that may be named beside what tensors need, and what is called in its place."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types that weights may have."""
WRAPPERS = ("module.", "_orig_mod.")
"""Before the names of tensors of a network on several GPUs, and of one that was compiled."""
LONGEST_TRAINER = 200
"""Characters of a trainer's name: with those of plans and configuration, it is that of a folder."""
SHOWN = 100
"""Characters of a file's own texts that errors show."""
MOST_PACKED = 10
"""Times its own size that an archive may unpack to: weights hardly shrink, an optimizer's zeros do."""
SLACK_BYTES = 2**24
"""Bytes that it may unpack to besides."""
HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(\w+Storage|device|dtype|Size)|_codecs\.encode"
)
"""Names that checkpoints have in any protocol."""
HEADER = 30
"""Bytes of a record's header in a zip archive, before its name and what pads it; their lengths end it."""


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
    content, places = _load(path)
    weights, arguments = content.get("network_weights"), content.get("init_args")
    if not isinstance(weights, dict) or not isinstance(arguments, dict) or not weights:
        raise _unusable("no network_weights or no init_args", path)
    strange = [name for name, value in weights.items() if not isinstance(name, str) or not _is_dense(value)]
    if strange:
        found = f"network_weights that are no tensors of floats, or none with all their numbers: {_shown(strange[0])}"
        raise _unusable(found, path)
    if places is not None and not _fill_records(weights.values(), places):
        raise _unusable("damaged: a record of network_weights is shorter or longer than they are", path)
    trainer, configuration = content.get("trainer_name"), arguments.get("configuration")
    if not isinstance(trainer, str) or len(trainer) > LONGEST_TRAINER or not trainer.isidentifier():
        raise _unusable(f"trainer_name {_shown(trainer)}, which is no name of a class", path)
    if not isinstance(configuration, str) or re.fullmatch(FOLDER_NAME, configuration) is None:
        raise _unusable(f"configuration {_shown(configuration)}, which is no name of one", path)
    axes = content.get("inference_allowed_mirroring_axes")
    return Checkpoint(
        trainer=trainer,
        configuration=configuration,
        mirror_axes=() if axes is None else _mirror_axes(axes, path),
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
    known = outline.state_dict()
    named = _named(checkpoint, path)
    strange = [name for name in named if name not in known]
    if strange:
        raise InputError(
            f"{len(strange)} tensors that {configuration.name}'s network does not have, {_shown(strange[0])} the first",
            where=path,
            expected=f"the {configuration.encoder} U-Net that plans.json describes",
            remedy="a trainer with a network of its own cannot be imported",
        )
    given = {name: _volumetric(value, configuration) for name, value in named.items()}
    weights = {name: value for name, value in given.items() if not repeats(name)}
    check_fit(outline, weights, where=path)
    network = build_network(plan, configuration)
    load_weights(network, weights, where=path)
    loaded = network.state_dict()
    for name, value in given.items():
        if value.shape != loaded[name].shape or not torch.equal(value.float(), loaded[name]):
            raise _unusable(f"{name} differs from the entry that it repeats, or is not a number", path)
        if not bool(torch.isfinite(loaded[name]).all()):
            raise _unusable(f"{name} is not finite: the training diverged", path)
    return distinct_weights(network)


def _named(checkpoint: Checkpoint, path: Path) -> dict[str, Tensor]:
    """The weights by the names that they have in the network alone."""
    said: dict[str, str] = {}
    for name in checkpoint.weights:
        twin = said.setdefault(_unwrapped(name), name)
        if twin != name:
            raise InputError(
                f"{_shown(twin)} and {_shown(name)}, which are one tensor of the network: which of them counts?",
                where=path,
                expected=f"each tensor once, with or without {' or '.join(WRAPPERS)} before its name",
                remedy="save network_weights again without those of the two kinds that are not wanted",
            )
    return {name: checkpoint.weights[given] for name, given in said.items()}


def _unwrapped(name: str) -> str:
    """A tensor's name without what torch puts before it where networks are compiled or on several GPUs."""
    for prefix in WRAPPERS:
        name = name.removeprefix(prefix)
    return name


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


def _load(path: Path) -> tuple[dict[str, Any], set[tuple[int, int]] | None]:
    """The dictionary in the file, by torch's own unpickler that calls nothing but what is allowed.

    Returns:
        It, and where its records lie if its tensors are parts of the file; None if they were read into memory.
    """
    with path.open("rb") as file:
        first = file.read(len(OLD_FORMAT))
    is_old = first == OLD_FORMAT
    if not is_old and not first.startswith(ZIP[: len(first)]):
        raise _unusable(f"no file of torch.save: it begins with {first!r}; nothing of it was run", path)
    try:
        places = None if is_old else _places(path)
        with safe_globals(ALLOWED):
            # the unpickler itself refuses what an older file names, at the first that is not allowed
            surplus = [] if is_old else get_unsafe_globals_in_checkpoint(path)
            if not surplus:
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=places is not None)
    except MemoryError:
        raise
    except Exception as error:  # damaged pickles and archives raise errors of any kind
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is None and PICKLED_AS in str(error):
            raise _of_another_protocol(path) from error
        if named is None:
            told = " ".join(str(error).split()) or type(error).__name__
            raise _unusable(f"damaged: {_shown(told)}", path) from error
        surplus = [named[1]]
    if surplus:
        raise _refused(surplus, path)
    if not isinstance(content, dict):
        raise _unusable(f"a {type(content).__name__}", path)
    return content, places


def _of_another_protocol(path: Path) -> InputError:
    """What to say of a pickle that torch cannot read without running it: what it names beside tensors, if anything."""
    strange = {name for name in _named_in(path) if not HARMLESS.fullmatch(name) and name not in LOGGED}
    if strange:
        return _refused(strange, path)
    return InputError(
        "another pickle protocol than that of torch.save, which alone is read without running it",
        where=path,
        expected=KIND,
        remedy="save it again where it comes from: torch.save(checkpoint, FILE), without pickle_protocol",
    )


def _named_in(path: Path) -> list[str]:
    """All functions and classes that the pickle in an archive names, in any protocol; nothing of it is run."""
    with zipfile.ZipFile(path) as archive:
        pickled = [archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")]
    names: list[str] = []
    with suppress(ValueError):  # damaged: what came before counts
        for content in pickled:
            names.extend(_names_of(content))
    return names


def _names_of(pickled: bytes) -> Iterator[str]:
    """Names of functions and classes in the order of a pickle: as one argument, or as the two texts before."""
    memory: dict[int, str] = {}
    before = latest = ""
    for operation, argument, _ in genops(pickled):
        code = operation.name
        if code in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif code == "STACK_GLOBAL":
            yield f"{before}.{latest}"
        elif code in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memory[len(memory) if argument is None else int(argument)] = latest
        else:
            text = memory.get(int(argument or 0)) if code in ("GET", "BINGET", "LONG_BINGET") else argument
            before, latest = (latest, text) if isinstance(text, str) else (before, latest)


def _places(path: Path) -> set[tuple[int, int]] | None:
    """Offset and bytes of each record in the file; None if one is compressed, so that the file is no memory of it.

    Checksums are compared here, since torch does not: damaged weights would be taken for whole.
    """
    with zipfile.ZipFile(path) as archive:
        records, size = archive.infolist(), path.stat().st_size
        unpacked = sum(record.file_size for record in records)
        if unpacked > MOST_PACKED * size + SLACK_BYTES:
            raise ValueError(f"{size:,} bytes that unpack to {unpacked:,}, as no weights do")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of its record {damaged} is wrong")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        return None
    with path.open("rb") as file:
        return {(_beginning(file, record), record.file_size) for record in records}


def _beginning(file: IO[bytes], record: zipfile.ZipInfo) -> int:
    """Offset of a record's bytes."""
    file.seek(record.header_offset + HEADER - 4)
    name, padding = struct.unpack("<HH", file.read(4))
    return record.header_offset + HEADER + int(name) + int(padding)


def _fill_records(weights: Iterable[Tensor], places: set[tuple[int, int]]) -> bool:
    """Whether the memory of each is one record of the file: torch slices it without a look at the records' sizes.

    Where the file lies in memory is not known, but all offsets in it must be right for one place.
    """
    storages = {(value.untyped_storage().data_ptr(), value.untyped_storage().nbytes()) for value in weights}
    first, _ = min(storages)
    return any(all((begin + place - first, size) in places for place, size in storages) for begin, _ in places)


def _is_dense(value: object) -> bool:
    """Whether it is a tensor of floats in memory that has a number for each of its elements."""
    return (
        isinstance(value, Tensor)
        and (value.layout, value.device.type) == (torch.strided, "cpu")
        and not value.is_nested
        and value.dtype in FLOATS
        and 0 < value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _mirror_axes(axes: object, path: Path) -> tuple[int, ...]:
    if (
        not isinstance(axes, list | tuple)
        or len(axes) > 3
        or not all(type(axis) is int and 0 <= axis <= 2 for axis in axes)
        or len(set(axes)) < len(axes)
    ):
        raise _unusable("inference_allowed_mirroring_axes that are not axes from 0 to 2, each once", path)
    return tuple(axes)


def _volumetric(weight: Tensor, configuration: Configuration) -> Tensor:
    """Kernels of a 2-D network as those of a 3-D one with a single slice."""
    planar = configuration.dimensions == 2 and weight.ndim == 4
    return weight.unsqueeze(2) if planar else weight


def _shown(text: object) -> str:
    """What a file says, for a terminal: short, and without line breaks or escapes; of other things their type."""
    if not isinstance(text, str):
        return f"of type {type(text).__name__}"
    return text[:SHOWN] if text[:SHOWN].isprintable() else repr(text[:SHOWN])


def _refused(names: Iterable[str], path: Path) -> InputError:
    named = ", ".join(map(_shown, sorted(names)[:4]))
    return InputError(
        f"names {named}, which could run code on this machine; nothing of it was run",
        where=path,
        expected="tensors, numbers, texts and containers of them alone",
        remedy="do not use this file with software that loads it as a pickle, unless you know who wrote it",
    )


def _unusable(found: str, path: Path) -> InputError:
    return InputError(found, where=path, expected=KIND, remedy=REMEDY)
