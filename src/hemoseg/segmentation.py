"""The result of segmenting one scan: label map, milliliters, lesions."""

from dataclasses import dataclass, field, replace

import numpy as np

from hemoseg.arrays import Float16, Float64, Int64
from hemoseg.components import CORNERS, find_runs
from hemoseg.geometry import Grid, Volume
from hemoseg.labels import LabelTable
from hemoseg.types import FloatXYZ, LabelMap, Mask

NOT_CALIBRATED = "the model has no calibration of its volumes"
"""Why there are no intervals around volumes of older models, and of those from nnU-Net."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One connected component (26-connectivity) of one class."""

    class_name: str
    """Class of the lesion."""
    volume_ml: float
    """Volume in milliliters: area per slice times the slice's weight."""
    centroid_mm: FloatXYZ
    """Center of mass of its voxels, LPS, in mm."""
    slices: tuple[int, int]
    """First and last slice, 0-based as stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Connected components of one class; a mask of noise has a million."""

    class_name: str
    """The class."""
    volume_ml: Float64[np.ndarray, " n"]
    """Volume of each."""
    center: Float64[np.ndarray, "n 3"]
    """Center of mass of its voxels: index (z, y, x)."""
    slices: Int64[np.ndarray, "n 2"]
    """First and last slice, 0-based as stored."""

    def largest(self, most: int | None) -> "Measured":
        """The largest, largest first; of equals the first. None takes all."""
        order = np.argsort(-self.volume_ml, kind="stable")[:most]
        return replace(self, volume_ml=self.volume_ml[order], center=self.center[order], slices=self.slices[order])

    def lesion(self, number: int, grid: Grid) -> Lesion:
        """One of them."""
        first, last = self.slices[number].tolist()
        return Lesion(
            class_name=self.class_name,
            volume_ml=float(self.volume_ml[number]),
            centroid_mm=grid.world(self.center[number].tolist()),
            slices=(first, last),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model made a result."""

    name: str
    """Name of the bundle."""
    version: str
    """Version of the bundle."""
    sha256: str
    """SHA-256 of the bundle's manifest, which holds the hash of every other file."""
    notice: str
    """What the model's users must know: research use only, terms of its source data."""
    engine: str = ""
    """What ran its networks, like `openvino-bf16`; empty where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInterval:
    """Where the volume that a reference has is expected."""

    low_ml: float
    """Lower end in ml."""
    high_ml: float
    """Upper end in ml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals around the volumes of a scan, and what they rest on."""

    level: float
    """Nominal coverage: the share of scans whose reference lies inside."""
    scans: int
    """Held-out scans that they were calibrated on."""
    patients: int
    """Whose these are."""
    calibrated_on: str
    """Which they are, in words."""
    volume_ml: dict[str, VolumeInterval | None]
    """By class; None where there is none."""
    hemorrhage_ml: VolumeInterval | None
    """Of all bleeding classes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDoubt:
    """How sure networks are of a class in the whole scan, before any rule."""

    largest_probability: float
    """The largest anywhere; below 0.001 it is 0."""
    expected_ml: float
    """Sum of its probabilities over the scan, in ml: the volume that they expect."""
    doubtful_ml: float
    """Sum of the entropies of its presence in bits, in ml: what is there with a probability of one half counts whole,
    what is sure not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Where blood is likeliest."""

    probability: float
    """Of blood of any kind."""
    center_mm: FloatXYZ
    """The voxel's center, LPS, in mm."""
    slice: int
    """Its slice, 0-based as stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How sure networks are."""

    classes: dict[str, ClassDoubt]
    """By class."""
    peak: Peak | None
    """Where blood is likeliest; None where its probability is below 0.001 everywhere."""
    lower: float
    """Probability that a second look goes down to."""
    lower_ml: float
    """Blood that is likelier than that, in ml."""
    members: int
    """What was averaged: networks, times mirrored copies of what they see."""
    disagreement_ml: float | None = None
    """Sum of the disagreement of the members in ml: what they are of opposite minds about counts whole. None where
    nobody asked, and where there is one member alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtMaps:
    """Doubt by voxel, axes (z, y, x) of the scan, from 0 to 1."""

    entropy: Float16[np.ndarray, "z y x"]
    """Entropy of the classes as a part of the largest possible."""
    disagreement: Float16[np.ndarray, "z y x"] | None
    """The part of it that comes from members that do not agree; None with one member alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """Label map of one scan, on the scan's own grid."""

    labels: LabelMap
    """Class numbers, axes (z, y, x), shape and order of `volume.hu`."""
    table: LabelTable
    """Names of the class numbers."""
    volume: Volume
    """The scan that was segmented."""
    model: ModelIdentity
    """The model that made it."""
    warnings: tuple[str, ...] = ()
    """Doubts about the input and the result."""
    doubt: Doubt | None = None
    """How sure the networks are; None where nobody asked them."""
    maps: DoubtMaps | None = None
    """Doubt by voxel, if it was asked for."""
    probabilities: Float16[np.ndarray, "k z y x"] | None = None
    """Probabilities of the foreground classes, or regions, before any rule, if they were asked for."""
    intervals: Intervals | None = None
    """Intervals around the volumes; None where there are none."""
    no_intervals: str = NOT_CALIBRATED
    """Why there are none, in words, where there are none."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent, by stage: `prepare`, `network`, `restore`."""

    @property
    def volume_ml(self) -> dict[str, float]:
        """Milliliters of each foreground class, measured on the original slices."""
        return {name: measure_ml(self.table.mask(self.labels, name), self.volume) for name in self.table.members}

    @property
    def hemorrhage_ml(self) -> float:
        """Milliliters of all bleeding classes together, without edema; what regions share counts once."""
        bleeding = self.table.bleeding
        return measure_ml(self.table.mask(self.labels, *bleeding), self.volume) if bleeding else 0.0

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        """The connected components of every class, the largest first."""
        return self.largest_lesions(None)[0]

    def largest_lesions(self, most: int | None) -> tuple[tuple[Lesion, ...], int]:
        """The largest connected components of all classes, the largest first, and how many there are in all.

        Args:
            most: how many are wanted; None for all.
        """
        found, count = [], 0
        for name in self.table.members:
            measured = measure_lesions(self.table.mask(self.labels, name), self.volume, class_name=name)
            count += len(measured.volume_ml)
            found.append(measured.largest(most))  # the others' memory is free before the next class takes its own
        places = [(one, number) for one in found for number in range(len(one.volume_ml))]
        places.sort(key=lambda place: -place[0].volume_ml[place[1]])
        return tuple(one.lesion(number, self.volume.grid) for one, number in places[:most]), count


def measure_ml(mask: Mask, volume: Volume, *, first_slice: int = 0) -> float:
    """Volume of a mask (z, y, x) in milliliters: Σ area of slice · weight of slice.

    Args:
        mask: axes (z, y, x); in-plane extent may be a box of the volume's.
        volume: the scan, for pixel area and slice weights.
        first_slice: slice of the volume at which the mask begins.
    """
    grid = volume.grid
    pixel_mm2 = grid.voxel_ml * 1000 / grid.slice_interval_mm
    weights = np.array([part.weight_mm for part in volume.slices[first_slice : first_slice + len(mask)]])
    return float(np.count_nonzero(mask, axis=(1, 2)) @ weights) * pixel_mm2 / 1000


def measure_lesions(mask: Mask, volume: Volume, *, class_name: str) -> Measured:
    """The connected components (26-connectivity) of a mask (z, y, x), in scan order, measured on its runs of voxels."""
    runs = find_runs(mask, CORNERS)
    weights = np.array([part.weight_mm for part in volume.slices])
    pixel_mm2 = volume.grid.voxel_ml * 1000 / volume.grid.slice_interval_mm
    sizes = runs.sums(lambda part: part.length)
    sums = (
        runs.sums(lambda part: part.z * part.length),
        runs.sums(lambda part: part.y * part.length),
        runs.sums(lambda part: (part.start + (part.length - 1) / 2) * part.length),
    )
    slices = np.zeros((len(sizes), 2), dtype=np.int64)
    for part in runs.blocks():
        slices[part.component, 1] = part.z  # of what is written twice the last stays, and runs are in scan order
    slices[runs.component[::-1], 0] = runs.z[::-1]
    return Measured(
        class_name=class_name,
        volume_ml=runs.sums(lambda part: part.length * weights[part.z]) * pixel_mm2 / 1000,
        center=np.stack(sums, axis=1) / sizes[:, None],
        slices=slices,
    )
