"""nnU-Net v2's augmentation of patches."""

from hemoseg.training.augment.geometry import Geometry, geometry_of
from hemoseg.training.augment.source import AugmentedSource

__all__ = ["AugmentedSource", "Geometry", "geometry_of"]
