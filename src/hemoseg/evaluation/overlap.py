"""Voxel counts and the metrics made from them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hemoseg.types import Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Voxels of two masks on one grid."""

    reference: int
    """Voxels of the reference."""
    prediction: int
    """Voxels of the prediction."""
    both: int
    """Voxels that both hold."""


def count_voxels(reference: Mask, prediction: Mask) -> Counts:
    """Voxels of the reference, of the prediction and of both.

    Args:
        reference: axes (z, y, x).
        prediction: on the same grid.
    """
    return Counts(
        reference=int(np.count_nonzero(reference)),
        prediction=int(np.count_nonzero(prediction)),
        both=int(np.count_nonzero(reference & prediction)),
    )


def dice(counts: Counts, *, both_empty: Literal["one", "nan"]) -> float:
    """Dice similarity coefficient 2|R∩P| / (|R| + |P|), in [0, 1].

    Args:
        counts: voxels of reference R and prediction P.
        both_empty: score when R and P are both empty. No default: libraries return 0, 1 or NaN here,
            and the choice moves the mean over a cohort.

    Source:
        Dice, Ecology 26:297–302 (1945). On empty masks: Reinke et al., Nat. Methods 21:182–194 (2024),
        doi:10.1038/s41592-023-02150-0.

    Example:
        >>> dice(Counts(reference=6, prediction=4, both=3), both_empty="nan")
        0.6
    """
    total = counts.reference + counts.prediction
    if total == 0:
        return 1.0 if both_empty == "one" else float("nan")
    return 2 * counts.both / total


def rvd(counts: Counts, *, both_empty: Literal["zero", "nan"]) -> float:
    """Absolute relative volume difference |P - R| / R, in [0, ∞]; infinite if R alone is empty.

    On one grid the ratio of volumes is the ratio of voxel counts.

    Args:
        counts: voxels of reference R and prediction P.
        both_empty: score when R and P are both empty, where the ratio is 0/0.

    Source:
        Heimann et al., IEEE Trans. Med. Imaging 28:1251–1265 (2009), doi:10.1109/TMI.2009.2013851;
        the absolute value is the INSTANCE 2022 challenge's.

    Example:
        >>> rvd(Counts(reference=4, prediction=3, both=0), both_empty="nan")
        0.25
    """
    if counts.reference == 0:
        if counts.prediction:
            return float("inf")
        return 0.0 if both_empty == "zero" else float("nan")
    return abs(counts.prediction - counts.reference) / counts.reference


def volume_error_ml(counts: Counts, *, voxel_ml: float) -> float:
    """Volume of the prediction minus that of the reference, in ml; positive if too much is predicted.

    Args:
        counts: voxels of reference and prediction.
        voxel_ml: volume of one voxel in ml, from the determinant of the grid.

    Example:
        >>> volume_error_ml(Counts(reference=4, prediction=2, both=2), voxel_ml=0.5)
        -1.0
    """
    return (counts.prediction - counts.reference) * voxel_ml
