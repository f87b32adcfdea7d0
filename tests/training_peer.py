"""nnU-Net's own sampling and augmentation in processes of their own, and ours of the same cases and patches."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform

from hemoseg.plan import Configuration
from hemoseg.training.augment.chance import alone
from hemoseg.training.augment.geometry import geometry_of
from hemoseg.training.augment.table import make_transforms
from plans import tiny_configuration

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
LABELS = {"background": 0, "one": 1, "two": 2}
REGIONS = {"background": 0, "whole": [1, 2], "core": [2]}
FAR = [2, [[9, 12], [30, 40], [33, 36]]]
PLACES: list[dict[str, Any]] = [
    {
        "shape": [12, 40, 36],
        "boxes": [[1, [[2, 8], [5, 30], [5, 20]]], FAR],
        "labels": LABELS,
        "load_size": [8, 37, 37],
        "patch_size": [8, 32, 32],
    },
    {
        "shape": [12, 40, 36],
        "boxes": [[1, [[2, 4], [5, 8], [5, 8]]], FAR],
        "labels": LABELS,
        "load_size": [4, 16, 16],
        "patch_size": [4, 16, 16],
    },
    {
        "shape": [5, 40, 19],
        "boxes": [[1, [[4, 5], [38, 40], [0, 3]]]],
        "labels": LABELS,
        "load_size": [12, 45, 33],
        "patch_size": [12, 32, 24],
    },
    {
        "shape": [12, 40, 36],
        "boxes": [[1, [[0, 3], [0, 5], [0, 9]]], FAR],
        "labels": REGIONS,
        "load_size": [8, 19, 19],
        "patch_size": [8, 16, 16],
    },
    {
        "shape": [12, 40, 36],
        "boxes": [[3, [[0, 12], [0, 40], [10, 36]]], [1, [[3, 5], [4, 9], [1, 9]]]],
        "labels": LABELS | {"ignore": 3},
        "load_size": [8, 19, 19],
        "patch_size": [8, 16, 16],
    },
    {
        "shape": [7, 40, 36],
        "boxes": [[1, [[2, 4], [5, 8], [5, 8]]], [2, [[6, 7], [30, 31], [33, 36]]]],
        "labels": LABELS,
        "load_size": [1, 21, 21],
        "patch_size": [1, 16, 16],
    },
    {"shape": [7, 20, 16], "boxes": [], "labels": LABELS, "load_size": [4, 9, 9], "patch_size": [4, 8, 8]},
    {
        "shape": [12, 40, 36],
        "boxes": [[3, [[0, 12], [0, 40], [20, 36]]], [1, [[0, 3], [0, 5], [0, 9]]], FAR],
        "labels": REGIONS | {"ignore": 3},
        "load_size": [8, 19, 19],
        "patch_size": [8, 16, 16],
    },
]
"""Cases of boxes and patches in them."""
SEEDS = 40
"""Draws of each chain that are compared voxel by voxel."""
MANY = 0
"""The chain of which many draws are compared in their distribution."""
CHAINS: list[dict[str, Any]] = [
    {"patch_size": (8, 32, 40), "channels": 3, "masked": (), "cascade": False},
    {"patch_size": (24, 32, 28), "channels": 2, "masked": (0,), "cascade": False},
    {"patch_size": (1, 32, 28), "channels": 1, "masked": (), "cascade": False},
    {"patch_size": (1, 48, 28), "channels": 1, "masked": (), "cascade": False},
    {"patch_size": (8, 32, 40), "channels": 1, "masked": (), "cascade": True},
    {"patch_size": (24, 32, 28), "channels": 1, "masked": (), "cascade": True},
]
"""In plane, in space, in 2d (round and oblong), and second stages of cascades."""


def peer_places() -> dict[str, Any]:
    """nnU-Net's places of patches in `PLACES`, counted, and which patches of a batch it forces."""
    done = subprocess.run(
        [PYTHON, ROOT / "tools" / "nnunet_sampler_peer.py"],
        input=json.dumps(PLACES),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def configuration(patch_size: tuple[int, int, int]) -> Configuration:
    """A configuration of a patch size; 2d if it is one slice."""
    flat = patch_size[0] == 1
    return tiny_configuration(
        patch_size=patch_size,
        dimensions=2 if flat else 3,
        mirror_axes=(1, 2) if flat else (0, 1, 2),
        kernels=((1, 3, 3), (1, 3, 3)),
    )


def toy(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels, and those of a previous stage, of a chain's load size; for 2d without z."""
    chain = CHAINS[number]
    shape = geometry_of(configuration(chain["patch_size"])).load_size
    rng = np.random.default_rng(number)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    channels = [x * (k + 1) + y * y - z + rng.integers(-20, 20, shape) / 100 for k in range(chain["channels"])]
    labels = np.where(z**2 + (1.5 * y) ** 2 + (1.4 * x) ** 2 < 0.6, 1, 0).astype(np.int16)
    labels[(z - 0.2) ** 2 + (4 * (y - 0.3)) ** 2 + (4 * x) ** 2 < 0.5] = 2
    labels[:, :2] = -1
    image = np.stack(channels).astype(np.float32)
    maps = np.stack([labels, np.roll(labels, 2, axis=1)] if chain["cascade"] else [labels])
    return (image[:, 0], maps[:, 0]) if shape[0] == 1 else (image, maps)


def peer_chains(folder: Path, *, draws: int = 1) -> dict[str, np.ndarray]:
    """nnU-Net's augmentation of the toys: `image-I-SEED`, `labels-I-SEED`, `load-size-I`; and `rows` of `draws`."""
    requests: list[dict[str, Any]] = []
    given = {}
    for number, chain in enumerate(CHAINS):
        given[f"image-{number}"], given[f"labels-{number}"] = toy(number)
        flat = chain["patch_size"][0] == 1
        requests.append(
            {
                "given": number,
                "patch_size": chain["patch_size"][1:] if flat else chain["patch_size"],
                "cascade": chain["cascade"],
                "masked": [channel in chain["masked"] for channel in range(chain["channels"])],
                "labels": [1, 2],
                "seeds": list(range(SEEDS)),
                "whole": True,
            }
        )
    requests.append(requests[MANY] | {"seeds": list(range(draws)), "whole": False})
    files = folder / "given.npz", folder / "requests.json", folder / "found.npz"
    np.savez(files[0], **given)
    files[1].write_text(json.dumps(requests))
    subprocess.run([PYTHON, ROOT / "tools" / "nnunet_augment_peer.py", *files], check=True, capture_output=True)
    with np.load(files[2]) as found:
        return dict(found) | {"rows": found[f"rows-{len(CHAINS)}"]}


def our_transforms(number: int) -> BasicTransform:
    """Our transforms of a chain."""
    chain = CHAINS[number]
    return make_transforms(
        geometry_of(configuration(chain["patch_size"])),
        chain["patch_size"],
        masked=chain["masked"],
        previous_labels=2 if chain["cascade"] else 0,
    )


def our_chain(number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Our augmentation of a toy: (image, labels) for each seed."""
    made, found = our_transforms(number), []
    for seed in range(SEEDS):
        image, labels = (torch.from_numpy(array) for array in toy(number))
        with alone(np.random.default_rng(0)):
            np.random.seed(seed)  # noqa: NPY002 - as the peer is
            torch.manual_seed(seed)
            out = made(image=image, segmentation=labels)
        found.append((out["image"].numpy(), out["segmentation"].numpy()))
    return found


def row_of(image: np.ndarray, labels: np.ndarray) -> list[float]:
    """Mean, deviation, least and largest value of an image, and the shares of the labels 0, 1, 2."""
    shares = [float((labels == number).mean()) for number in (0, 1, 2)]
    return [float(image.mean()), float(image.std()), float(image.min()), float(image.max()), *shares]


def digest(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Some voxels of an image, and its row."""
    return np.array([*image.reshape(-1)[::211], *row_of(image, labels)], dtype=np.float32)
