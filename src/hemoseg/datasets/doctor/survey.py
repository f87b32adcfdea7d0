"""What lies in a data set folder, whatever is wrong with it: `index_dataset` stops at the first problem."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemoseg.artifacts import readable
from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.index import (
    CHANNEL,
    DESCRIPTION,
    IMAGES,
    LABELS,
    PATIENTS,
    check_channels,
    list_files,
    match_patients,
    parse_description,
    parse_ending,
    parse_table,
    shorten,
)
from hemoseg.datasets.sources import DatasetSources, read_sources
from hemoseg.errors import ArtifactError, InputError
from hemoseg.labels import LabelTable

ENDINGS = (".nii.gz", ".nii")
"""What is looked for where dataset.json does not say it, the commoner first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What there is of one case."""

    name: str
    """Its name."""
    image: Path | None
    """The scan, if it is there."""
    label: Path | None
    """The label map, if it is there."""
    patient: str
    """Whose scan it is; the case's name where patients.csv does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A data set folder as it is."""

    root: Path
    """The folder."""
    table: LabelTable | None
    """Class names by number; None where dataset.json does not give them."""
    record: DatasetSources | None
    """What hemoseg.json says; None without one that can be read."""
    entries: tuple[Entry, ...]
    """Everything that looks like a case, in the order of names."""
    findings: tuple[Finding, ...]
    """What is wrong with the folder itself."""


def survey_dataset(root: Path) -> Survey:
    """Look at a data set folder without opening an image.

    Args:
        root: folder with imagesTr and labelsTr.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    with readable(root):
        return _survey(root)


def _survey(root: Path) -> Survey:
    if not root.is_dir():
        raise InputError(
            "no such folder",
            where=root,
            expected=f"an nnU-Net v2 raw folder: {DESCRIPTION}, {IMAGES}, {LABELS}",
            remedy="check the path",
        )
    findings: list[Finding] = []
    description = _description(root / DESCRIPTION, findings)
    table = _table(description, root / DESCRIPTION, findings)
    ending = _ending(description, root, findings)
    images, labels = (_files(root / folder, ending, findings) for folder in (IMAGES, LABELS))
    names = _names(images, labels, findings)
    complete = [name for name in names if name + CHANNEL in images and name in labels]
    if not complete:
        findings.append(Finding(code="no-cases", found=f"no case with an image and a label that end in {ending}"))
    elif "numTraining" in description and description["numTraining"] != len(complete):
        found = f"numTraining {description['numTraining']}, but {len(complete)} cases with image and label"
        findings.append(Finding(code="case-count", found=found))
    patients = _patients(root / PATIENTS, complete, findings)
    record = _record(root, findings)
    entries = tuple(
        Entry(name=n, image=images.get(n + CHANNEL), label=labels.get(n), patient=patients.get(n, n)) for n in names
    )
    return Survey(root=root, table=table, record=record, entries=entries, findings=tuple(findings))


def _description(path: Path, findings: list[Finding]) -> dict[str, Any]:
    """The object of dataset.json, or an empty one."""
    if not path.exists():
        findings.append(Finding(code="no-description", found=f"no {DESCRIPTION} in {path.parent.name}"))
        return {}
    try:
        with readable(path):
            return parse_description(path.read_bytes(), where=path)
    except InputError as error:
        findings.append(Finding(code="description", found=error.found))
    return {}


def _table(description: dict[str, Any], path: Path, findings: list[Finding]) -> LabelTable | None:
    if not description:
        return None
    try:
        check_channels(description, where=path)
    except InputError as error:
        findings.append(Finding(code="channels", found=error.found))
    try:
        return parse_table(description, where=path)
    except InputError as error:
        findings.append(Finding(code="label-table", found=error.found))
    return None


def _ending(description: dict[str, Any], root: Path, findings: list[Finding]) -> str:
    """The ending that dataset.json gives; else that of the labels there are."""
    if description:
        try:
            return parse_ending(description, where=root / DESCRIPTION)
        except InputError as error:
            findings.append(Finding(code="file-ending", found=error.found))
    return next((ending for ending in ENDINGS if any((root / LABELS).glob(f"*{ending}"))), ENDINGS[0])


def _files(folder: Path, ending: str, findings: list[Finding]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = list_files(folder, ending)
    others = [p.name for p in folder.iterdir() if p not in set(files.values()) and not p.name.startswith(".")]
    if others:
        found = f"{len(others)} files in {folder.name} do not end in {ending}: {shorten(sorted(others))}"
        findings.append(Finding(code="surplus-file", found=found))
    return files


def _names(images: dict[str, Path], labels: dict[str, Path], findings: list[Finding]) -> list[str]:
    """Names of all cases of which there is something."""
    strange = [name for name in images if not name.endswith(CHANNEL)]
    if strange:
        found = f"{len(strange)} images whose name does not end in {CHANNEL}: {shorten(strange)}"
        findings.append(Finding(code="image-name", found=found))
    pictured = {name.removesuffix(CHANNEL) for name in images if name.endswith(CHANNEL)}
    for code, missing in (("label-missing", pictured - set(labels)), ("image-missing", set(labels) - pictured)):
        for name in sorted(missing):
            what = "image without a label" if code == "label-missing" else "label without an image"
            findings.append(Finding(code=code, cases=(name,), found=what))
    return sorted(pictured | set(labels))


def _patients(path: Path, names: list[str], findings: list[Finding]) -> dict[str, str]:
    try:
        with readable(path):
            return match_patients(path, names)
    except InputError as error:
        findings.append(Finding(code="patients", found=error.found))
    return {}


def _record(root: Path, findings: list[Finding]) -> DatasetSources | None:
    try:
        return read_sources(root)
    except ArtifactError as error:
        findings.append(Finding(code="record", found=error.found))
    return None
