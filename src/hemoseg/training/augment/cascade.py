"""What nnU-Net v2 does to a previous stage's labels so that the second stage does not trust them blindly."""

from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from batchgeneratorsv2.transforms.nnunet.random_binary_operator import ApplyRandomBinaryOperatorTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from torch import Tensor

from hemoseg.arrays import Float32
from hemoseg.components import CORNERS, find_runs

LARGEST_RADIUS = 8
"""Structuring elements are balls of a radius uniform in [1, this], in voxels."""
LARGEST_SHARE = 0.15
"""Components with this share of the patch or more are never removed."""
LABEL_SHARE = 0.5
"""Share of labels that each of the two acts on."""


def doubting(labels: int) -> list[BasicTransform]:
    """What is done to the last channels of a patch, one per label above 0 of the previous stage, and how often."""
    return [
        RandomTransform(Morphology(labels), apply_probability=0.4),
        RandomTransform(RemovedComponent(labels), apply_probability=0.2),
    ]


class Morphology(ImageOnlyTransform):  # type: ignore[misc]
    """Dilates, erodes, closes or opens labels in random order; voxels that one gains are taken from the others.

    batchgeneratorsv2's transform keeps the order of its last call and shuffles that. Here each call begins anew, so
    that it depends on its own chance alone.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.labels = labels

    def apply(self, data_dict: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Act on the last channels of the image."""
        transform = ApplyRandomBinaryOperatorTransform(
            channel_idx=list(range(-self.labels, 0)), strel_size=(1, LARGEST_RADIUS), p_per_label=LABEL_SHARE
        )
        changed: dict[str, Any] = transform(**data_dict)
        return changed


class RemovedComponent(ImageOnlyTransform):  # type: ignore[misc]
    """Removes a random component (26-connectivity, 8 in 2d) of labels, as a network misses a lesion.

    Chance is drawn as by batchgeneratorsv2, whose transform needs a library that is no dependency here.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.labels = labels

    def get_parameters(self, **_: Any) -> dict[str, Any]:
        """Draw the channels to act on, in their order."""
        order = list(range(-self.labels, 0))
        np.random.shuffle(order)  # noqa: NPY002 - the generator of all transforms
        return {"channels": [order[i] for i in torch.nonzero(torch.rand(self.labels) < LABEL_SHARE).flatten().tolist()]}

    def _apply_to_image(self, img: Float32[Tensor, " c *_"], **params: Any) -> Float32[Tensor, " c *_"]:
        for channel in params["channels"]:
            mask = img[channel].numpy() != 0
            runs = find_runs(mask.reshape(-1, *mask.shape[-2:]), CORNERS)
            small = np.flatnonzero(runs.sizes < mask.size * LARGEST_SHARE)
            if len(small):
                chosen = int(np.random.choice(small))  # noqa: NPY002 - as above
                np.random.uniform()  # noqa: NPY002 - there it decides whether another label is put in its place
                z, y, x = (1, *mask.shape)[-3:]
                gone = runs.of(chosen).paint((z, y, x)).reshape(mask.shape)
                img[channel][torch.from_numpy(gone)] = 0
        return img
