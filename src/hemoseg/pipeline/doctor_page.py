"""The page of a check: its table, and pictures of flagged slices."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hemoseg.artifacts import write_text
from hemoseg.datasets.doctor import CheckResult, Entry, Instance, Row
from hemoseg.datasets.doctor.files import read_file
from hemoseg.errors import LabelError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io.labels import whole_numbers
from hemoseg.io.scan import as_hu
from hemoseg.labels import LabelTable
from hemoseg.pipeline.doctor import Checkup
from hemoseg.pipeline.watch import Watch
from hemoseg.report import BRAIN_WINDOW, montage_png, render
from hemoseg.types import LabelMap

SHOWN = frozenset(
    {
        *("offset", "wraparound", "not-hu", "zero-fill", "coarse-values", "brain-hu", "field-changes"),
        *("slices-reversed", "rows-reversed", "slices-shuffled", "slice-repeated", "slice-blank"),
        *("label-values", "label-in-air", "label-in-bone", "label-in-padding", "label-islands", "label-mirrored"),
        *("duplicate", "near-duplicate"),
    }
)
"""Kinds that a picture helps to judge."""
UNSCALED = frozenset({"offset", "wraparound", "not-hu"})
"""Kinds whose numbers are no HU: shown from the darkest to the brightest."""
WHOLE = frozenset({"slices-reversed", "rows-reversed", "zero-fill", "duplicate", "near-duplicate"})
"""Kinds that show in the head as a whole: slices are spread over it, labeled or not."""
MOST_INSTANCES = 3
"""Places of one kind that are shown."""
MOST_SLICES = 4
"""Slices of one case that are shown."""


def write_page(path: Path, checkup: Checkup, result: CheckResult, watch: Watch) -> None:
    """Write the page of a check, with everything in it.

    Args:
        path: file to write.
        checkup: the data set.
        result: what was found and repaired.
        watch: told of the progress.

    Raises:
        ResourceError: the file cannot be written.
    """
    rows = [row for row in result.rows if row.code in SHOWN]
    watch.begin("pictures", len(rows))
    pictures: dict[str, list[tuple[str, bytes]]] = {}
    for number, row in enumerate(rows, start=1):
        pictures[row.code] = list(_pictures(row, checkup))
        watch.advance(number, row.code)
    page = render(
        "check.html.j2",
        research_use_only=result.research_use_only,
        result=result,
        pictures={code: found for code, found in pictures.items() if found},
    )
    write_text(path, page)


def _pictures(row: Row, checkup: Checkup) -> Iterator[tuple[str, bytes]]:
    """Caption and picture of the first places of a kind."""
    entries = {entry.name: entry for entry in checkup.survey.entries}
    for instance in row.instances[:MOST_INSTANCES]:
        for name in instance.cases[:2]:
            png = _picture(row.code, instance, entries[name], checkup.survey.table)
            if png is not None:
                yield f"{name}: {instance.found}", png


def _picture(code: str, instance: Instance, entry: Entry, table: LabelTable | None) -> bytes | None:
    """Flagged slices of a case, or some of its head; None if it cannot be shown."""
    if entry.image is None:
        return None
    facts, header, array = read_file(entry.image)
    if facts.grid is None or header is None or array is None:
        return None
    hu = np.nan_to_num(as_hu(array, header).astype(np.float32, copy=False), nan=0.0)
    volume = Volume(hu=hu, grid=facts.grid, slices=uniform_slices(facts.grid), name=entry.name)
    window = BRAIN_WINDOW
    if code in UNSCALED and hu.min() < hu.max():
        window = ("whole range", float(hu.min()), float(hu.max()))
    labels = _labels(None if code in WHOLE else entry.label, facts.grid)
    slices = instance.slices[:MOST_SLICES]
    png: bytes = montage_png(volume, labels, table=table, window=window, max_slices=MOST_SLICES, slices=slices)
    return png


def _labels(path: Path | None, grid: Grid) -> LabelMap:
    """The label map as far as it can be drawn over the image."""
    nothing = np.zeros(grid.shape, dtype=np.uint8)
    if path is None:
        return nothing
    _, header, array = read_file(path)
    if header is None or array is None or array.shape != grid.shape:
        return nothing
    try:
        labels = whole_numbers(array, header, where=path)
    except LabelError:
        return nothing
    return np.asarray(np.clip(labels, 0, 255), dtype=np.uint8)
