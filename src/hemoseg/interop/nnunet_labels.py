"""The entry `labels` of dataset.json: names of the classes, and what nnU-Net makes of them once it trains.

Planning counts the entries and asks no more, so any are planned with; training is stricter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hemoseg.labels import LabelTable
from hemoseg.plan import Region


def class_names(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of all labels but `ignore`: background first, then by number; regions, and what has none, as in the file.

    Example:
        >>> class_names({"background": 0, "edema": 2, "hemorrhage": 1, "ignore": 3})
        ('background', 'hemorrhage', 'edema')
        >>> class_names({"0": "background", "1": "hemorrhage"})  # nnU-Net v1's way round
        ('background', 'hemorrhage')
    """
    if labels and all(isinstance(value, str) and key.isdecimal() for key, value in labels.items()):
        return tuple(labels[key] for key in sorted(labels, key=int))
    names = [name for name in labels if name not in ("ignore", "background")]
    try:
        if not has_regions(labels):
            names.sort(key=lambda name: min(_numbers(labels[name])))
    except (TypeError, ValueError):
        pass  # no numbers, no order
    return (*(["background"] if "background" in labels else []), *names)


def has_regions(labels: Mapping[str, Any]) -> bool:
    """Whether a class is made of several label numbers."""
    return any(isinstance(value, list | tuple) and len(value) > 1 for value in labels.values())


def regions_of(labels: Mapping[str, Any], regions_class_order: Sequence[Any] | None) -> tuple[Region, ...]:
    """What each class after the background is made of, of labels that nnU-Net trains with; empty without regions.

    Example:
        >>> regions_of({"background": 0, "hemorrhage": [1, 2], "ivh": 2}, [1, 2])
        (Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2))
    """
    if not has_regions(labels):
        return ()
    values = [value for name, value in labels.items() if name != "ignore" and not _is_background(value)]
    pairs = zip(values, regions_class_order or (), strict=True)
    return tuple(Region(labels=_numbers(value), paint=paint) for value, paint in pairs)


def refused_in_training(labels: Mapping[str, Any], regions_class_order: Sequence[Any] | None) -> str | None:
    """Why nnU-Net's LabelManager refuses the labels; None if it takes them.

    Source:
        nnunetv2 2.8.1, `utilities/label_handling/label_handling.py`.
    """
    if "background" not in labels or isinstance(labels["background"], list | tuple):
        return 'labels need an entry "background": 0'
    try:
        numbers = {number for name, value in labels.items() if name != "ignore" for number in _numbers(value)}
        background = int(labels["background"])
    except (TypeError, ValueError) as error:
        return f"labels that are no numbers: {error}"
    if background != 0:
        return f'background is {background}; labels need an entry "background": 0'
    ignore = labels.get("ignore")
    if ignore is not None and (not isinstance(ignore, int) or ignore != max(numbers) + 1):
        return f"ignore is {ignore}, must be one number, the one after the last: {max(numbers) + 1}"
    regions = [value for name, value in labels.items() if name != "ignore" and not _is_background(value)]
    if has_regions(labels) and len(regions_class_order or ()) != len(regions):
        return f"regions_class_order needs {len(regions)} numbers, one per region"
    return None


def label_doubts(labels: Mapping[str, Any], regions_class_order: Sequence[Any] | None) -> tuple[str, ...]:
    """What is odd about labels that can be planned with."""
    refused = refused_in_training(labels, regions_class_order)
    if refused is not None:
        return (f"nnU-Net plans with these labels and will refuse to train with them: {refused}",)
    numbers = sorted({number for name, value in labels.items() if name != "ignore" for number in _numbers(value)})
    if numbers != list(range(len(numbers))):
        return (
            f"label numbers {numbers} are not 0, 1, 2, … without a gap: nnU-Net's check of the data "
            "refuses them, and predictions are numbered 0, 1, 2, … in their order",
        )
    return ()


def paint_entry(table: LabelTable) -> dict[str, list[int]]:
    """The entry `regions_class_order` of dataset.json; none without regions."""
    return {"regions_class_order": list(table.paint)} if table.regions else {}


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in (value if isinstance(value, list | tuple) else (value,)))


def _is_background(value: Any) -> bool:
    return bool(np.isscalar(value) and value == 0) or (isinstance(value, list | tuple) and set(_numbers(value)) == {0})
