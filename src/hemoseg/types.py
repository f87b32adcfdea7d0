"""Names for the tuples and arrays used throughout; see each one's axis order and unit."""

import numpy as np

from hemoseg.arrays import Bool, Float32, Integer, UInt8

IntZYX = tuple[int, int, int]
"""Counts along the array axes (z, y, x)."""
FloatZYX = tuple[float, float, float]
"""Values along the array axes (z, y, x)."""
FloatXYZ = tuple[float, float, float]
"""A point or vector in the world, LPS (x to the patient's left, y to posterior, z to superior), in mm."""

HU = Float32[np.ndarray, "z y x"]
"""One volume in Hounsfield units, axes (z, y, x)."""
Channels = Float32[np.ndarray, "c z y x"]
"""What a network sees, axes (c, z, y, x), without unit."""
LabelMap = UInt8[np.ndarray, "z y x"]
"""One class number per voxel, 0 is background, axes (z, y, x)."""
NewLabelMap = UInt8[np.ndarray, "nz ny nx"]
"""A label map on another grid than the one it was made from."""
NewStack = Float32[np.ndarray, "*c nz ny nx"]
"""A volume, or channels of one, on another grid than the one it was made from."""
Mask = Bool[np.ndarray, "z y x"]
"""One class, axes (z, y, x)."""
Labels = Integer[np.ndarray, "z y x"]
"""A label map on its way to a network: class numbers, and -1 where nnU-Net's non-zero mask ends."""
NewLabels = Integer[np.ndarray, "nz ny nx"]
"""The same on another grid than the one it was made from."""
