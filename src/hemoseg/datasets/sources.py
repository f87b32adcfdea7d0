"""Where a data set comes from and what is special about it: the optional `hemoseg.json` beside `dataset.json`.

nnU-Net ignores the file. A data set without it is one of true HU whose classes are annotated in every case.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hemoseg.artifacts import read_model
from hemoseg.types import FloatZYX

SOURCES = "hemoseg.json"
"""File name of the record."""
ANY = "any"
"""Stands for every bleeding class at once: the source marks blood without its kind."""

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Source(BaseModel):
    """A published data set, or a folder of one's own."""

    model_config = _FROZEN

    name: str
    """What it is called, with its version where it has one."""
    license: str
    """Its terms in a few words; disputed terms are named as such."""
    citation: str
    """What a paper has to cite; empty for a folder of one's own."""
    nominal_spacing_mm: FloatZYX | None = None
    """Spacing (z, y, x) that was assumed where the source does not tell it: milliliters are nominal then. None where
    the scans themselves say it."""


class CaseNotes(BaseModel):
    """What is special about one case."""

    model_config = _FROZEN

    source: Annotated[int, Field(ge=0)]
    """Position in `sources`."""
    annotates: tuple[str, ...]
    """Classes that the label marks wherever they are; a class that is not here may be present and unmarked."""
    ignored_slices: tuple[int, ...] = ()
    """Slices (as stored, from 0) that are labeled `ignore` as a whole."""
    filled_slices: tuple[int, ...] = ()
    """Slices (as stored, from 0) that the source lacks and that were filled on request."""


class Detection(BaseModel):
    """Which classes are seen on which slices of a scan: a reference without masks."""

    model_config = _FROZEN

    image: str
    """The scan's path inside the data set: a case of imagesTr, or of imagesTs where there is no mask."""
    patient: str
    """Whose scan it is."""
    source: Annotated[int, Field(ge=0)]
    """Position in `sources`."""
    slices: tuple[tuple[str, ...] | None, ...]
    """Classes seen on each slice, in the stored order; None where the source says nothing, as on filled slices."""
    filled_slices: tuple[int, ...] = ()
    """Slices (as stored, from 0) that the source lacks and that were filled on request."""


class DatasetSources(BaseModel):
    """The record of a data set."""

    model_config = _FROZEN

    version: Literal[1] = 1
    """Schema version; a reader refuses any other."""
    sources: tuple[Source, ...]
    """Where cases come from."""
    intensity: Literal["hu", "pseudo-hu"] = "hu"
    """`pseudo-hu`: rebuilt from windowed pictures, so what lies outside of `bounds_hu` is clipped."""
    bounds_hu: tuple[float, float] | None = None
    """Range of the pseudo-HU; None for true HU."""
    cases: dict[str, CaseNotes] = {}
    """Notes on the cases of imagesTr."""
    detection: dict[str, Detection] = {}
    """Slice-level references by case name, with mask or without."""
    warnings: tuple[str, ...] = ()
    """What was assumed or found doubtful when the data set was imported or merged."""

    @property
    def filled(self) -> tuple[int, int]:
        """How many slices were filled because the source lacks them, and in how many cases."""
        counts = [len(case.filled_slices) for case in self.cases.values() if case.filled_slices]
        return sum(counts), len(counts)

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetSources":
        if (self.intensity == "pseudo-hu") != (self.bounds_hu is not None):
            raise ValueError("bounds_hu belongs to pseudo-hu, and to it alone")
        if self.bounds_hu is not None and not self.bounds_hu[0] < self.bounds_hu[1]:
            raise ValueError(f"bounds_hu {self.bounds_hu} is no range")
        numbers = [case.source for case in self.cases.values()]
        numbers += [scan.source for scan in self.detection.values()]
        if any(number >= len(self.sources) for number in numbers):
            raise ValueError(f"a case names a source beyond the {len(self.sources)} listed")
        return self


def source_text(source: Source) -> str:
    """A source with its terms and what to cite, in one line.

    Example:
        >>> source_text(Source(name="A 1.0", license="CC BY 4.0", citation=""))
        'A 1.0. License: CC BY 4.0. Cite: nothing is named.'
    """
    citation = source.citation.rstrip(".") or "nothing is named"
    return f"{source.name}. License: {source.license.rstrip('.')}. Cite: {citation}."


def pseudo_hu_text(bounds_hu: tuple[float, float]) -> str:
    """What pseudo-HU are, to stand behind `the data are` or `trained on`."""
    low, high = bounds_hu
    return (
        f"pseudo-HU rebuilt from 8-bit windows, range [{low:g}, {high:g}] HU: "
        "what lies outside is clipped, and values within are coarser than a scanner's"
    )


def record_lines(record: DatasetSources | None) -> list[str]:
    """What a user has to read of a record before anything else: terms, what to cite, pseudo-HU. None says nothing."""
    if record is None:
        return []
    lines = [f"source: {source_text(source)}" for source in record.sources]
    return lines if record.bounds_hu is None else [*lines, f"the data are {pseudo_hu_text(record.bounds_hu)}"]


def read_sources(root: Path) -> DatasetSources | None:
    """The record of a data set folder; None if it has none.

    Raises:
        ArtifactError: the file is damaged or of another version.
    """
    path = root / SOURCES
    if not path.exists():
        return None
    return read_model(path, DatasetSources, remedy="import the data set again, or delete the file to go without it")
