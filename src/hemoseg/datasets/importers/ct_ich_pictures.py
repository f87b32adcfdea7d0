"""PhysioNet CT-ICH 1.0 to 1.2: pictures in two windows.

    SOURCE/
      Patients_CT/NNN/brain/k.jpg           window level 40, width 120
      Patients_CT/NNN/bone/k.jpg            window level 700, width 3200
      Patients_CT/NNN/brain/k_HGE_Seg.jpg   mask; slices without one have no file
      hemorrhage_diagnosis.csv

Some slices are missing. Whether they are filled is the user's decision, since no one can know what they showed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hemoseg.datasets.importers.classes import HEMORRHAGE, annotated, numbering
from hemoseg.datasets.importers.core import (
    ImportRequest,
    SourceCase,
    SourceSet,
    WindowedScan,
    WindowedSlice,
    check_names,
)
from hemoseg.datasets.importers.pictures import BOUNDS_HU
from hemoseg.datasets.importers.published import CT_ICH_PICTURES, NOMINAL_SPACING_MM
from hemoseg.datasets.importers.slice_table import SliceTable
from hemoseg.datasets.index import shorten
from hemoseg.errors import InputError

PICTURES = "Patients_CT"
PREFIX = "ctich_"
"""Begins names of cases and patients, whose numbers other data sets have too."""
ASSUMED = (
    "pictures are taken to show the head from below: front at the top, the patient's right on the left, slice 1 lowest",
    f"spacing is nominal, {' x '.join(map(str, NOMINAL_SPACING_MM))} mm (z, y, x): the pictures do not tell it, and "
    "milliliters are nominal too",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    """One patient's pictures by slice number."""

    number: int
    brain: dict[int, Path]
    bone: dict[int, Path]
    masks: dict[int, Path]
    listed: frozenset[int]
    """Slice numbers in the table."""

    @property
    def whole(self) -> set[int]:
        """Slices with a picture in both windows."""
        return self.brain.keys() & self.bone.keys()

    @property
    def missing(self) -> list[int]:
        """Slices that are known of and not whole."""
        known = self.brain.keys() | self.bone.keys() | self.listed
        return sorted(set(range(1, max(known) + 1)) - self.whole)

    @property
    def kept(self) -> range:
        """From the first whole slice to the last: beyond there is nothing to fill from."""
        return range(min(self.whole), max(self.whole) + 1)


def discover_ct_ich_pictures(request: ImportRequest, table: SliceTable) -> SourceSet:
    """One case per patient. Those without any mask serve detection alone.

    Raises:
        InputError: a file of an unknown name, or missing slices that are not to be filled.
    """
    folder = request.source / PICTURES
    patients = [_patient(path, table) for path in sorted(folder.iterdir()) if path.is_dir()]
    broken = [patient for patient in patients if patient.missing]
    if broken and not request.fill_missing:
        raise _missing(broken, folder)
    classes = (HEMORRHAGE,)
    cases = tuple(
        _case(patient, table, numbering({1: HEMORRHAGE}, classes), annotated(classes)) for patient in patients
    )
    check_names(cases, where=folder)
    return SourceSet(
        sources=(CT_ICH_PICTURES,),
        classes=classes,
        ending=".nii.gz",
        cases=cases,
        intensity="pseudo-hu",
        bounds_hu=BOUNDS_HU,
        warnings=(*ASSUMED, *table.warnings, *_doubts(patients, table)),
    )


def _patient(folder: Path, table: SliceTable) -> _Patient:
    number = int(folder.name) if folder.name.isdecimal() else -1
    brain, bone = _pictures(folder / "brain"), _pictures(folder / "bone")
    if number < 0 or not brain.keys() & bone.keys():
        raise _strange("no patient: no number, or no slice in both windows", folder)
    return _Patient(
        number=number,
        brain=brain,
        bone=bone,
        masks=_pictures(folder / "brain", ending="_HGE_Seg"),
        listed=frozenset(table.seen.get(number, ())),
    )


def _pictures(folder: Path, *, ending: str = "") -> dict[int, Path]:
    """{slice number: path} of the pictures whose name is the number and an ending."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in (".jpg", ".jpeg") or path.name.startswith("."):
            continue
        name = re.fullmatch(r"(\d+)((?:_HGE_Seg)?)", path.stem)
        if name is None or int(name[1]) < 1:
            raise _strange("a picture of unknown meaning", path)
        if name[2] == ending:
            found[int(name[1])] = path
    return found


def _case(
    patient: _Patient, table: SliceTable, numbers: tuple[tuple[int, int], ...], annotates: tuple[str, ...]
) -> SourceCase:
    slices, name = [], f"{PREFIX}{patient.number:03d}"
    seen = table.of(patient.number, patient.kept)
    for number in patient.kept:
        whole = number in patient.whole
        slices.append(
            WindowedSlice(
                brain=patient.brain[number] if whole else None,
                bone=patient.bone[number] if whole else None,
                mask=patient.masks.get(number) if whole else None,
            )
        )
    if seen is not None:  # what was seen on a slice that is not there says nothing about one that was filled
        seen = tuple(kinds if part.brain is not None else None for kinds, part in zip(seen, slices, strict=True))
    scan = WindowedScan(slices=tuple(slices))
    return SourceCase(name=name, patient=name, scan=scan, numbers=numbers, annotates=annotates, seen=seen)


def _doubts(patients: list[_Patient], table: SliceTable) -> Iterable[str]:
    for patient in patients:
        outside = [number for number in patient.missing if number not in patient.kept]
        inside = [number for number in patient.missing if number in patient.kept]
        if outside:
            yield f"{_named(patient)}: slices {_list(outside)} at an end are missing and left out: nothing to fill from"
        if inside:
            yield f"{_named(patient)}: slices {_list(inside)} are missing, filled from their neighbors and ignored"
    numbers = {patient.number for patient in patients}
    absent = [str(number) for number in sorted(table.seen.keys() - numbers)]
    unseen = [str(number) for number in sorted(numbers - table.seen.keys())]
    if absent:
        yield f"the table has {len(absent)} patients without pictures: {shorten(absent)}"
    if unseen:
        yield f"the table has no row of {len(unseen)} patients: {shorten(unseen)}"


def _missing(patients: list[_Patient], folder: Path) -> InputError:
    texts = [f"{patient.number:03d}: {_list(patient.missing)}" for patient in patients]
    count = sum(len(patient.missing) for patient in patients)
    return InputError(
        f"{count} slices of {len(patients)} patients are missing ({'; '.join(texts)})",
        where=folder,
        expected="every slice from 1 on in both windows",
        remedy="complete the download, or pass --fill-missing: such slices are made from their neighbors, labeled "
        "`ignore` and recorded; at an end of the scan they are left out",
    )


def _named(patient: _Patient) -> str:
    return f"{PREFIX}{patient.number:03d}"


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _strange(found: str, path: Path) -> InputError:
    return InputError(
        found,
        where=path,
        expected=f"{PICTURES}/NNN/brain/k.jpg, its mask brain/k_HGE_Seg.jpg, and {PICTURES}/NNN/bone/k.jpg, k from 1",
        remedy="move away what does not belong to the data set",
    )
