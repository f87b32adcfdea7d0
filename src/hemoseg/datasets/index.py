"""What lies in an nnU-Net v2 raw folder. No image is opened here.

    DATASET/
      dataset.json                channel_names, labels, numTraining, file_ending
      imagesTr/CASE_0000.nii.gz   one channel per case
      labelsTr/CASE.nii.gz
      patients.csv                optional: case,patient
      hemoseg.json                optional: where the data come from, see `sources.py`

Source: nnU-Net v2, documentation/dataset_format.md.
"""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemoseg.artifacts import readable
from hemoseg.datasets.sources import SOURCES, DatasetSources, read_sources
from hemoseg.errors import InputError
from hemoseg.labels import LabelTable

DESCRIPTION = "dataset.json"
IMAGES = "imagesTr"
LABELS = "labelsTr"
PARTS = (IMAGES, LABELS, "imagesTs", "labelsTs")
"""Folders of a data set."""
PATIENTS = "patients.csv"
CHANNEL = "_0000"
"""What nnU-Net appends to the case name of the first and, here, only channel."""
MANUAL = "see the nnU-Net v2 data set format"

_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One image with its labels."""

    name: str
    """Name of the case: the label's file name without its ending."""
    image: Path
    """The scan."""
    label: Path
    """The reference label map."""
    patient: str
    """Whose scan it is; cases of one patient stay in one fold."""
    pseudo_hu: tuple[float, float] | None = None
    """Bounds of HU that were rebuilt from windowed pictures; None for true HU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The cases of one folder."""

    root: Path
    """The folder."""
    name: str
    """Its name."""
    channel_names: tuple[str, ...]
    """Names of the image channels, by number."""
    file_ending: str
    """Ending of the image and label files."""
    table: LabelTable
    """Class names by number."""
    cases: tuple[Case, ...]
    """The cases in the order of their names."""
    digest: str
    """SHA-256 over dataset.json, hemoseg.json and each case's name, patient and file sizes: tells data sets apart
    fast."""
    sources: DatasetSources | None = None
    """What hemoseg.json says; None where it is absent."""


def index_dataset(root: Path) -> Dataset:
    """The cases of an nnU-Net v2 raw folder.

    Args:
        root: folder with dataset.json, imagesTr and labelsTr.

    Raises:
        InputError: something is absent, surplus, cannot be read, or is of a kind that is not supported.
        LabelError: the label table has gaps, or regions without an order to paint them in.
        ArtifactError: hemoseg.json is damaged or of another version.
    """
    with readable(root):
        return _index(root)


def _index(root: Path) -> Dataset:
    path = root / DESCRIPTION
    if not path.exists():
        raise InputError(
            f"no {DESCRIPTION}" if root.is_dir() else "no such folder",
            where=root,
            expected=f"an nnU-Net v2 raw folder: {DESCRIPTION}, {IMAGES}, {LABELS}",
            remedy="check the path, or write the file: " + MANUAL,
        )
    text = path.read_bytes()
    description = parse_description(text, where=path)
    check_channels(description, where=path)
    table, ending = parse_table(description, where=path), parse_ending(description, where=path)
    images = list_files(root / IMAGES, ending)
    labels = list_files(root / LABELS, ending)
    names = _pair(images, labels, root=root)
    _check_count(description.get("numTraining"), len(names), where=path)
    patients = match_patients(root / PATIENTS, names)
    sources = _sources(root, names, table)
    cases = tuple(
        Case(
            name=name,
            image=images[name + CHANNEL],
            label=labels[name],
            patient=patients[name],
            pseudo_hu=None if sources is None else sources.bounds_hu,
        )
        for name in names
    )
    return Dataset(
        root=root,
        name=root.resolve().name,
        channel_names=tuple(str(name) for name in description["channel_names"].values()),
        file_ending=ending,
        table=table,
        cases=cases,
        digest=_digest(text if sources is None else text + (root / SOURCES).read_bytes(), cases),
        sources=sources,
    )


def parse_description(text: bytes, *, where: Path) -> dict[str, Any]:
    """The object of dataset.json.

    Raises:
        InputError: the text is no JSON object with all its keys.
    """
    keys = ("channel_names", "labels", "numTraining", "file_ending")
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"no JSON ({error})", where=where, expected="a JSON object", remedy=f"mend the file: {MANUAL}"
        ) from error
    absent = [key for key in keys if not (isinstance(description, dict) and key in description)]
    if absent:
        raise InputError(
            f"no {', '.join(absent)}",
            where=where,
            expected=f"a JSON object with {', '.join(keys)}",
            remedy=f"add what is absent: {MANUAL}",
        )
    result: dict[str, Any] = description
    return result


def check_channels(description: dict[str, Any], *, where: Path) -> None:
    """Make sure that there is one channel.

    Raises:
        InputError: there are more or none.
    """
    channels = description["channel_names"]
    if not isinstance(channels, dict) or len(channels) != 1:
        raise InputError(
            f"channel_names {channels}",
            where=where,
            expected='one channel, {"0": "CT"}: hemoseg segments non-contrast CT',
            remedy="keep the CT channel alone",
        )


def parse_table(description: dict[str, Any], *, where: Path) -> LabelTable:
    """The classes of dataset.json.

    Raises:
        InputError: `labels` is no table.
        LabelError: it has gaps, or regions without an order to paint them in.
    """
    labels = description["labels"]
    if not isinstance(labels, dict):
        raise InputError(
            f"labels {labels}",
            where=where,
            expected='a table like {"background": 0, "hemorrhage": 1}',
            remedy=f"correct the entry: {MANUAL}",
        )
    return LabelTable.from_mapping(labels, where=str(where), order=description.get("regions_class_order", []))


def parse_ending(description: dict[str, Any], *, where: Path) -> str:
    """The ending of image and label files.

    Raises:
        InputError: it is not that of NIfTI.
    """
    ending = description["file_ending"]
    if ending not in (".nii.gz", ".nii"):
        raise InputError(
            f"file_ending {ending!r}",
            where=where,
            expected=".nii.gz or .nii",
            remedy="convert images and labels to NIfTI",
        )
    return str(ending)


def list_files(folder: Path, ending: str) -> dict[str, Path]:
    """{file name without ending: path}, sorted by name; hidden files and other endings are left out.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            where=folder,
            expected=f"an nnU-Net v2 raw folder: {DESCRIPTION}, {IMAGES}, {LABELS}",
            remedy="check the path; labels of one case lie in labelsTr/CASE" + ending,
        )
    return {
        path.name.removesuffix(ending): path
        for path in sorted(folder.iterdir())
        if path.name.endswith(ending) and not path.name.startswith(".")
    }


def _pair(images: dict[str, Path], labels: dict[str, Path], *, root: Path) -> list[str]:
    """Case names, each with exactly one image and one label."""
    strange = [name for name in images if not name.endswith(CHANNEL)]
    names = [name.removesuffix(CHANNEL) for name in images if name.endswith(CHANNEL)]
    problems = (
        (strange, f"images whose name does not end in {CHANNEL}", IMAGES, "one channel per case"),
        ([n for n in names if n not in labels], "images without a label", LABELS, "a label for every image"),
        (
            [n for n in labels if n not in set(names)],
            "labels without an image",
            LABELS,
            "one image per label",
        ),
    )
    for found, what, folder, rule in problems:
        if found:
            raise InputError(
                f"{len(found)} {what}: {shorten(found)}",
                where=root / folder,
                expected=f"{rule}: {IMAGES}/CASE{CHANNEL} and {LABELS}/CASE, same file ending",
                remedy="add or rename the missing files, or move the others out of the folder",
            )
    if not names:
        raise InputError(
            "no cases",
            where=root / IMAGES,
            expected="one file or more with the file_ending of dataset.json",
            remedy="check file_ending and the folder",
        )
    return sorted(names)


def _check_count(promised: object, count: int, *, where: Path) -> None:
    if promised != count:
        raise InputError(
            f"numTraining {promised}, but {count} cases in {IMAGES}",
            where=where,
            expected="as many cases as numTraining says",
            remedy="find the missing cases, or correct numTraining",
        )


def read_patients(path: Path) -> dict[str, str]:
    """{case: patient} of a patients.csv.

    Raises:
        InputError: the file is no CSV, or names a case twice.
        OSError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = [(row.get("case") or "", row.get("patient") or "") for row in csv.DictReader(handle)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad_patients(f"no CSV ({error})", path) from error
    patients = {case.strip(): patient.strip() for case, patient in rows}
    if len(patients) != len(rows) and any(patients.values()):
        raise _bad_patients(f"{len(rows)} rows for {len(patients)} cases", path)
    return {case: patient for case, patient in patients.items() if case and patient}


def match_patients(path: Path, names: list[str]) -> dict[str, str]:
    """{case: patient} of patients.csv; without the file every case is a patient of its own.

    Raises:
        InputError: the file does not name one patient for each case, and no others.
        OSError: it cannot be read.
    """
    if not path.exists():
        return {name: name for name in names}
    patients = read_patients(path)
    absent = [name for name in names if name not in patients]
    if absent:
        raise _bad_patients(f"no patient for {len(absent)} cases: {shorten(absent)}", path)
    surplus = sorted(set(patients) - set(names))
    if surplus:
        raise _bad_patients(f"{len(surplus)} cases that are not in {IMAGES}: {shorten(surplus)}", path)
    return patients


def _sources(root: Path, names: list[str], table: LabelTable) -> DatasetSources | None:
    """The record of the data set, which has to fit the cases; None without one."""
    sources = read_sources(root)
    if sources is None:
        return None
    surplus = sorted(set(sources.cases) - set(names))
    ignored = sorted(name for name, case in sources.cases.items() if case.ignored_slices)
    problems = (
        (surplus, f"cases that are not in {IMAGES}"),
        ([] if table.ignore is not None else ignored, f"cases with ignored slices, but no ignore in {DESCRIPTION}"),
    )
    for found, what in problems:
        if found:
            raise InputError(
                f"{len(found)} {what}: {shorten(found)}",
                where=root / SOURCES,
                expected=f"notes on the cases of {IMAGES} that agree with {DESCRIPTION}",
                remedy="import the data set again, or correct the file",
            )
    return sources


def _bad_patients(found: str, path: Path) -> InputError:
    return InputError(
        found,
        where=path,
        expected="columns case,patient and one row per case",
        remedy="correct the file, or remove it if every case is a patient of its own",
    )


def shorten(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _digest(text: bytes, cases: tuple[Case, ...]) -> str:
    digest = hashlib.sha256(text)
    for case in cases:
        sizes = [case.image.stat().st_size, case.label.stat().st_size]
        digest.update(json.dumps([case.name, case.patient, *sizes]).encode())
    return digest.hexdigest()
