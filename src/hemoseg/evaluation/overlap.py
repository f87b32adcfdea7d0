"""Metrics of overlap and volume, made from voxel counts."""

from typing import Literal

import numpy as np

from hemoseg.types import Mask


def dice(reference: Mask, prediction: Mask, *, both_empty: Literal["one", "nan"]) -> float:
    """Dice similarity coefficient 2|R∩P| / (|R| + |P|), in [0, 1].

    Args:
        reference: mask R, axes (z, y, x).
        prediction: mask P on the same grid.
        both_empty: score when R and P are both empty. No default: libraries return 0, 1 or NaN here,
            and the choice moves the mean over a cohort.

    Source:
        Dice, Ecology 26:297–302 (1945). On empty masks: Reinke et al., Nat. Methods 21:182–194 (2024),
        doi:10.1038/s41592-023-02150-0.

    Example:
        >>> dice(np.array([[[True, True, True]]]), np.array([[[True, False, False]]]), both_empty="nan")
        0.5
    """
    total = _count(reference) + _count(prediction)
    if total == 0:
        return 1.0 if both_empty == "one" else float("nan")
    return 2 * _count(reference & prediction) / total


def iou(reference: Mask, prediction: Mask, *, both_empty: Literal["one", "nan"]) -> float:
    """Intersection over union |R∩P| / |R∪P|, the Jaccard index, in [0, 1].

    Args:
        reference: mask R, axes (z, y, x).
        prediction: mask P on the same grid.
        both_empty: score when R and P are both empty.

    Source:
        Jaccard, New Phytol. 11:37–50 (1912), doi:10.1111/j.1469-8137.1912.tb05611.x.

    Example:
        >>> iou(np.array([[[True, True, True]]]), np.array([[[True, False, False]]]), both_empty="nan")
        0.3333333333333333
    """
    union = _count(reference | prediction)
    if union == 0:
        return 1.0 if both_empty == "one" else float("nan")
    return _count(reference & prediction) / union


def rvd(reference: Mask, prediction: Mask, *, both_empty: Literal["zero", "nan"]) -> float:
    """Absolute relative volume difference |P - R| / R, in [0, ∞]; infinite if R alone is empty.

    On one grid the ratio of volumes is the ratio of voxel counts.

    Args:
        reference: mask R, axes (z, y, x).
        prediction: mask P on the same grid.
        both_empty: score when R and P are both empty, where the ratio is 0/0.

    Source:
        Heimann et al., IEEE Trans. Med. Imaging 28:1251–1265 (2009), doi:10.1109/TMI.2009.2013851;
        the absolute value is the INSTANCE 2022 challenge's.

    Example:
        >>> rvd(np.array([[[True, True]]]), np.array([[[True, False]]]), both_empty="nan")
        0.5
    """
    return abs(relative_volume_error(reference, prediction, both_empty=both_empty))


def relative_volume_error(reference: Mask, prediction: Mask, *, both_empty: Literal["zero", "nan"]) -> float:
    """Relative volume difference with its sign, (P - R) / R, in [-1, ∞]; see `rvd`.

    Example:
        >>> relative_volume_error(np.array([[[True, True]]]), np.array([[[True, False]]]), both_empty="nan")
        -0.5
    """
    expected, found = _count(reference), _count(prediction)
    if expected == 0:
        if found:
            return float("inf")
        return 0.0 if both_empty == "zero" else float("nan")
    return (found - expected) / expected


def volume_error_ml(reference: Mask, prediction: Mask, *, voxel_ml: float) -> float:
    """Volume of the prediction minus that of the reference, in ml; positive if too much is predicted.

    Args:
        reference: axes (z, y, x).
        prediction: on the same grid.
        voxel_ml: volume of one voxel in ml, from the determinant of the grid.

    Example:
        >>> volume_error_ml(np.array([[[True, True]]]), np.array([[[True, False]]]), voxel_ml=0.5)
        -0.5
    """
    return (_count(prediction) - _count(reference)) * voxel_ml


def volume_ml(mask: Mask, *, voxel_ml: float) -> float:
    """Volume of a mask in ml, from its voxel count and the volume of one voxel."""
    return _count(mask) * voxel_ml


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))
