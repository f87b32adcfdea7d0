"""A scan from its windowed pictures."""

import numpy as np

from hemoseg.datasets.importers.core import WindowedScan
from hemoseg.datasets.importers.pictures import (
    fill_between,
    join_windows,
    nominal_grid,
    read_mask_picture,
    read_picture,
)
from hemoseg.errors import GeometryError
from hemoseg.geometry import Volume, uniform_slices
from hemoseg.types import FloatZYX, LabelMap


def read_windowed(scan: WindowedScan, *, name: str, spacing_mm: FloatZYX) -> tuple[Volume, LabelMap | None]:
    """Pseudo-HU of a scan, and its mask: 1 where a picture marks blood; None if no slice has a mask.

    Slices without pictures lie on the straight line between the nearest ones below and above.

    Args:
        scan: its pictures.
        name: name of the scan.
        spacing_mm: nominal spacing (z, y, x).

    Raises:
        InputError: a picture cannot be read.
        GeometryError: pictures differ in size.
        LabelError: a mask is not black and white.
    """
    shape: tuple[int, ...] = ()
    planes: dict[int, np.ndarray] = {}
    masks: dict[int, np.ndarray] = {}
    for index, part in enumerate(scan.slices):
        if part.brain is None or part.bone is None:
            continue
        brain, bone = read_picture(part.brain), read_picture(part.bone)
        pictures = {part.brain: brain, part.bone: bone}
        if part.mask is not None:
            masks[index] = pictures[part.mask] = read_mask_picture(part.mask)
        shape = shape or brain.shape
        for path, picture in pictures.items():
            if picture.shape != shape:
                raise GeometryError(
                    f"{picture.shape} pixels (y, x), the scan's first picture has {shape}",
                    where=path,
                    expected="pictures of one size",
                    remedy="download the patient's pictures again",
                )
        planes[index] = join_windows(brain, bone)
    there = sorted(planes)
    for index in range(len(scan.slices)):
        if index not in planes:
            below = max(i for i in there if i < index)
            above = min(i for i in there if i > index)
            planes[index] = fill_between(planes[below], planes[above], (index - below) / (above - below))
    hu = np.stack([planes[index] for index in range(len(scan.slices))])
    grid = nominal_grid((hu.shape[0], hu.shape[1], hu.shape[2]), spacing_mm)
    volume = Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name=name)
    if not masks:
        return volume, None
    labels = np.zeros(hu.shape, dtype=np.uint8)
    for index, mask in masks.items():
        labels[index] = mask
    return volume, labels
