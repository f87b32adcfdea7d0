"""Lesions found and lesions made up: detection lesion by lesion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hemoseg.components import split_components
from hemoseg.evaluation.statistics import wilson
from hemoseg.types import IntZYX, Mask

RULE = (
    "a lesion is a connected component (26 neighbors); a reference lesion is found if the prediction shares a voxel "
    "with it, and a predicted lesion that shares none with the reference is a false positive"
)
"""How lesions are matched, for people."""
EDGES_ML = (0.0, 0.1, 1.0, 10.0, 30.0)
"""Lower ends of the bins of lesion volume: specks, small, middle, large, and what is operated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """The lesions of one class of one case."""

    found_ml: tuple[float, ...]
    """Volumes of the reference's lesions that the prediction shares a voxel with."""
    missed_ml: tuple[float, ...]
    """Volumes of the others."""
    false_ml: tuple[float, ...]
    """Volumes of the prediction's lesions that share no voxel with the reference."""
    true_predicted: int
    """Number of the prediction's other lesions."""

    @property
    def f1(self) -> float:
        """2·TP / (2·TP + FP + FN) with lesions of the reference found, missed, and false positives; NaN without any.

        Source:
            Hernandez Petzsche et al., Sci. Data 9:762 (2022), doi:10.1038/s41597-022-01875-5 (ISLES 2022).
        """
        found = 2 * len(self.found_ml)
        total = found + len(self.false_ml) + len(self.missed_ml)
        return found / total if total else float("nan")

    @property
    def recall(self) -> float:
        """Share of the reference's lesions that are found; NaN without any."""
        total = len(self.found_ml) + len(self.missed_ml)
        return len(self.found_ml) / total if total else float("nan")

    @property
    def precision(self) -> float:
        """Share of the prediction's lesions that are true; NaN without any."""
        total = self.true_predicted + len(self.false_ml)
        return self.true_predicted / total if total else float("nan")


def match_lesions(reference: Mask, prediction: Mask, *, voxel_ml: float) -> Lesions:
    """The lesions of two masks (z, y, x) on one grid, matched by `RULE`.

    Args:
        reference: expert mask.
        prediction: predicted mask.
        voxel_ml: volume of one voxel in ml.
    """
    found, missed = _touched(reference, prediction, voxel_ml)
    true, false = _touched(prediction, reference, voxel_ml)
    return Lesions(found_ml=found, missed_ml=missed, false_ml=false, true_predicted=len(true))


def pool_lesions(cases: Sequence[Lesions]) -> dict[str, Any]:
    """Lesions of a cohort pooled: recall by volume of the reference's lesion, false positives per scan.

    Returns:
        `recall_by_volume`: [{from_ml, to_ml, recall {value, low, high, n}}] with Wilson intervals, `to_ml` None in
        the last; `recall` over all; `false_positives` in all, and `false_positives_per_scan`.
    """
    found = [ml for case in cases for ml in case.found_ml]
    missed = [ml for case in cases for ml in case.missed_ml]
    bins = []
    for low, high in pairwise((*EDGES_ML, float("inf"))):
        hits, misses = (sum(low <= ml < high for ml in volumes) for volumes in (found, missed))
        recall = wilson(hits, hits + misses).as_json(note="no lesion of this size")
        bins.append({"from_ml": low, "to_ml": None if high == float("inf") else high, "recall": recall})
    false = sum(len(case.false_ml) for case in cases)
    return {
        "recall": wilson(len(found), len(found) + len(missed)).as_json(note="no lesion in any reference"),
        "recall_by_volume": bins,
        "false_positives": false,
        "false_positives_per_scan": false / len(cases) if cases else None,
    }


def touched_components(mask: Mask, other: Mask) -> Iterator[tuple[IntZYX, Mask, bool]]:
    """(corner, mask of its bounding box, whether it shares a voxel with `other`) of each component of a mask.

    Args:
        mask: axes (z, y, x).
        other: on the same grid.
    """
    for corner, component in split_components(mask) if mask.any() else ():
        z, y, x = (slice(first, first + size) for first, size in zip(corner, component.shape, strict=True))
        yield corner, component, bool((other[z, y, x] & component).any())


def _touched(mask: Mask, other: Mask, voxel_ml: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Volumes of the components of a mask that share a voxel with the other, and of those that do not."""
    volumes: tuple[list[float], list[float]] = [], []
    for _, component, is_touched in touched_components(mask, other):
        volumes[not is_touched].append(int(component.sum()) * voxel_ml)
    return tuple(volumes[0]), tuple(volumes[1])
