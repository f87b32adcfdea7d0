"""BHSD: 192 scans with five kinds of bleeding.

    SOURCE/label_192/          or directly in SOURCE
      images/ID_a_ID_b.nii.gz
      ground truths/ID_a_ID_b.nii.gz
    SOURCE/dataset.json        optional: the official split in the Decathlon's form

or

    SOURCE/
      dataset.json
      imagesTr/ID_a_ID_b.nii.gz  labelsTr/ID_a_ID_b.nii.gz
      imagesTs/ID_a_ID_b.nii.gz  labelsTs/ID_a_ID_b.nii.gz    labelsTs optional

`ID_a` is the patient, `ID_b` the study. The split's test part is held back, wherever it lies: it
goes to imagesTs and labelsTs.

Source: github.com/White65534/BHSD; huggingface.co/datasets/WuBiao/BHSD.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hemoseg.datasets.importers.classes import KINDS, annotated, numbering
from hemoseg.datasets.importers.core import ImportRequest, NiftiScan, SourceCase, SourceSet, nifti_files
from hemoseg.datasets.importers.pairs import paired_cases, set_of
from hemoseg.datasets.importers.published import BHSD
from hemoseg.datasets.index import shorten
from hemoseg.errors import InputError

NUMBERS = numbering(dict(enumerate(KINDS, start=1)), KINDS)
"""BHSD's own numbers, which are ours."""


def discover_bhsd(request: ImportRequest) -> SourceSet:
    """The labeled scans; those of the official split's test part are held back.

    Raises:
        InputError: neither layout, scans and masks that do not pair, or a split of other scans.
    """
    root = request.source
    if (root / "imagesTr").is_dir():
        cases = _pairs(root / "imagesTr", root / "labelsTr")
        _, test = _listed(root / "dataset.json")
        cases = (*(replace(case, held_back=case.name in test) for case in cases), *_test_part(root))
    else:
        folder = root / "label_192" if (root / "label_192").is_dir() else root
        cases = _pairs(folder / "images", folder / "ground truths")
        cases = _split(cases, root / "dataset.json")
    known = {case.patient for case in cases if case.is_trained_on}
    both = sorted({case.patient for case in cases if not case.is_trained_on} & known)
    leak = f"{len(both)} patients are in the training and in the test part: {shorten(both)}"
    return set_of(BHSD, KINDS, cases, where=root, warnings=(leak,) if both else ())


def patient_of(stem: str) -> str:
    """The patient in a file name: what stands before the second `ID_`.

    Example:
        >>> patient_of("ID_0237f3c9_ID_40015688b9")
        'ID_0237f3c9'
    """
    found = re.fullmatch(r"(ID_[0-9A-Za-z]+)_ID_[0-9A-Za-z]+", stem)
    return found[1] if found else stem


def _pairs(images: Path, masks: Path) -> tuple[SourceCase, ...]:
    return paired_cases(images, masks, prefix="", numbers=NUMBERS, annotates=annotated(KINDS), patient=patient_of)


def _test_part(root: Path) -> tuple[SourceCase, ...]:
    """The scans of imagesTs, with masks where there are any."""
    if not (root / "imagesTs").is_dir():
        return ()
    if (root / "labelsTs").is_dir():
        return tuple(replace(case, held_back=True) for case in _pairs(root / "imagesTs", root / "labelsTs"))
    return tuple(
        SourceCase(
            name=stem,
            patient=patient_of(stem),
            scan=NiftiScan(image=path, mask=None),
            numbers=NUMBERS,
            annotates=(),
            held_back=True,
        )
        for stem, path in nifti_files(root / "imagesTs").items()
    )


def _split(cases: tuple[SourceCase, ...], path: Path) -> tuple[SourceCase, ...]:
    """The cases with those of the test part held back, by dataset.json if it is there."""
    if not path.is_file():
        return cases
    train, test = _listed(path)
    names = {case.name for case in cases}
    strange = sorted(names ^ (test | train)) or sorted(test & train)
    if strange:
        raise _bad_split(f"{len(strange)} scans are not in both, or in two parts: {shorten(strange)}", path)
    return tuple(replace(case, held_back=case.name in test) for case in cases)


def _listed(path: Path) -> tuple[set[str], set[str]]:
    """Names of the training and of the test part by dataset.json; none if it is not there."""
    if not path.is_file():
        return set(), set()
    try:
        listed: dict[str, Any] = json.loads(path.read_bytes())
        test = {_stem(entry) for entry in listed["test"]}
        train = {_stem(entry["image"]) for entry in listed["training"]}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise _bad_split(f"no list of training and test scans ({error!r})", path) from error
    return train, test


def _stem(entry: str) -> str:
    return entry.rsplit("/", 1)[-1].removesuffix(".gz").removesuffix(".nii")


def _bad_split(found: str, path: Path) -> InputError:
    return InputError(
        found,
        where=path,
        expected="every scan of the folder once, in `training` or in `test`",
        remedy="complete the download, or move dataset.json away to go without the official split",
    )
