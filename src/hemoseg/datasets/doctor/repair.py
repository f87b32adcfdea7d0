"""The repairs that are certain. Files are written anew where one is due; the data set itself is never touched."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemoseg.anatomy import AIR_HU
from hemoseg.arrays import Real
from hemoseg.datasets.doctor.files import FileFacts, read_file
from hemoseg.datasets.doctor.judge_label import MASK
from hemoseg.datasets.doctor.kinds import KINDS
from hemoseg.datasets.doctor.result import Repair
from hemoseg.datasets.doctor.survey import Entry
from hemoseg.errors import LabelError
from hemoseg.geometry import Volume, uniform_slices
from hemoseg.io import write_labels, write_scan
from hemoseg.io.frame import read_grid
from hemoseg.io.header import header_fields
from hemoseg.io.labels import whole_numbers
from hemoseg.io.scan import as_hu
from hemoseg.labels import LabelTable
from hemoseg.types import IntZYX

UNIT_CODES = frozenset({"unit-wrong", "unit-not-mm"})
HEADER_CODES = UNIT_CODES | {"extra-axis"}
IMAGE_CODES = HEADER_CODES | {"padding"}
LABEL_CODES = HEADER_CODES | {"frame-rounding", "label-255", "label-float"}
_MILLIMETERS = 2
"""Code of the unit in a header's xyzt_units; time shares the byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """One case to repair."""

    entry: Entry
    """Its files."""
    codes: frozenset[str]
    """Codes of its findings."""
    table: LabelTable | None
    """The data set's classes, if they are known."""
    image: Path
    """Where its image belongs in the new data set."""
    label: Path
    """Where its label belongs."""


def mend_case(work: Mending) -> tuple[Repair, ...]:
    """Write the files of a case that can be repaired, and tell what was done; others are left to be linked."""
    done: list[Repair] = []
    frame = b""
    if work.entry.image is not None and work.codes & (IMAGE_CODES | {"frame-rounding"}):
        facts, header, array = read_file(work.entry.image)
        if header is not None and array is not None:
            frame = mended_header(facts)
            done += _mend_image(work, facts, as_hu(array, header), frame)
    if work.entry.label is not None and work.codes & LABEL_CODES:
        done += _mend_label(work, work.entry.label, frame)
    return tuple(done)


def mend_description(text: bytes, count: int) -> bytes:
    """dataset.json with the true number of cases; all else as it was."""
    description = json.loads(text)
    description["numTraining"] = count
    return (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode()


def mended_header(facts: FileFacts) -> bytes:
    """A header in millimeters with three axes."""
    raw = bytearray(facts.header)
    fields = np.frombuffer(raw, dtype=header_fields(facts.header)[0].dtype)
    if set(_due_in_header(facts)) & UNIT_CODES:
        for name in ("srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z"):
            fields[name] *= facts.factor_mm
        fields["pixdim"][:, 1:4] *= facts.factor_mm
        fields["xyzt_units"] = (fields["xyzt_units"] & ~np.array(7, fields["xyzt_units"].dtype)) | _MILLIMETERS
    if facts.extra_axes:
        fields["dim"][:, 0] = 3
    return bytes(raw)


def _mend_image(work: Mending, facts: FileFacts, hu: Real[np.ndarray, "z y x"], raw: bytes) -> list[Repair]:
    due = _due_in_header(facts)
    if "padding" in work.codes:
        due.append("padding")
        hu = np.maximum(hu, np.asarray(AIR_HU, dtype=hu.dtype))
    if due:
        grid, _ = read_grid(header_fields(raw)[0], _shape(facts), where=work.image)
        volume = Volume(
            hu=hu.astype(np.float32, copy=False),
            grid=grid,
            slices=uniform_slices(grid),
            name=work.entry.name,
            nifti_header=raw,
        )
        write_scan(work.image, volume)
    return [Repair(case=work.entry.name, code=code, done=f"image: {KINDS[code].repair}") for code in due]


def _mend_label(work: Mending, path: Path, frame: bytes) -> list[Repair]:
    """Write a repaired label.

    Args:
        work: the case.
        path: its label.
        frame: the image's header after its repair; empty if it was not read.
    """
    facts, header, array = read_file(path)
    if header is None or array is None:
        return []
    try:
        labels = whole_numbers(array, header, where=path)
    except LabelError:
        return []
    due, raw = _due_in_header(facts), mended_header(facts)
    if "frame-rounding" in work.codes and frame:
        due.append("frame-rounding")
        raw = frame
    if "label-255" in work.codes and work.table is not None and work.table.largest == 1:
        due.append("label-255")
        labels = (labels == MASK).astype(np.uint8)
    if "label-float" in work.codes and labels.min() >= 0 and labels.max() <= MASK:
        due.append("label-float")
    if due:
        grid, _ = read_grid(header_fields(raw)[0], _shape(facts), where=work.label)
        write_labels(work.label, labels.astype(np.uint8), grid, raw)
    return [Repair(case=work.entry.name, code=code, done=f"label: {KINDS[code].repair}") for code in due]


def _due_in_header(facts: FileFacts) -> list[str]:
    """Codes of what is to be repaired in a file's header."""
    due = []
    if facts.problem is not None and facts.problem[0] in HEADER_CODES:
        due.append(facts.problem[0])
    if facts.frame is not None and facts.frame.unit:
        due.append("unit-not-mm")
    if facts.extra_axes:
        due.append("extra-axis")
    return due


def _shape(facts: FileFacts) -> IntZYX:
    z, y, x = facts.shape
    return z, y, x
