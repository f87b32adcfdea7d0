"""nnU-Net v2's augmentation of patches."""

from hemoseg.training.augment.doubted import DoubtedSource
from hemoseg.training.augment.geometry import Geometry, geometry_of
from hemoseg.training.augment.source import AugmentedSource

__all__ = ["AugmentedSource", "DoubtedSource", "Geometry", "geometry_of"]
