"""What the planner knows of a data set."""

from collections.abc import Sequence
from statistics import median
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from hemoseg.datasets import CaseFacts, DatasetSources, Histogram, Source
from hemoseg.labels import LabelTable
from hemoseg.plan import Intensity, Region, make_table
from hemoseg.planning.intensity import mixture_intensity, pooled_intensity
from hemoseg.types import FloatZYX

CLIPPED_ABOVE_HU = -500.0
"""Lowest HU above which a case holds no air."""
NO_FOREGROUND = "no case has a labeled voxel: foreground intensities are not known"


class LesionSizes(BaseModel):
    """How large the lesions of a class are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int
    """Cases that have any."""
    count: int
    """Lesions in all cases."""
    per_case: float
    """Median number in a case that has any."""
    percentiles_ml: tuple[float, float, float, float, float]
    """Smallest, 25th, 50th, 75th percentile and largest."""
    largest_share: float
    """Median over these cases of the share of the class's volume that the largest lesion holds."""


class Fingerprint(BaseModel):
    """`fingerprint.json`: the data set in numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[3] = 3
    """Schema version."""
    dataset: str
    """The data set's folder."""
    dataset_name: str
    """Its name."""
    digest: str
    """Digest of the data set's index: names and sizes of its files."""
    channel_names: tuple[str, ...]
    """Names of the image channels in dataset.json."""
    file_ending: str
    """Ending of the image files."""
    labels: tuple[str, ...]
    """Class names by number; of a data set with regions, the names in its order."""
    regions: tuple[Region, ...] = ()
    """What the classes after `background` are made of, in their order; empty if each has a number of its own."""
    ignore: int | None = None
    """Number of voxels that nobody labeled; None where all are labeled."""
    sources: tuple[Source, ...] = ()
    """Where the cases come from, with terms and what to cite; empty where nobody recorded it."""
    pseudo_hu: tuple[float, float] | None = None
    """Bounds of HU that were rebuilt from windowed pictures; None for true HU."""
    cases: tuple[CaseFacts, ...]
    """One entry per case."""
    intensity: tuple[Intensity | None, ...]
    """Foreground intensities of each channel, each case with foreground weighing the same; None if there is none.
    Ignored voxels count as foreground, as they do for nnU-Net."""
    intensity_v1: tuple[Intensity | None, ...]
    """The same as nnU-Net v1 has them: every tenth foreground voxel of all cases pooled."""
    warnings: tuple[str, ...] = ()
    """Doubts about the data set as a whole."""

    @property
    def spacing_mm(self) -> FloatZYX:
        """Median spacing along (z, y, x)."""
        z, y, x = (median(case.spacing_mm[axis] for case in self.cases) for axis in range(3))
        return z, y, x

    @property
    def head_mm(self) -> FloatZYX:
        """Median extent of the head's box along (z, y, x), in mm."""
        z, y, x = (median(case.head_shape[a] * case.spacing_mm[a] for case in self.cases) for a in range(3))
        return z, y, x

    @property
    def slice_interval_mm(self) -> FloatZYX:
        """Smallest, median (over cases of their medians) and largest thickness that a slice stands for."""
        low, middle, high = zip(*(case.slice_interval_mm for case in self.cases), strict=True)
        return min(low), median(middle), max(high)

    @property
    def brain_mode_hu(self) -> float | None:
        """Median of the cases' most frequent HU of brain; None if no case shows one."""
        modes = [case.brain_mode_hu for case in self.cases if case.brain_mode_hu is not None]
        return median(modes) if modes else None

    @property
    def nonzero_share(self) -> float:
        """Median share of the voxels that nnU-Net's crop leaves."""
        return median(case.nonzero_share for case in self.cases)

    @property
    def clipped_hu(self) -> tuple[float, float] | None:
        """The range of HU that the clipped cases share; None if no case was clipped.

        A case without a value below `CLIPPED_ABOVE_HU` lacks air, so its HU were clipped to a window.
        """
        clipped = [case for case in self.cases if case.hu_min > CLIPPED_ABOVE_HU]
        if not clipped:
            return None
        return max(case.hu_min for case in clipped), min(case.hu_max for case in clipped)

    @property
    def table(self) -> LabelTable:
        """The label table."""
        return make_table(self.labels, self.regions, self.ignore)

    @property
    def outputs(self) -> int:
        """Channels that networks have as output: one per class, background included, or one per region."""
        return len(self.regions) or len(self.labels)

    @property
    def label_count(self) -> int:
        """Entries of `labels` in dataset.json: nnU-Net's memory estimate counts `ignore` too."""
        return len(self.labels) + (self.ignore is not None)

    @property
    def held_hu(self) -> tuple[float, float] | None:
        """The range of HU that all cases hold: the bounds of pseudo-HU, or what clipped cases share; None if more."""
        return self.pseudo_hu if self.pseudo_hu is not None else self.clipped_hu

    @property
    def lesion_sizes(self) -> dict[str, LesionSizes]:
        """How large the lesions of each class are; classes that no case has are left out."""
        found = {name: [c.lesions_ml[name] for c in self.cases if c.lesions_ml[name]] for name in self.labels[1:]}
        return {name: _sizes(cases) for name, cases in found.items() if cases}


def make_fingerprint(
    cases: Sequence[tuple[CaseFacts, Sequence[Histogram]]],
    *,
    dataset: str,
    dataset_name: str,
    digest: str,
    channel_names: tuple[str, ...],
    file_ending: str,
    labels: tuple[str, ...],
    regions: tuple[Region, ...] = (),
    ignore: int | None = None,
    record: DatasetSources | None = None,
) -> Fingerprint:
    """The fingerprint of cases, each with its facts and a histogram of foreground voxels per channel. Pure."""
    channels = [[histograms[index] for _, histograms in cases] for index in range(len(channel_names))]
    intensity = tuple(mixture_intensity(channel) for channel in channels)
    return Fingerprint(
        dataset=dataset,
        dataset_name=dataset_name,
        digest=digest,
        channel_names=channel_names,
        file_ending=file_ending,
        labels=labels,
        regions=regions,
        ignore=ignore,
        sources=() if record is None else record.sources,
        pseudo_hu=None if record is None else record.bounds_hu,
        cases=tuple(facts for facts, _ in cases),
        intensity=intensity,
        intensity_v1=tuple(pooled_intensity(channel) for channel in channels),
        warnings=(*((NO_FOREGROUND,) if None in intensity else ()), *_filled(record)),
    )


def _filled(record: DatasetSources | None) -> tuple[str, ...]:
    slices, cases = (0, 0) if record is None else record.filled
    return (f"{slices} slices of {cases} cases are missing at the source and were filled",) if slices else ()


def _sizes(cases: list[tuple[float, ...]]) -> LesionSizes:
    sizes = np.concatenate(cases)
    low, quarter, half, three_quarters, high = np.percentile(sizes, (0, 25, 50, 75, 100)).tolist()
    return LesionSizes(
        cases=len(cases),
        count=len(sizes),
        per_case=float(median(len(lesions) for lesions in cases)),
        percentiles_ml=(low, quarter, half, three_quarters, high),
        largest_share=float(median(max(lesions) / sum(lesions) for lesions in cases)),
    )
