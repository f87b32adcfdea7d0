"""The slices of a contact sheet: which ones, cut to the head, as a radiologist looks at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from hemoseg.anatomy import head_box
from hemoseg.arrays import Int
from hemoseg.errors import GeometryError
from hemoseg.geometry import Grid, Volume
from hemoseg.types import HU, LabelMap

MARGIN_MM = 8.0
"""Shown around the head: its box ends at the skull, the scalp lies outside."""
SEARCH_MM = 1.5
"""The head is sought on every n-th pixel, about this far apart: a picture needs no finer box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxialView:
    """A scan in canonical orientation: row 0 is anterior, column 0 the patient's right."""

    hu: HU
    """Intensities in HU, axes (z, y, x), cut in plane to the head and everything labeled."""
    labels: LabelMap
    """Class numbers, cut alike."""
    reference: LabelMap | None
    """Class numbers of the reference, cut alike."""
    pixel_mm: tuple[float, float]
    """Distance between rows and between columns."""
    head: tuple[int, int]
    """First slice of the head and the one after its last."""
    captions: tuple[str, ...]
    """One per slice."""
    runs_down: bool
    """Whether slices are stored from superior to inferior."""

    def find(self, stored: Sequence[int]) -> list[int]:
        """Slices by the numbers that they have as stored, in the order of the view."""
        return sorted(len(self.hu) - 1 - k if self.runs_down else k for k in stored)

    def choose(self, most: int) -> list[int]:
        """Slices to show: the labeled ones and one on either side, or evenly over the head if there are none."""
        shown = self.labels if self.reference is None else self.labels | self.reference
        labeled = [int(index) for index in np.flatnonzero(shown.any(axis=(1, 2)))]
        if not labeled:
            first, end = self.head
            count = min(most, end - first)
            return [first + int((part + 0.5) * (end - first) / count) for part in range(count)]
        beside = [i for i in (labeled[0] - 1, labeled[-1] + 1) if 0 <= i < len(shown)]
        return sorted([*thin(labeled, most - len(beside)), *beside])


def view_axially(volume: Volume, labels: LabelMap, reference: LabelMap | None) -> AxialView:
    """Turn a scan of any axis order to axial slices and cut them to the head.

    Args:
        volume: the scan.
        labels: class numbers, axes (z, y, x) as `volume.hu`.
        reference: the same of the reference; None if there is none.

    Raises:
        GeometryError: a label map of another shape than the scan.
    """
    for found in (labels, reference):
        if found is not None and found.shape != volume.hu.shape:
            raise GeometryError(
                f"label map of shape {found.shape}",
                where=volume.name,
                expected=f"the shape of the scan, {volume.hu.shape}",
                remedy="pass labels on the scan's own grid",
            )
    orientation = volume.grid.canonical_orientation()
    grid = volume.grid.reoriented(orientation)
    hu = orientation.apply(volume.hu)
    turned = [orientation.apply(item) for item in (labels, reference) if item is not None]
    heads, rows, columns = _head(hu, grid)
    for item in turned:
        rows = _cover(rows, np.flatnonzero(item.any(axis=(0, 2))))
        columns = _cover(columns, np.flatnonzero(item.any(axis=(0, 1))))
    cut = (slice(None), rows, columns)
    return AxialView(
        hu=hu[cut],
        labels=turned[0][cut],
        reference=turned[1][cut] if reference is not None else None,
        pixel_mm=(grid.spacing_mm[1], grid.spacing_mm[2]),
        head=(heads.start, heads.stop),
        captions=tuple(_caption(volume.grid, grid, index) for index in range(grid.shape[0])),
        runs_down=orientation.flips[0],
    )


def is_stored_axially(grid: Grid) -> bool:
    """Whether the slices of the file are the axial ones, so that their stored numbers can be shown."""
    return grid.canonical_orientation().axes[0] == 0


def thin(indices: Sequence[int], most: int) -> list[int]:
    """At most `most` of the indices, evenly spread, with the first and the last.

    Example:
        >>> thin(range(10), 4)
        [0, 3, 6, 9]
    """
    if len(indices) <= most:
        return list(indices)
    return [indices[round(at)] for at in np.linspace(0, len(indices) - 1, most)]


def _head(hu: HU, grid: Grid) -> tuple[slice, slice, slice]:
    """The head's box along canonical (z, y, x), with a margin in plane."""
    steps = [max(1, round(SEARCH_MM / spacing)) for spacing in grid.spacing_mm[1:]]
    # a contiguous copy: the opening of a strided view is several times slower
    box = head_box(np.ascontiguousarray(hu[:, :: steps[0], :: steps[1]]))
    sides = []
    for part, step, size, spacing in zip(box[1:], steps, hu.shape[1:], grid.spacing_mm[1:], strict=True):
        margin = ceil(MARGIN_MM / spacing)
        sides.append(slice(max(0, part.start * step - margin), min(size, part.stop * step + margin)))
    return box[0], sides[0], sides[1]


def _cover(part: slice, labeled: Int[np.ndarray, " n"]) -> slice:
    """The part, grown to hold every labeled index."""
    if labeled.size == 0:
        return part
    return slice(min(part.start, int(labeled[0])), max(part.stop, int(labeled[-1]) + 1))


def _caption(stored: Grid, turned: Grid, index: int) -> str:
    """`slice 12` as stored, or the height in mm where the file's slices are not axial."""
    orientation = stored.canonical_orientation()
    if orientation.axes[0] == 0:
        return f"slice {turned.shape[0] - 1 - index if orientation.flips[0] else index}"
    middle = (float(index), (turned.shape[1] - 1) / 2, (turned.shape[2] - 1) / 2)
    return f"z {turned.world(middle)[2]:.1f} mm"
