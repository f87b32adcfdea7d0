"""What every importer finds and every data set is written from.

A format's own module looks at names and tables alone and lists typed cases; `place.py` reads and writes one case, and
`hemoseg.pipeline.imports` drives it. Merging two data sets is one more way to list cases.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import readable
from hemoseg.datasets.index import CHANNEL
from hemoseg.datasets.sources import Source
from hemoseg.errors import InputError

Seen = tuple[tuple[str, ...] | None, ...]
"""Classes that the source reports on each slice, in the stored order; None where it says nothing."""
ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiScan:
    """A scan as one NIfTI file, perhaps with a mask."""

    image: Path
    """The scan."""
    mask: Path | None
    """Its label map; None if the source has none."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the scan."""
        return (self.image,) if self.mask is None else (self.image, self.mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedSlice:
    """One slice as two pictures; without both it is to be filled from its neighbors."""

    brain: Path | None
    """Picture in the brain window."""
    bone: Path | None
    """Picture in the bone window."""
    mask: Path | None
    """Picture of the mask; None if the source has none for this slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedScan:
    """A scan as windowed pictures, from the lowest slice up."""

    slices: tuple[WindowedSlice, ...]
    """The slices; the first and the last are whole."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the scan."""
        return tuple(file for part in self.slices for file in (part.brain, part.bone, part.mask) if file is not None)

    @property
    def mask(self) -> Path | None:
        """The first mask; None if no slice has one."""
        return next((part.mask for part in self.slices if part.mask is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCase:
    """One scan of a source, and all that is known of it before it is opened."""

    name: str
    """Name in the new data set."""
    patient: str
    """Whose scan it is."""
    scan: NiftiScan | WindowedScan
    """Its files."""
    numbers: tuple[tuple[int, int], ...]
    """(number in the source's mask, class number in the new data set); any other number is an error."""
    annotates: tuple[str, ...]
    """Classes that the mask marks wherever they are; see `CaseNotes`."""
    source: int = 0
    """Position in the set's sources."""
    seen: Seen | None = None
    """Slice-level reference; None if the source has none for this scan."""
    held_back: bool = False
    """Whether it belongs to the source's test part: imagesTs and labelsTs then, so that it is not trained on."""
    is_finished: bool = False
    """Whether the mask says itself which voxels nobody labeled, since it comes from a data set of ours."""
    ignored_slices: tuple[int, ...] = ()
    """Slices of a finished mask that are labeled `ignore` as a whole."""
    filled_slices: tuple[int, ...] = ()
    """Slices of a finished mask that were filled."""

    @property
    def is_trained_on(self) -> bool:
        """Whether it goes to imagesTr."""
        return self.scan.mask is not None and not self.held_back

    def image_path(self, ending: str) -> str:
        """Where the scan goes in the data set."""
        return f"{'imagesTr' if self.is_trained_on else 'imagesTs'}/{self.name}_0000{ending}"

    def label_path(self, ending: str) -> str | None:
        """Where the label map goes in the data set; None if there is no mask."""
        if self.scan.mask is None:
            return None
        return f"{'labelsTr' if self.is_trained_on else 'labelsTs'}/{self.name}{ending}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSet:
    """Everything that becomes one data set."""

    sources: tuple[Source, ...]
    """Where the cases come from."""
    classes: tuple[str, ...]
    """Foreground classes; the first has number 1."""
    ending: str
    """Ending of all image and label files: that of the source, so that files can be linked."""
    cases: tuple[SourceCase, ...]
    """The cases, names unique."""
    intensity: Literal["hu", "pseudo-hu"] = "hu"
    """See `DatasetSources`."""
    bounds_hu: tuple[float, float] | None = None
    """See `DatasetSources`. Scans that go beyond, true HU among pseudo-HU, are clipped to it."""
    warnings: tuple[str, ...] = ()
    """What is assumed or doubtful."""

    @property
    def ignore(self) -> int:
        """The number of voxels that nobody labeled: one beyond the last class, as nnU-Net v2 wants it."""
        return len(self.classes) + 1


class ImportRequest(BaseModel):
    """What the user asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    """Name of the format."""
    source: Path
    """Folder of the source."""
    masks: Path | None = None
    """Folder of the masks (`pairs`)."""
    labels: tuple[tuple[str, int], ...] = ()
    """(class, number in the masks) (`pairs`)."""
    license: str | None = None
    """Terms of the data, for formats that do not have published ones."""
    citation: str | None = None
    """What to cite, likewise."""
    fill_missing: bool = False
    """Whether missing slices are filled from their neighbors."""
    repair_frames: bool = False
    """Whether a mask of the image's shape takes its place in space from the image."""


Discover = Callable[[ImportRequest], SourceSet]
"""Lists the cases of a source. No image is opened."""


def nifti_files(folder: Path) -> dict[str, Path]:
    """{stem: path} of the NIfTI files of a folder, sorted by name; hidden files are left out.

    Raises:
        InputError: there is no such folder, or two files differ in their ending alone.
    """
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            where=folder,
            expected="a folder with NIfTI files",
            remedy="check SOURCE and FORMAT: the documentation shows each layout",
        )
    found: dict[str, Path] = {}
    with readable(folder):
        paths = sorted(folder.iterdir())
    for path in paths:
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
        if ending is None or path.name.startswith("."):
            continue
        stem = path.name.removesuffix(ending)
        if stem in found:
            raise _two_scans(found[stem], path)
        found[stem] = path
    return found


def scans_named(folder: Path) -> dict[str, Path]:
    """{case: path} of the scans of a folder; a channel number at the end of a file's name is no part of the case's.

    Raises:
        InputError: there is no such folder, or two files are the scan of one case.
    """
    found: dict[str, Path] = {}
    for stem, path in nifti_files(folder).items():
        other = found.setdefault(stem.removesuffix(CHANNEL), path)
        if other != path:
            raise _two_scans(other, path)
    return found


def common_ending(cases: tuple[SourceCase, ...]) -> str:
    """The ending of most images, so that most can be linked; of equals `.nii.gz`."""
    images = [case.scan.image for case in cases if isinstance(case.scan, NiftiScan)]
    plain = sum(not path.name.endswith(".gz") for path in images)
    return ".nii" if plain > len(images) - plain else ".nii.gz"


def check_names(cases: tuple[SourceCase, ...], *, where: Path) -> None:
    """Make sure that names can be file names and that no two cases share one.

    Raises:
        InputError: they do not.
    """
    names = [case.name for case in cases]
    doubles = sorted({name for name in names if names.count(name) > 1})
    strange = [name for name in names if not re.fullmatch(r"[\w.+-]+( [\w.+-]+)*", name)]
    if doubles or strange or not names:
        found = f"names {', '.join(map(repr, (doubles or strange)[:8]))}" if names else "no scans"
        raise InputError(
            found,
            where=where,
            expected="one scan or more, each with a name of its own made of letters, digits, and . _ - +",
            remedy="rename the files, or check SOURCE and FORMAT",
        )


def _two_scans(one: Path, other: Path) -> InputError:
    return InputError(
        f"{one.name} and {other.name}",
        where=one.parent,
        expected="one file per scan",
        remedy="remove one of the two",
    )
