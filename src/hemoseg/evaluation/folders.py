"""Folders of predictions against folders of references."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.arrays import Shaped
from hemoseg.artifacts import readable
from hemoseg.errors import GeometryError, InputError
from hemoseg.evaluation.classes import find_numbers, find_table, read_table
from hemoseg.evaluation.protocol import EXTENDED, Scores, evaluate_pair
from hemoseg.evaluation.statistics import bootstrap_mean
from hemoseg.geometry import Grid
from hemoseg.io import read_labels
from hemoseg.labels import LabelTable
from hemoseg.types import LabelMap

TOLERANCE_MM = 0.1
"""Corners of prediction and reference may lie this far apart: a tenth of a fine pixel, far above rounding."""
SEED = 0
"""Seed of the bootstrap intervals, so that the same files give the same metrics.json."""
NAMES_SHOWN = 8
"""Cases that an error names before it counts the rest."""

ToClasses = Callable[[Shaped[np.ndarray, "z y x"], str], LabelMap]
"""From the numbers of a file, and where they come from, to class numbers."""


def evaluate_folders(
    predictions: Path, references: Path, *, labels: Path | None, cases: Sequence[str] | None = None
) -> dict[str, Any]:
    """The content of metrics.json for a folder of predictions.

    Args:
        predictions: folder with `CASE.nii.gz`, `CASE.nii` or `CASE/mask.nii.gz`.
        references: folder with `CASE.nii.gz` or `CASE.nii`.
        labels: file that names the classes, like nnU-Net's dataset.json; None takes the dataset.json beside
            the references or one folder above, and without one the numbers found are the names.
        cases: evaluate these alone; None evaluates all and wants both folders to hold the same.

    Returns:
        `protocol`, `cases`, `mean` and `rules`, ready for strict JSON: what is not finite is None.

    Raises:
        InputError: a folder or file is absent, doubled or cannot be read.
        GeometryError: prediction and reference are not on one grid.
        LabelError: label values outside the table.
    """
    with readable(predictions):
        predicted = _find(predictions, masks_in_folders=True)
    with readable(references):
        expected = _find(references, masks_in_folders=False)
    pairs = _pair(predicted, expected, cases, where=f"{predictions} and {references}")
    if not pairs:
        raise InputError(
            "no cases",
            where=predictions,
            expected="CASE.nii.gz or CASE/mask.nii.gz for each case",
            remedy="check the paths: PREDICTIONS come first, REFERENCES second",
        )
    described = labels or find_table(references)
    if described is not None:
        return evaluate_pairs(pairs, read_table(described))
    found = find_numbers([pair[1] for pair in pairs], [pair[2] for pair in pairs])
    return _evaluate(pairs, found.table, lambda array, _: found.rank(array))


def evaluate_pairs(pairs: Sequence[tuple[str, Path, Path]], table: LabelTable) -> dict[str, Any]:
    """The content of metrics.json for pairs of files.

    Args:
        pairs: (case, prediction, reference).
        table: names of the class numbers.

    Returns:
        As `evaluate_folders`.

    Raises:
        InputError: a file is absent or cannot be read.
        GeometryError: prediction and reference are not on one grid.
        LabelError: label values outside the table.
    """
    return _evaluate(pairs, table, lambda array, where: table.check(array, where=where))


def _evaluate(pairs: Sequence[tuple[str, Path, Path]], table: LabelTable, to_classes: ToClasses) -> dict[str, Any]:
    results: list[dict[str, Scores]] = []
    for _, prediction, reference in pairs:
        expected, grid = read_labels(reference)
        predicted, place = read_labels(prediction)
        _check_same_place(place, grid, where=prediction)
        truth, found = to_classes(expected, str(reference)), to_classes(predicted, str(prediction))
        if table.ignore is not None:
            truth, found = _without_ignored(truth, found, table, where=prediction)
        results.append(evaluate_pair(truth, found, grid, table))
    return {
        "protocol": EXTENDED.name,
        "cases": [{"case": case, "classes": classes} for (case, _, _), classes in zip(pairs, results, strict=True)],
        "mean": {
            name: {
                metric.name: _mean([classes[name][metric.name] for classes in results]) for metric in EXTENDED.metrics
            }
            for name in table.foreground
        },
        "rules": EXTENDED.rules,
    }


def _without_ignored(
    reference: LabelMap, prediction: LabelMap, table: LabelTable, *, where: Path
) -> tuple[LabelMap, LabelMap]:
    """Both label maps with background where the reference is ignored: nothing there counts for or against.

    Raises:
        LabelError: the prediction holds the number of ignored voxels, which is no class.
    """
    LabelTable(table.names).check(prediction, where=str(where))
    return table.without_ignored(reference), np.where(reference == table.ignore, np.uint8(0), prediction)


def _mean(values: Sequence[float | str | None]) -> dict[str, float | str | None]:
    numbers = [value for value in values if not isinstance(value, str)]
    mean: dict[str, float | str | None] = asdict(bootstrap_mean(numbers, seed=SEED))
    if mean["value"] is None:
        mean["note"] = "no case has a value"
    return mean


def _check_same_place(prediction: Grid, reference: Grid, *, where: Path) -> None:
    if prediction.shape != reference.shape:
        raise GeometryError(
            f"the prediction has {prediction.shape} voxels (z, y, x), the reference {reference.shape}",
            where=where,
            expected="the same shape",
            remedy="resample the prediction onto the reference's grid with nearest neighbors",
        )
    apart = prediction.corner_distance_mm(reference)
    if not apart <= TOLERANCE_MM:
        raise GeometryError(
            f"corners of prediction and reference lie {apart:.2f} mm apart",
            where=where,
            expected=f"the same place within {TOLERANCE_MM:g} mm",
            remedy="look at both in a viewer; if the voxels match, copy the reference's header",
        )


def _find(folder: Path, *, masks_in_folders: bool) -> dict[str, Path]:
    """{case: file} of a folder, sorted by case; hidden files are passed over.

    Raises:
        InputError: no such folder, or two files for one case.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, expected="a folder with CASE.nii.gz", remedy="check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        case, file = _case(path, masks_in_folders=masks_in_folders)
        if case is None:
            continue
        if case in found:
            raise InputError(
                f"two files for case {case}: {found[case]} and {file}",
                where=folder,
                expected="one file per case",
                remedy="remove the one that is not meant",
            )
        found[case] = file
    return found


def _case(path: Path, *, masks_in_folders: bool) -> tuple[str | None, Path]:
    if path.name.startswith("."):
        return None, path
    if path.is_dir():
        mask = path / "mask.nii.gz"
        return (path.name if masks_in_folders and mask.is_file() else None), mask
    ending = next((end for end in (".nii.gz", ".nii") if path.name.endswith(end)), None)
    return (path.name.removesuffix(ending) if ending else None), path


def _pair(
    predictions: dict[str, Path], references: dict[str, Path], cases: Sequence[str] | None, *, where: str
) -> list[tuple[str, Path, Path]]:
    """(case, prediction, reference) for every case wanted, sorted.

    Raises:
        InputError: a case is on one side only, or on none; all of them are named.
    """
    wanted = sorted({*predictions, *references} if cases is None else set(cases))
    lacks = {
        "no prediction for": [case for case in wanted if case not in predictions],
        "no reference for": [case for case in wanted if case not in references],
    }
    found = [f"{what} {_listed(names)}" for what, names in lacks.items() if names]
    if found:
        raise InputError(
            "; ".join(found),
            where=where,
            expected="one prediction and one reference of the same name for each case",
            remedy="move or rename files so that both folders hold the same cases "
            "(a result folder CASE_0000 is named after its scan: rename it to CASE)",
        )
    return [(case, predictions[case], references[case]) for case in wanted]


def _listed(cases: Sequence[str]) -> str:
    count = f"{len(cases)} case{'s' if len(cases) > 1 else ''}"
    more = ", …" if len(cases) > NAMES_SHOWN else ""
    return f"{count}: {', '.join(cases[:NAMES_SHOWN])}{more}"
