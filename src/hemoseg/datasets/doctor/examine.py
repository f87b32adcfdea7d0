"""One case read once, and everything measured of it. This is what worker processes import."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemoseg.arrays import Integer, Real
from hemoseg.datasets.doctor.files import FileFacts, read_file
from hemoseg.datasets.doctor.image import ImageFacts, measure_image
from hemoseg.datasets.doctor.label import LabelFacts, measure_label
from hemoseg.datasets.doctor.stack import StackFacts, measure_stack
from hemoseg.datasets.doctor.survey import Entry
from hemoseg.errors import LabelError
from hemoseg.geometry import Grid, Orientation
from hemoseg.io.labels import whole_numbers
from hemoseg.io.scan import as_hu
from hemoseg.labels import LabelTable

AS_STORED = Orientation(axes=(0, 1, 2), flips=(False, False, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """One case to examine."""

    entry: Entry
    """Its files."""
    table: LabelTable | None
    """The data set's classes, if they are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """Everything measured of one case. A part is None where there is no such file, or it could not be read."""

    name: str
    """Its name."""
    patient: str
    """Whose scan it is."""
    image_file: FileFacts | None
    """The image's file."""
    label_file: FileFacts | None
    """The label's file."""
    image: ImageFacts | None
    """The image's numbers."""
    stack: StackFacts | None
    """The image's slices; None also if some numbers are not finite."""
    label: LabelFacts | None
    """The label map."""
    fractions: str = ""
    """Text on numbers of the label that are not whole; empty if all are."""

    @property
    def grid(self) -> Grid | None:
        """Where the image's voxels lie, if that is known."""
        return None if self.image_file is None else self.image_file.grid

    def stored(self, slices: tuple[int, ...]) -> tuple[int, ...]:
        """Numbers of slices as stored, of numbers that count from inferior to superior."""
        if self.grid is None:
            return slices
        orientation = self.grid.canonical_orientation()
        count = self.grid.shape[orientation.axes[0]]
        return tuple(count - 1 - k for k in slices) if orientation.flips[0] else slices


def examine_case(work: Examination) -> CaseFacts:
    """Read the files of a case and measure them; what is wrong with them is part of the result."""
    entry = work.entry
    image_file, hu = _read_image(entry.image)
    image = stack = label = None
    turn = AS_STORED
    if image_file is not None and image_file.grid is not None:
        turn = image_file.grid.canonical_orientation()
    if hu is not None:
        image = measure_image(hu)
        if not image.not_finite:
            stack = measure_stack(turn.apply(hu))
    label_file, labels, fractions = _read_label(entry.label)
    if labels is not None:
        fits = hu is not None and image is not None and not image.not_finite and hu.shape == labels.shape
        label = measure_label(labels, hu if fits else None, work.table, slice_axis=turn.axes[0])
    return CaseFacts(
        name=entry.name,
        patient=entry.patient,
        image_file=image_file,
        label_file=label_file,
        image=image,
        stack=stack,
        label=label,
        fractions=fractions,
    )


def _read_image(path: Path | None) -> tuple[FileFacts | None, Real[np.ndarray, "z y x"] | None]:
    if path is None:
        return None, None
    facts, header, array = read_file(path)
    return facts, None if header is None or array is None else as_hu(array, header)


def _read_label(path: Path | None) -> tuple[FileFacts | None, Integer[np.ndarray, "z y x"] | None, str]:
    """Facts and whole numbers of a label file, and what is wrong if they are not whole."""
    if path is None:
        return None, None, ""
    facts, header, array = read_file(path)
    if header is None or array is None:
        return facts, None, ""
    try:
        return facts, whole_numbers(array, header, where=path), ""
    except LabelError as error:
        return facts, None, error.found
