"""nnU-Net v2's augmentation, transform by transform, with batchgeneratorsv2's transforms.

Source: nnunetv2 2.8.1, nnUNetTrainer.get_training_transforms. What differs in result: nothing but the rounding of the
blur, which there is a direct convolution or one by FFT, whichever a clock finds faster, and here always direct. What
comes after it there, regions and targets for deep supervision, is part of the loss here.
"""

from typing import Any

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.nnunet.seg_to_onehot import MoveSegAsOneHotToDataTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform, blur_dimension
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from torch import Tensor

from hemoseg.arrays import Float32
from hemoseg.training.augment.cascade import doubting
from hemoseg.training.augment.geometry import Geometry
from hemoseg.training.augment.spatial import OUTSIDE, Spatial
from hemoseg.types import IntZYX

SCALES = (0.7, 1.4)
"""Above 1, objects become smaller."""
GAIN = (0.75, 1.25)
"""Factors of brightness and contrast; half of them are below 1."""
GAMMA = (0.7, 1.5)
"""Exponents; half of them are below 1."""


def make_transforms(
    geometry: Geometry, patch_size: IntZYX, *, masked: tuple[int, ...] = (), previous_labels: int = 0
) -> BasicTransform:
    """The chain for arrays (c, z, y, x), or (c, y, x) if the geometry is flat.

    Args:
        geometry: of the configuration.
        patch_size: voxels (z, y, x) that come out.
        masked: channels that become 0 where labels are `OUTSIDE`: normalization left them so.
        previous_labels: labels above 0 of the previous stage, whose map is the second channel of the labels; 0 if
            there is none.

    Returns:
        Takes and gives `image` and `segmentation`; in the latter no `OUTSIDE` is left.
    """
    chain = [*_spatial(geometry, patch_size), *_intensity(geometry)]
    axes = tuple(axis - 1 if geometry.flat else axis for axis in geometry.mirror_axes)
    if axes:
        chain.append(MirrorTransform(allowed_axes=axes))
    if masked:
        chain.append(MaskImageTransform(apply_to_channels=list(masked), channel_idx_in_seg=0, set_outside_to=0))
    chain.append(RemoveLabelTransform(OUTSIDE, 0))
    if previous_labels:
        chain += [
            MoveSegAsOneHotToDataTransform(source_channel_idx=1, all_labels=list(range(1, previous_labels + 1))),
            *doubting(previous_labels),
        ]
    return ComposeTransforms(chain)


def _spatial(geometry: Geometry, patch_size: IntZYX) -> list[BasicTransform]:
    """Rotation and scaling, each of a fifth of the patches."""
    planes = geometry.flat or geometry.in_plane
    transform = Spatial(
        patch_size[1:] if planes else patch_size,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=0.2,
        rotation=(-geometry.angle_rad, geometry.angle_rad),
        p_scaling=0.2,
        scaling=SCALES,
        p_synchronize_scaling_across_axes=1,
        border_mode_seg="constant",
        padding_value_seg=OUTSIDE,
    )
    return [Convert3DTo2DTransform(), transform, Convert2DTo3DTransform()] if geometry.in_plane else [transform]


def _intensity(geometry: Geometry) -> list[BasicTransform]:
    """Noise, blur, brightness, contrast, low resolution, and gamma of the negative and of the image."""
    every: dict[str, Any] = {"synchronize_channels": False, "p_per_channel": 1}
    low_resolution = SimulateLowResolutionTransform(
        scale=(0.5, 1),
        synchronize_channels=False,
        synchronize_axes=True,
        ignore_axes=(0,) if geometry.in_plane else None,
        p_per_channel=0.5,
    )
    return [
        RandomTransform(GaussianNoiseTransform((0, 0.1), synchronize_channels=True), apply_probability=0.1),
        RandomTransform(Blur((0.5, 1.0), p_per_channel=0.5, benchmark=True), apply_probability=0.2),
        RandomTransform(MultiplicativeBrightnessTransform(BGContrast(GAIN), **every), apply_probability=0.15),
        RandomTransform(ContrastTransform(BGContrast(GAIN), preserve_range=True, **every), apply_probability=0.15),
        RandomTransform(low_resolution, apply_probability=0.25),
        RandomTransform(GammaTransform(BGContrast(GAMMA), p_invert_image=1, p_retain_stats=1, **every), 0.1),
        RandomTransform(GammaTransform(BGContrast(GAMMA), p_invert_image=0, p_retain_stats=1, **every), 0.3),
    ]


class Blur(GaussianBlurTransform):  # type: ignore[misc]
    """batchgeneratorsv2's blur by direct convolution, for its own choice of a way rests on a clock.

    An axis of fewer voxels than the kernel reaches to is not blurred; there it fails.
    """

    def _benchmark_wrapper(self, img: Float32[Tensor, " c *_"], sigma: float, dim_to_blur: int) -> Tensor:
        if img.shape[dim_to_blur + 1] <= REACH:
            return img
        blurred: Tensor = blur_dimension(img, sigma, dim_to_blur, force_use_fft=False)
        return blurred


REACH = 3
"""Voxels to either side that a kernel of the largest deviation, 1, reaches to."""
