"""How far engines are from torch in float32, and the patch with which a machine can see it for itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hemoseg.arrays import Float16, Float32
from hemoseg.errors import ArtifactError
from hemoseg.plan import ConfigurationName

NUMBERS_FILE, PATCHES_FILE = "agreement.json", "agreement.npz"
"""Names of the two files in a bundle."""
SAMPLES = 4096
"""Voxels of a patch whose logits are kept: 48 kB of three classes, and enough that no layer can be wrong unseen."""
SPREAD = 2_654_435_761
"""Knuth's multiplier: multiples of it, modulo the size, lie evenly and along no axis."""


class EngineAgreement(BaseModel):
    """One engine's logits of one patch, against torch's in float32."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    configuration: ConfigurationName
    """The network's configuration; of several folds, the first is taken."""
    engine: str
    """The engine with its precision, like `openvino-bf16`."""
    deviation: Annotated[float, Field(ge=0)]
    """Root mean square of differences over the standard deviation of torch's; of logits without the background's."""
    largest: Annotated[float, Field(ge=0)]
    """The largest difference; of the same."""
    other_labels: Annotated[float, Field(ge=0, le=1)]
    """Share of voxels that get another label."""


class Agreement(BaseModel):
    """What was measured when the bundle was made: `agreement.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    software: dict[str, str]
    """Versions of the libraries and, as `engines`, our revision of what runs on them, {name: version}."""
    processor: str
    """The CPU it was measured on."""
    weights: dict[ConfigurationName, str]
    """SHA-256 of the weights of each configuration that were taken."""
    engines: tuple[EngineAgreement, ...]
    """One entry per configuration and engine."""

    def deviation(self, configuration: str, engine: str) -> float | None:
        """What was measured of an engine; None if it was not."""
        found = (e.deviation for e in self.engines if (e.configuration, e.engine) == (configuration, engine))
        return next(found, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPatch:
    """A synthetic patch of a configuration and what torch in float32 says of it."""

    __test__ = False  # no test, though pytest would take the name for one

    channels: Float16[np.ndarray, "c z y x"]
    """What the network sees."""
    logits: Float32[np.ndarray, "k n"]
    """Logits of the sampled voxels, axes (class, voxel); which they are, `sampled` says."""


def sampled(logits: Float32[np.ndarray, "k z y x"]) -> Float32[np.ndarray, "k n"]:
    """The logits of some voxels that lie evenly in the patch."""
    flat = logits.reshape(len(logits), -1)
    size = flat.shape[1]
    return flat[:, np.arange(min(SAMPLES, size), dtype=np.uint64) * SPREAD % size]


def write_patches(path: Path, patches: dict[str, TestPatch]) -> None:
    """Write the patches of configurations; the same values give the same bytes."""
    arrays: dict[str, np.ndarray] = {}
    for name, patch in patches.items():
        arrays |= {f"{name}.channels": patch.channels, f"{name}.logits": patch.logits}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stubs take the names for options


def read_patch(path: Path, configuration: str) -> TestPatch:
    """The patch of a configuration.

    Raises:
        ArtifactError: the file is damaged or lacks it.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return TestPatch(channels=stored[f"{configuration}.channels"], logits=stored[f"{configuration}.logits"])
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise ArtifactError(
            f"cannot be read: {error}",
            where=path,
            expected=f"the test patch of {configuration}",
            remedy="get the bundle again, or write it again",
        ) from error
