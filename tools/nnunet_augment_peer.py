"""nnU-Net's own augmentation of given patches, and the size that it loads.

Run by the interpreter of .venv-peers: `nnunet_augment_peer.py GIVEN.npz REQUESTS.json FOUND.npz`. GIVEN has
`image-K` (c, z, y, x) and `labels-K` (1 or 2, z, y, x), without z for 2d patches. A request is {"given", "patch_size",
"cascade", "masked", "labels", "seeds", "whole"}; `labels` are those of the previous stage. FOUND has for request I
`load-size-I`, and if `whole` is true `image-I-SEED` and `labels-I-SEED`, else `rows-I`: for each seed the image's mean,
deviation, least and largest value and the shares of the labels 0, 1, 2. The blur is direct, as it is wherever nnU-Net
finds that faster.
"""

import json
import sys

import numpy as np
import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class Plan:
    """What the trainer's method looks at."""

    def __init__(self, patch_size: list[int]) -> None:
        self.configuration_manager = self
        self.patch_size = patch_size

    def print_to_log_file(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Answer all requests."""
    torch.set_num_threads(1)
    given_file, requests_file, found_file = sys.argv[1:]
    found: dict[str, np.ndarray] = {}
    with np.load(given_file) as given, open(requests_file) as handle:  # noqa: PTH123 - one line
        for number, request in enumerate(json.load(handle)):
            chain, load_size = make(request)
            found[f"load-size-{number}"] = np.array(load_size)
            rows = []
            for seed in request["seeds"]:
                image, labels = (torch.from_numpy(given[f"{kind}-{request['given']}"]) for kind in ("image", "labels"))
                out = apply(chain, seed, request["labels"], image=image, segmentation=labels)
                image, labels = out["image"].numpy(), out["segmentation"].numpy().astype(np.int8)
                rows.append(row_of(image, labels))
                if request["whole"]:
                    found[f"image-{number}-{seed}"], found[f"labels-{number}-{seed}"] = image, labels
            if not request["whole"]:
                found[f"rows-{number}"] = np.array(rows)
    np.savez_compressed(found_file, **found)


def apply(chain, seed: int, labels: list[int], **given: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the transforms make of a patch, beginning with a seed."""
    np.random.seed(seed)  # noqa: NPY002 - what the transforms draw from
    torch.manual_seed(seed)
    for transform in chain.transforms:
        inner = getattr(transform, "transform", None)
        if hasattr(inner, "channel_idx"):  # shuffled in place by each call
            inner.channel_idx = list(range(-len(labels), 0))
    return chain(**given)


def row_of(image: np.ndarray, labels: np.ndarray) -> list[float]:
    """Some numbers of a patch."""
    shares = [float((labels == number).mean()) for number in (0, 1, 2)]
    return [float(image.mean()), float(image.std()), float(image.min()), float(image.max()), *shares]


def make(request: dict) -> tuple:
    """The trainer's transforms for a request, and what it loads."""
    patch_size = request["patch_size"]
    rotation, dummy_2d, load_size, mirror_axes = (
        nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(Plan(patch_size))
    )
    chain = nnUNetTrainer.get_training_transforms(
        patch_size,
        rotation,
        None,
        mirror_axes,
        dummy_2d,
        use_mask_for_norm=request["masked"],
        is_cascaded=request["cascade"],
        foreground_labels=request["labels"],
    )
    for transform in chain.transforms:
        inner = getattr(transform, "transform", None)
        if isinstance(inner, GaussianBlurTransform):
            inner.benchmark = False
    return chain, load_size


if __name__ == "__main__":
    main()
