"""What goes wrong with held-out cases, by size and by place."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hemoseg.evaluation import LESION_EDGES_ML, PairFiles, bootstrap_mean, find_places
from hemoseg.labels import LabelTable
from hemoseg.planning import Fingerprint
from hemoseg.report import CaseRow, Failures, ScanBin


def find_failures(
    result: dict[str, Any],
    cases: Sequence[CaseRow],
    pairs: Sequence[PairFiles],
    table: LabelTable,
    fingerprint: Fingerprint,
) -> Failures:
    """Failures of the held-out cases.

    Args:
        result: their evaluation; classes that its means lack are left out.
        cases: the cases with their metrics.
        pairs: their files.
        table: names of the class numbers.
        fingerprint: where their heads are.
    """
    classes = list(result["mean"])
    places = find_places(pairs, table, {case.name: case.head_box for case in fingerprint.cases})
    return Failures(
        by_lesion_volume={name: result["lesions"][name] for name in classes},
        by_scan_volume={name: scan_bins(cases, name) for name in classes},
        empty={name: result["empty"][name] for name in classes},
        lesion_rule=result["definitions"]["lesions"],
        place_rule=places["rule"],
        by_place=tuple(row for name in classes for row in places["rows"] if row["class"] == name),
    )


def scan_bins(cases: Sequence[CaseRow], name: str) -> tuple[ScanBin, ...]:
    """Mean Dice of a class by its volume in the reference; cases without it are in no bin."""
    bins = []
    for low, high in pairwise((*LESION_EDGES_ML, float("inf"))):
        here = [case for case in cases if max(low, 1e-9) <= _number(case, name, "reference_ml") < high]
        dice = bootstrap_mean(
            [_number(case, name, "dice") for case in here], seed=0, patients=[case.patient for case in here]
        )
        bins.append(
            ScanBin(
                from_ml=low,
                to_ml=None if high == float("inf") else high,
                cases=len(here),
                missed=sum(_number(case, name, "volume_ml") == 0 for case in here),
                dice=dice.as_json(),
            )
        )
    return tuple(bins)


def _number(case: CaseRow, name: str, metric: str) -> float:
    """A metric that every case with the class in its reference has."""
    value = case.classes[name][metric]
    return 0.0 if value is None or isinstance(value, str) else value
