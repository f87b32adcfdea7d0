"""nnU-Net v1 Task folders, and those of the Medical Segmentation Decathlon.

    SOURCE/
      dataset.json               name, modality, labels, training, test; perhaps license and reference
      imagesTr/NAME_0000.nii.gz  or NAME.nii.gz
      labelsTr/NAME.nii.gz
      imagesTs/NAME_0000.nii.gz  optional

Source: nnU-Net v1, documentation/dataset_conversion.md.
"""

import json
from pathlib import Path
from typing import Any

from hemoseg.artifacts import readable
from hemoseg.datasets.importers.classes import ORDER, RESERVED, annotated, class_named, in_order, numbering
from hemoseg.datasets.importers.core import ImportRequest, NiftiScan, SourceCase, SourceSet, nifti_files, scans_named
from hemoseg.datasets.importers.pairs import NOT_STATED, UNKNOWN_PATIENTS, set_of
from hemoseg.datasets.index import CHANNEL, shorten
from hemoseg.datasets.sources import Source
from hemoseg.errors import InputError


def discover_nnunet_v1(request: ImportRequest) -> SourceSet:
    """The training cases that dataset.json lists, and the test scans.

    Raises:
        InputError: dataset.json is absent or damaged, there is more than one channel, or files and list differ.
    """
    root = request.source
    path = root / "dataset.json"
    description = _read(path)
    table = _table(description, path)
    classes = in_order(table.values())
    images, labels = scans_named(root / "imagesTr"), nifti_files(root / "labelsTr")
    listed = _listed(description, path)
    _check_lists({"imagesTr": set(images), "labelsTr": set(labels)}, listed, path)
    numbers = numbering(table, classes)
    trained = tuple(
        SourceCase(
            name=name,
            patient=name,
            scan=NiftiScan(image=images[name], mask=labels[name]),
            numbers=numbers,
            annotates=annotated(classes),
        )
        for name in images
    )
    tests = scans_named(root / "imagesTs") if (root / "imagesTs").is_dir() else {}
    test = tuple(
        SourceCase(
            name=name,
            patient=name,
            scan=NiftiScan(image=file, mask=None),
            numbers=numbers,
            annotates=(),
            held_back=True,
        )
        for name, file in tests.items()
    )
    terms = [str(value) for key, value in description.items() if key.startswith("licen") and value]  # either spelling
    source = Source(
        name=str(description.get("name") or root.resolve().name),
        license=request.license or next(iter(terms), NOT_STATED),
        citation=request.citation or str(description.get("reference") or ""),
    )
    return set_of(source, classes, (*trained, *test), where=root, warnings=(UNKNOWN_PATIENTS,))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise _bad("no such file", path)
    try:
        with readable(path):
            description = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _bad(f"no JSON ({error})", path) from error
    if not isinstance(description, dict):
        raise _bad(f"a {type(description).__name__}", path)
    modality = description.get("modality")
    if not isinstance(modality, dict) or [str(name).upper() for name in modality.values()] != ["CT"]:
        raise _bad(f"modality {modality}", path)
    return description


def _table(description: dict[str, Any], path: Path) -> dict[int, str]:
    """{number: key of the class} without the background."""
    labels = description.get("labels")
    try:
        table = {int(number): class_named(str(name)) for number, name in dict(labels or {}).items()}
    except (ValueError, TypeError) as error:
        raise _bad(f"labels {labels}", path) from error
    background = table.pop(0, "background")
    if background in ORDER or not table or min(table) < 0 or not RESERVED.isdisjoint(map(str.lower, table.values())):
        raise _bad(f"labels {labels}", path)
    return table


def _listed(description: dict[str, Any], path: Path) -> set[str]:
    try:
        entries = [str(entry["image"]) for entry in description["training"]]
    except (KeyError, TypeError) as error:
        raise _bad(f"no list of training cases ({error!r})", path) from error
    stems = {entry.rsplit("/", 1)[-1].removesuffix(".gz").removesuffix(".nii") for entry in entries}
    return {stem.removesuffix(CHANNEL) for stem in stems}


def _check_lists(found: dict[str, set[str]], listed: set[str], path: Path) -> None:
    for folder, names in found.items():
        absent, surplus = sorted(listed - names), sorted(names - listed)
        if absent:
            raise _bad(f"{len(absent)} training cases are not in {folder}: {shorten(absent)}", path)
        if surplus:
            raise _bad(f"{len(surplus)} files of {folder} are not in `training`: {shorten(surplus)}", path)


def _bad(found: str, path: Path) -> InputError:
    return InputError(
        found,
        where=path,
        expected='nnU-Net v1: `modality` {"0": "CT"}, `labels` like {"0": "background", "1": "hemorrhage"}, and in '
        "`training` the files of imagesTr and labelsTr",
        remedy="mend the file, or import the folders with FORMAT `pairs`",
    )
