"""Weights as they lie on disk, read without torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hemoseg.arrays import Float32
from hemoseg.errors import ArtifactError

HEADS = "decoder.seg_layers."
"""Begin the names of the layers whose outputs are classes."""


def read_arrays(path: Path) -> dict[str, Float32[np.ndarray, "..."]]:
    """Weights of a safetensors file as float32 arrays, {name: array}.

    Raises:
        ArtifactError: absent or damaged.
    """
    with opened(path, "np") as handle:
        return {name: handle.get_tensor(name).astype(np.float32, copy=False) for name in handle.keys()}  # noqa: SIM118


def half_weights(path: Path) -> bytes:
    """The content of a weights file in float16, as a safetensors file's bytes.

    Raises:
        ArtifactError: absent or damaged.
    """
    return save({name: array.astype(np.float16) for name, array in read_arrays(path).items()})


@contextmanager
def opened(path: Path, framework: Literal["np", "pt"]) -> Iterator[Any]:
    """A safetensors file whose tensors are NumPy's or torch's.

    Raises:
        ArtifactError: absent or damaged.
    """
    try:
        with safe_open(path, framework=framework) as handle:
            yield handle
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"cannot be read: {error}",
            where=path,
            expected="a safetensors file as hemoseg writes it",
            remedy="delete it and give the command that writes it again",
        ) from error
