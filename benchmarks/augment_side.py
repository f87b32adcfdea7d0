"""One side of `augment.py`: `augment_side.py ours|peer Z Y X PATCHES FILE` augments patches and writes what it took.

The peer's side runs in .venv-peers, so nothing of ours is imported there.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

WARM_UP = 12


def ours(patch_size: tuple[int, int, int]) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """Our transforms, and what is loaded."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from hemoseg.training.augment.geometry import geometry_of
    from hemoseg.training.augment.table import make_transforms
    from training_peer import configuration

    geometry = geometry_of(configuration(patch_size))
    return make_transforms(geometry, patch_size), geometry.load_size


def peer(patch_size: tuple[int, int, int]) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """nnU-Net's, with the blur as it is there."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    from nnunet_augment_peer import GaussianBlurTransform, make

    chain, load_size = make({"patch_size": list(patch_size), "masked": [False], "cascade": False, "labels": [1, 2]})
    for transform in chain.transforms:
        inner = getattr(transform, "transform", None)
        if isinstance(inner, GaussianBlurTransform):
            inner.benchmark = True
    return chain, tuple(int(n) for n in load_size)


def make_patch(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, an ellipsoid of label 1 and a lesion of label 2."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    labels = np.where(z**2 + (1.5 * y) ** 2 + (1.8 * x) ** 2 < 0.6, 1, 0).astype(np.int16)
    labels[(2 * (z - 0.2)) ** 2 + (5 * (y - 0.1)) ** 2 + (6 * x) ** 2 < 0.5] = 2
    image = labels + np.random.default_rng(0).normal(0, 0.3, shape)
    return torch.from_numpy(image.astype(np.float32)[None]), torch.from_numpy(labels[None])


def main() -> None:
    """Augment, and write seconds, peak memory and some numbers of each patch."""
    side, *numbers, file = sys.argv[1:]
    z, y, x, patches = map(int, numbers)
    torch.set_num_threads(1)
    chain, load_size = {"ours": ours, "peer": peer}[side]((z, y, x))
    image, labels = make_patch(load_size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows, seconds = [], 0.0
    for seed in range(-WARM_UP, patches):
        np.random.seed(seed % 2**32)  # noqa: NPY002 - what the transforms draw from
        torch.manual_seed(seed)
        given = image.clone(), labels.clone()
        began = time.perf_counter()
        with torch.no_grad():
            out = chain(image=given[0], segmentation=given[1])
        if seed >= 0:
            seconds += time.perf_counter() - began
            counts = [int((out["segmentation"] == number).sum()) for number in range(3)]
            rows.append([float(out["image"].mean()), float(out["image"].std()), *counts])
    peak_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e6
    Path(file).write_text(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "rows": rows}))


if __name__ == "__main__":
    main()
