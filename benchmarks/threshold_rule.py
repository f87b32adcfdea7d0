"""A rule without learning, as a baseline: blood is bright and inside the skull, edema is dark and beside blood.

It has eight numbers, each from a short list, tuned one after the other on training cases by Dice. Nothing of it
is part of hemoseg, and none of its thresholds ever touches a network's labels or output.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from hemoseg.arrays import Bool, Float32
from hemoseg.evaluation.overlap import dice
from hemoseg.geometry import Volume
from hemoseg.types import FloatZYX, LabelMap

BONE_HU = 95.0
"""Voxels above are bone; data clipped at 100 HU hold it as 100."""
SMOOTH_PIXELS = 1.0
"""Deviation of the Gaussian, in plane, that both thresholds look through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The numbers of the rule."""

    blood_hu: float = 52.0
    """Blood is at least this bright."""
    bone_mm: float = 6.0
    """Blood lies at least this far from bone, in plane."""
    smallest_ml: float = 1.0
    """Smaller components are dropped."""
    largest_only: bool = True
    """Whether the largest component alone is kept."""
    grow_hu: float = 46.0
    """Voxels that touch blood belong to it down to this."""
    edema_mm: float = 8.0
    """Edema lies at most this far from blood."""
    edema_low_hu: float = 10.0
    """Edema is at least this bright."""
    edema_high_hu: float = 28.0
    """Edema is at most this bright."""


BLOOD: dict[str, tuple[float, ...]] = {
    "blood_hu": (46.0, 48.0, 50.0, 52.0, 54.0, 56.0, 58.0),
    "bone_mm": (3.0, 6.0, 9.0, 12.0),
    "smallest_ml": (0.2, 0.5, 1.0, 2.0),
    "largest_only": (False, True),
    "grow_hu": (38.0, 40.0, 42.0, 44.0, 46.0, 48.0),
}
"""What each number of the first class is chosen from, in the order of tuning."""
EDEMA: dict[str, tuple[float, ...]] = {
    "edema_mm": (4.0, 6.0, 8.0, 10.0, 14.0, 18.0),
    "edema_low_hu": (0.0, 5.0, 10.0, 14.0, 18.0),
    "edema_high_hu": (22.0, 24.0, 26.0, 28.0, 30.0, 32.0),
}
"""The same for the second class."""
ROUNDS = 2
"""Times that all numbers are tuned: the second round starts from the first one's."""


class Seen(NamedTuple):
    """What the rule looks at in a scan, computed once; axes (z, y, x)."""

    smooth_hu: Float32[np.ndarray, "z y x"]
    """HU through the Gaussian."""
    inside: Bool[np.ndarray, "z y x"]
    """Inside the skull and not bone."""
    bone_mm: Float32[np.ndarray, "z y x"]
    """In-plane distance from bone."""
    spacing_mm: FloatZYX
    """Voxel spacing."""

    @classmethod
    def of(cls, volume: Volume) -> "Seen":
        """Look at a scan."""
        hu, spacing = volume.hu, volume.grid.spacing_mm
        bone = hu >= BONE_HU
        filled = np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(plane, iterations=3)) for plane in bone])
        from_bone = np.stack([ndimage.distance_transform_edt(~plane, sampling=spacing[1:]) for plane in bone])
        smooth = ndimage.gaussian_filter(hu.astype(np.float32), (0, SMOOTH_PIXELS, SMOOTH_PIXELS))
        return cls(smooth, filled & ~bone, from_bone.astype(np.float32), spacing)


def apply_rule(seen: Seen, rule: Rule) -> LabelMap:
    """Classes 0, 1 (hemorrhage) and 2 (edema)."""
    blood = find_blood(seen, rule)
    found: LabelMap = blood.astype(np.uint8)
    found[find_edema(seen, blood, _from_blood_mm(seen, blood), rule)] = 2
    return found


def find_blood(seen: Seen, rule: Rule) -> Bool[np.ndarray, "z y x"]:
    """What is bright and away from bone, grown to what is less bright and touches it."""
    away = seen.inside & (seen.bone_mm >= rule.bone_mm)
    blood = _kept(away & (seen.smooth_hu >= rule.blood_hu), rule, seen.spacing_mm)
    grown: Bool[np.ndarray, "z y x"] = ndimage.binary_propagation(
        blood, mask=blood | away & (seen.smooth_hu >= rule.grow_hu)
    )
    return grown


def find_edema(
    seen: Seen, blood: Bool[np.ndarray, "z y x"], from_blood_mm: Float32[np.ndarray, "z y x"], rule: Rule
) -> Bool[np.ndarray, "z y x"]:
    """What is dark and near blood."""
    dark = (seen.smooth_hu >= rule.edema_low_hu) & (seen.smooth_hu <= rule.edema_high_hu)
    return np.asarray(dark & (from_blood_mm <= rule.edema_mm) & seen.inside & ~blood)


def tune(seen: Sequence[Seen], labels: Sequence[LabelMap]) -> Rule:
    """The rule with the best mean Dice on these cases, found one number at a time: first those of blood."""

    def blood_dice(rule: Rule) -> float:
        found = (find_blood(scan, rule) for scan in seen)
        return _mean_dice([truth == 1 for truth in labels], found)

    rule = _best(Rule(), BLOOD, blood_dice)
    blood = [find_blood(scan, rule) for scan in seen]
    near = [_from_blood_mm(scan, found) for scan, found in zip(seen, blood, strict=True)]

    def edema_dice(rule: Rule) -> float:
        found = (find_edema(*case, rule) for case in zip(seen, blood, near, strict=True))
        return _mean_dice([truth == 2 for truth in labels], found)

    return _best(rule, EDEMA, edema_dice)


def _best(rule: Rule, choices: dict[str, tuple[float, ...]], score: Callable[[Rule], float]) -> Rule:
    for _ in range(ROUNDS):
        for name, values in choices.items():
            rule = max((replace(rule, **{name: value}) for value in values), key=score)  # type: ignore[arg-type]
    return rule


def _mean_dice(references: Sequence[Bool[np.ndarray, "z y x"]], found: Iterable[Bool[np.ndarray, "z y x"]]) -> float:
    return float(np.mean([dice(a, b, both_empty="one") for a, b in zip(references, found, strict=True)]))


def _from_blood_mm(seen: Seen, blood: Bool[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
    """Distance from blood; infinite if there is none."""
    if not blood.any():
        return np.full(blood.shape, np.inf, dtype=np.float32)
    mm: Float32[np.ndarray, "z y x"] = ndimage.distance_transform_edt(~blood, sampling=seen.spacing_mm).astype(
        np.float32
    )
    return mm


def _kept(blood: Bool[np.ndarray, "z y x"], rule: Rule, spacing_mm: FloatZYX) -> Bool[np.ndarray, "z y x"]:
    """The components that are large enough, or the largest of them."""
    components, count = ndimage.label(blood)
    if not count:
        return blood
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    keep = sizes * np.prod(spacing_mm) / 1000 >= rule.smallest_ml
    if rule.largest_only:
        keep &= np.arange(len(sizes)) == int(sizes.argmax())
    kept: Bool[np.ndarray, "z y x"] = keep[components]
    return kept
