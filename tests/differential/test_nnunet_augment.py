"""Augmentation against nnU-Net's own, to the bit, and our faster ways against batchgeneratorsv2's."""

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

from hemoseg.training.augment.spatial import OUTSIDE, Spatial
from training_peer import CHAINS, PYTHON, SEEDS, our_chain, peer_chains


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")
def test_augmented_patches_are_nnunets(tmp_path):
    peer = peer_chains(tmp_path)
    for number in range(len(CHAINS)):
        for seed, (image, labels) in enumerate(our_chain(number)):
            assert np.array_equal(image, peer[f"image-{number}-{seed}"]), (CHAINS[number], seed)
            assert np.array_equal(labels, peer[f"labels-{number}-{seed}"]), (CHAINS[number], seed)
    assert seed == SEEDS - 1


@pytest.mark.parametrize(("shape", "patch_size"), [((5, 40, 34), (32, 28)), ((1, 12, 30, 26), (10, 24, 22))])
@pytest.mark.parametrize("kind", ["noise", "blocks"])
def test_labels_are_turned_as_by_batchgeneratorsv2(shape, patch_size, kind, rng):
    """Slices at once against one by one, and volumes; beyond the borders too; equal but for near ties."""
    labels = torch.from_numpy(rng.integers(-1, 4, shape).astype(np.int16))
    if kind == "blocks":
        labels = labels[..., ::7, ::7].repeat_interleave(7, -1).repeat_interleave(7, -2)[..., : shape[-2], : shape[-1]]
    options = {
        "patch_center_dist_from_border": 0,
        "random_crop": False,
        "p_rotation": 1,
        "rotation": (-np.pi, np.pi),
        "p_scaling": 1,
        "scaling": (0.7, 1.4),
        "p_synchronize_scaling_across_axes": 1,
        "border_mode_seg": "constant",
        "padding_value_seg": OUTSIDE,
    }
    peer, ours = SpatialTransform(patch_size, **options), Spatial(patch_size, **options)
    image, differ = torch.zeros(shape), 0
    for _ in range(12):
        params = peer.get_parameters(image=image)
        expected = peer._apply_to_segmentation(labels, **params)
        found = ours._apply_to_segmentation(labels, **params)
        assert found.dtype == expected.dtype
        differ += int((found != expected).sum())
    assert differ <= 1e-5 * 12 * expected.numel()
