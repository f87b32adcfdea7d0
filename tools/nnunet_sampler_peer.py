"""Where nnU-Net's own loader places patches, counted.

Run by the interpreter of .venv-peers; reads a JSON list of requests {"shape", "boxes", "labels", "load_size",
"patch_size"} and prints a list of {"forced", "random"}: for each axis {place of the corner: how often}, and of the
share of a patch beyond the case the mean; and "locations", what preprocessing finds: [class or region, voxels] in its
order, all voxels while they are few. `boxes` are [label, [start, stop] per axis]. A second list has the numbers of
forced patches in batches of 1 to 12.
"""

import contextlib
import json
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.utilities.label_handling.label_handling import LabelManager

DRAWS = 20_000


def main() -> None:
    """Answer all requests."""
    with contextlib.redirect_stdout(sys.stderr):
        np.random.seed(0)  # noqa: NPY002 - what the loader draws from
        found = [_place(request) for request in json.load(sys.stdin)]
        forced = [_forced(size) for size in range(1, 13)]
    print(json.dumps({"places": found, "forced": forced}))


def _loader(request: dict, manager: LabelManager, batch_size: int = 2) -> nnUNetDataLoader:
    sizes = [request["load_size"], request["patch_size"]]
    if request["patch_size"][0] == 1:
        sizes = [size[1:] for size in sizes]
    data = SimpleNamespace(identifiers=["a"])
    return nnUNetDataLoader(data, batch_size, *sizes, manager, oversample_foreground_percent=0.33)


def _place(request: dict) -> dict:
    """Draw many places of forced and of random patches."""
    labels = np.zeros((1, *request["shape"]), dtype=np.int16)
    for number, box in request["boxes"]:
        labels[(0, *(slice(*ends) for ends in box))] = number
    order = [1, 2] if any(isinstance(value, list) for value in request["labels"].values()) else None
    manager = LabelManager(request["labels"], order)
    wanted = list(manager.foreground_regions if manager.has_regions else manager.foreground_labels)
    if manager.has_ignore_label:
        wanted.append([-1, *manager.all_labels])
    locations = DefaultPreprocessor._sample_foreground_locations(labels, wanted)
    loader = _loader(request, manager)
    counted = {kind: _count(loader, request, locations, forced=kind == "forced") for kind in ("forced", "random")}
    return counted | {"locations": [[key, len(voxels)] for key, voxels in locations.items()]}


def _count(loader: nnUNetDataLoader, request: dict, locations: dict, *, forced: bool) -> dict:
    shape, size = np.array(request["shape"]), np.array(request["load_size"])
    corners = np.array([loader.get_bbox(shape, forced, locations)[0] for _ in range(DRAWS)])
    inside = np.clip(np.minimum(corners + size, shape) - np.maximum(corners, 0), 0, None)
    return {
        "corners": [{str(key): count for key, count in sorted(Counter(axis.tolist()).items())} for axis in corners.T],
        "beyond": float(1 - (inside / size).prod(axis=1).mean()),
    }


def _forced(batch_size: int) -> list[bool]:
    manager = LabelManager({"background": 0, "lesion": 1}, None)
    loader = _loader({"load_size": (4, 8, 8), "patch_size": (4, 8, 8)}, manager, batch_size)
    return [loader.get_do_oversample(number) for number in range(batch_size)]


if __name__ == "__main__":
    main()
