"""Rules at work on one label map."""

from collections.abc import Sequence

import numpy as np

from hemoseg.arrays import Bool, Float32, Integer
from hemoseg.components import CORNERS, FACES, find_runs
from hemoseg.geometry import Volume
from hemoseg.labels import LabelTable
from hemoseg.postprocess.probabilities import Probabilities
from hemoseg.postprocess.rules import InsideSkull, KeepLargest, MinimumConfidence, MinimumVolume, Rule, Threshold
from hemoseg.types import HU, LabelMap, Mask

LEAST_INSIDE_MM2 = 1000.0
"""A skull that encloses less than this in a slice is no closed ring there: a head's section has 10,000 and more."""


def apply_rules(
    rules: Sequence[Rule],
    labels: LabelMap,
    probabilities: Probabilities | None,
    *,
    volume: Volume,
    table: LabelTable,
) -> LabelMap:
    """The label map after all rules: thresholds first, since they make it anew, then the others in their order.

    What a rule takes from a region becomes background, also where it lies in a larger region: as in nnU-Net.

    Args:
        rules: what to do.
        labels: class numbers on the scan's grid.
        probabilities: on the same grid; needed where `needs_probabilities` says so.
        volume: the scan.
        table: names of the classes.
    """
    thresholds = {rule.class_name: rule.probability for rule in rules if isinstance(rule, Threshold)}
    if thresholds:
        assert probabilities is not None
        shares = [thresholds.get(name, 0.5) for name in table.members]
        labels = probabilities.labels([(1 - share) / share for share in shares], paint=table.paint)
    for rule in rules:
        if isinstance(rule, KeepLargest):
            labels = keep_largest(labels, table.mask(labels, *rule.classes), rule.connectivity)
        elif isinstance(rule, MinimumVolume):
            labels = _without_small(labels, table.mask(labels, rule.class_name), rule.ml, volume)
        elif isinstance(rule, MinimumConfidence):
            assert probabilities is not None
            values = probabilities.of_class(table.names.index(rule.class_name))
            labels = _without_unsure(labels, table.mask(labels, rule.class_name), rule.probability, values)
        elif isinstance(rule, InsideSkull):
            _, y, x = volume.grid.spacing_mm
            labels = np.where(inside_skull(volume.hu, rule.bone_hu, pixel_mm2=y * x), labels, np.uint8(0))
    return labels


def keep_largest(labels: LabelMap, mask: Mask, connectivity: int) -> LabelMap:
    """The label map in which the largest component of a mask stays, and all that are as large.

    Args:
        labels: class numbers, axes (z, y, x).
        mask: the classes, taken as one.
        connectivity: 6 or 26.

    Source:
        nnunetv2 2.8.1, postprocessing/remove_connected_components.py (26); nnunet 1.7.1,
        postprocessing/connected_components.py (6).
    """
    component = _component_of_voxels(mask, connectivity)
    if not len(component):
        return labels
    sizes = np.bincount(component)
    return _without(labels, mask, (sizes < sizes.max())[component])


def inside_skull(hu: HU, bone_hu: float, *, pixel_mm2: float) -> Mask:
    """Voxels that are not bone, and that bone encloses in their slice where it encloses anything.

    In slices where the skull is open, as at the base, only bone is left out.

    Args:
        hu: the scan, axes (z, y, x), slices first.
        bone_hu: HU above which a voxel is bone.
        pixel_mm2: area of a pixel.
    """
    from scipy import ndimage

    bone = hu > bone_hu
    inside = ~bone
    for number, plane in enumerate(bone):
        enclosed = ndimage.binary_fill_holes(plane) & ~plane
        if np.count_nonzero(enclosed) * pixel_mm2 >= LEAST_INSIDE_MM2:
            inside[number] = enclosed
    return inside


def _without_small(labels: LabelMap, mask: Mask, ml: float, volume: Volume) -> LabelMap:
    """The label map without components of a class's mask that hold less than a volume."""
    component = _component_of_voxels(mask, 26)
    pixel_mm2 = volume.grid.voxel_ml * 1000 / volume.grid.slice_interval_mm
    weights_mm = np.array([part.weight_mm for part in volume.slices])
    volumes_ml = np.bincount(component, weights=weights_mm[np.nonzero(mask)[0]]) * pixel_mm2 / 1000
    return _without(labels, mask, (volumes_ml < ml)[component])


def _without_unsure(labels: LabelMap, mask: Mask, share: float, probability: Float32[np.ndarray, "z y x"]) -> LabelMap:
    """The label map without components of a class's mask whose mean probability is below a share."""
    component = _component_of_voxels(mask, 26)
    sums = np.bincount(component, weights=probability[mask])
    return _without(labels, mask, (sums / np.bincount(component) < share)[component])


def _component_of_voxels(mask: Mask, connectivity: int) -> Integer[np.ndarray, " v"]:
    """The number of the component of each voxel of a mask, in scan order: runs are in it, too."""
    runs = find_runs(mask, CORNERS if connectivity == 26 else FACES)
    numbers: Integer[np.ndarray, " v"] = np.repeat(runs.component, runs.length)
    return numbers


def _without(labels: LabelMap, mask: Mask, gone: Bool[np.ndarray, " v"]) -> LabelMap:
    """The label map without those voxels of a mask, given in scan order."""
    result = labels.copy()
    result[mask] = np.where(gone, np.uint8(0), labels[mask])
    return result
