"""Connected components of masks: what counts as one lesion."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from hemoseg.types import IntZYX, Mask

TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""26-connectivity: voxels that share a face, an edge or a corner belong together."""


def split_components(mask: Mask) -> Iterator[tuple[IntZYX, Mask]]:
    """Each connected component as (corner, mask of its bounding box), in scan order.

    Args:
        mask: axes (z, y, x).

    Returns:
        The index (z, y, x) of the box's first voxel in `mask`, and the component inside the box.
    """
    numbered, _ = ndimage.label(mask, structure=TOUCHING)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        z, y, x = (int(part.start) for part in box)
        yield (z, y, x), numbered[box] == number


def largest_component(mask: Mask) -> Mask:
    """The largest component alone (6-connectivity); the first of equals; an empty mask stays empty."""
    numbered, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    largest: Mask = numbered == int(sizes.argmax())
    return largest
