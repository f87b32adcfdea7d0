"""Intervals around volumes from the evaluation of a run."""

from typing import Any

from hemoseg.datasets.sources import ANY
from hemoseg.labels import LabelTable
from hemoseg.models import Calibration
from hemoseg.selection import HeldOutVolume, calibrate


def calibrate_run(
    result: dict[str, Any], table: LabelTable, *, folds: tuple[int, ...], dataset_name: str
) -> Calibration:
    """The intervals that the out-of-fold volumes of a run allow.

    Args:
        result: content of `evaluation.json`: predictions of what was selected, after its rules.
        table: the classes.
        folds: folds that were trained.
        dataset_name: name of the data set.
    """
    cases = result["cases"]
    patients = len({case["patient"] for case in cases})
    listed = ", ".join(map(str, folds))
    has_total = table.bleeding == (ANY,) or (bool(table.bleeding) and ANY not in table.members)
    return calibrate(
        {name: _volumes(cases, name) for name in table.members},
        _volumes(cases, ANY) if has_total else None,
        is_one_fold=len(folds) == 1,
        calibrated_on=f"{len(cases)} held-out scans of {patients} patients of {dataset_name}, "
        f"fold{'s' if len(folds) > 1 else ''} {listed}",
    )


def _volumes(cases: list[dict[str, Any]], name: str) -> list[HeldOutVolume]:
    return [
        HeldOutVolume(
            patient=case["patient"],
            reference_ml=case["classes"][name]["reference_ml"],
            predicted_ml=case["classes"][name]["volume_ml"],
        )
        for case in cases
    ]
