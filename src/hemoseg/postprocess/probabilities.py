"""Probabilities of the foreground classes, kept where there is any."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from hemoseg.arrays import Float, Float16, Float32
from hemoseg.artifacts import whole_file
from hemoseg.errors import ArtifactError
from hemoseg.types import IntZYX, LabelMap, Mask

FLOOR = 2.0**-10
"""Probabilities below this are 0: they decide nothing, and what is 0 needs no room."""
REMEDY = "delete it, and run `hemoseg validate --run DIR` again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probabilities:
    """Probabilities on a scan's grid; outside the box all is background. That of the background is the rest to 1.

    Those of regions, which may overlap, are each for itself.
    """

    values: Float[np.ndarray, "k z y x"]
    """One channel per foreground class, by number, or per region in the plan's order, in the box."""
    corner: IntZYX
    """First voxel of the box."""
    shape: IntZYX
    """Voxels of the scan."""

    @classmethod
    def of(cls, foreground: Float32[np.ndarray, "k z y x"]) -> "Probabilities":
        """Those of a whole grid in half precision, as networks give them and validation stores them."""
        half = foreground.astype(np.float16)
        half[half < FLOOR] = 0
        _, z, y, x = half.shape
        filled: Mask = np.any(half, axis=0)
        low, high = [], []
        for axis in range(3):
            places = np.flatnonzero(np.moveaxis(filled, axis, 0).reshape(filled.shape[axis], -1).any(axis=1))
            low.append(int(places[0]) if len(places) else 0)
            high.append(int(places[-1]) + 1 if len(places) else 0)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return cls(
            values=np.ascontiguousarray(half[(slice(None), *box)]), corner=(low[0], low[1], low[2]), shape=(z, y, x)
        )

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where the values lie in the scan."""
        z, y, x = (slice(at, at + size) for at, size in zip(self.corner, self.values.shape[1:], strict=True))
        return z, y, x

    def labels(self, odds: Sequence[float] | None = None, *, paint: Sequence[int] = ()) -> LabelMap:
        """The class with the largest probability, the first of equals; or regions painted one over the other.

        A region is where its probability, multiplied with its odds, exceeds that of its absence.

        Args:
            odds: what each foreground class's probability is multiplied with first; None for 1.
            paint: number that each region is painted with; empty if the classes are no regions.
        """
        values = self.values.astype(np.float32)
        weights = np.ones(len(values)) if odds is None else odds
        scaled = values * np.asarray(weights, dtype=np.float32).reshape(-1, 1, 1, 1)
        full = np.zeros(self.shape, dtype=np.uint8)
        if paint:
            for number, inside in zip(paint, scaled > 1 - values, strict=True):
                full[self.box][inside] = number
        else:
            full[self.box] = np.concatenate([1 - values.sum(axis=0, keepdims=True), scaled]).argmax(axis=0)
        return full

    def dense(self) -> Float16[np.ndarray, "k z y x"]:
        """Those of the whole scan in half precision."""
        full = np.zeros((len(self.values), *self.shape), dtype=np.float16)
        full[(slice(None), *self.box)] = self.values
        return full

    def of_class(self, number: int) -> Float32[np.ndarray, "z y x"]:
        """The probability of a foreground class, or region, in every voxel of the scan; the first has number 1."""
        full = np.zeros(self.shape, dtype=np.float32)
        full[self.box] = self.values[number - 1]
        return full


def mean_probabilities(members: Sequence[Probabilities]) -> Probabilities:
    """The mean over members, as nnU-Net's ensembles are made: sums in single precision, in the order given."""
    filled = [one for one in members if one.values.size]
    if len(members) == 1 or not filled:
        return members[0]
    low = [min(one.corner[axis] for one in filled) for axis in range(3)]
    high = [max(one.box[axis].stop for one in filled) for axis in range(3)]
    mean = np.zeros((members[0].values.shape[0], *(b - a for a, b in zip(low, high, strict=True))), dtype=np.float32)
    for one in filled:
        place = tuple(slice(s.start - a, s.stop - a) for s, a in zip(one.box, low, strict=True))
        mean[(slice(None), *place)] += one.values
    mean /= len(members)
    return Probabilities(values=mean, corner=(low[0], low[1], low[2]), shape=members[0].shape)


def write_probabilities(path: Path, probabilities: Probabilities) -> None:
    """Write probabilities as compressed arrays, whole or not at all; the same values give the same bytes."""
    with whole_file(path) as temporary:
        np.savez_compressed(
            temporary,
            values=probabilities.values,
            corner=np.array(probabilities.corner),
            shape=np.array(probabilities.shape),
        )


def read_probabilities(path: Path) -> Probabilities:
    """Read them back.

    Raises:
        ArtifactError: the file is absent or damaged.
    """
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            values, corner, shape = (stored[name] for name in ("values", "corner", "shape"))
        return Probabilities(values=values, corner=tuple(corner.tolist()), shape=tuple(shape.tolist()))
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise ArtifactError(
            f"cannot be read: {error}", where=path, expected="probabilities of a held-out case", remedy=REMEDY
        ) from error
