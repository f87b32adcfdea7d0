"""Windowed 8-bit pictures joined to pseudo-HU, and masks that are pictures.

Level v of 0 to 255 in a window with bounds a and b stands for

    a + v (b - a) / 255   HU.

The brain window (level 40, width 120) is [-20, 100] in steps of 120/255 = 0.47 HU, the bone window (level 700, width
3200) is [-900, 2300] in steps of 12.5 HU. Brain is taken where it is not saturated, bone elsewhere; joined, they are
clipped to the union of both.
"""

from pathlib import Path

import numpy as np

from hemoseg.arrays import Bool, Float32, Float64, UInt8
from hemoseg.errors import InputError, LabelError
from hemoseg.geometry import Grid
from hemoseg.types import FloatZYX, IntZYX

Picture = UInt8[np.ndarray, "y x"]

BRAIN_HU = (-20.0, 100.0)
"""Bounds of the brain window: level 40, width 120."""
BONE_HU = (-900.0, 2300.0)
"""Bounds of the bone window: level 700, width 3200."""
BOUNDS_HU = (min(BRAIN_HU[0], BONE_HU[0]), max(BRAIN_HU[1], BONE_HU[1]))
"""What joined pictures are clipped to."""
WHITE = 255
SATURATED_WITHIN = 8
"""Levels from either end within which the bone window is asked: JPEG shifts saturated pixels by a few levels. In five
patients of CT-ICH 1.0.0, 56 % of the air is not exactly 0; 0.2 % of it is above 8, and 0.5 % of the bone below 247."""
LARGEST_PIXELS = 4096
"""Pixels along an edge above which a file is no CT slice."""
BLURRED_SHARE = 0.1
"""Gray pixels over white ones above which a picture is no mask: JPEG blurs an outline, not an area."""


def join_windows(brain: Picture, bone: Picture) -> Float32[np.ndarray, "y x"]:
    """Pseudo-HU of one slice, whole numbers: rounding moves them by half a HU at most.

    Args:
        brain: levels in the brain window.
        bone: levels in the bone window.

    Example:
        >>> levels = np.array([[0, 0, 85, 255, 255]], dtype=np.uint8)
        >>> join_windows(levels, np.array([[0, 71, 90, 75, 255]], dtype=np.uint8)).tolist()
        [[-900.0, -20.0, 20.0, 100.0, 2300.0]]
    """
    fine, coarse = _hu(brain, BRAIN_HU), _hu(bone, BONE_HU)
    low = (brain <= SATURATED_WITHIN) & (coarse < BRAIN_HU[0])
    high = (brain >= WHITE - SATURATED_WITHIN) & (coarse > BRAIN_HU[1])
    return np.rint(np.where(low | high, coarse, fine)).astype(np.float32)


def fill_between(
    below: Float32[np.ndarray, "y x"], above: Float32[np.ndarray, "y x"], share: float
) -> Float32[np.ndarray, "y x"]:
    """A slice that is missing, at a share of the way from the one below to the one above, to whole HU."""
    mixed: Float32[np.ndarray, "y x"] = np.rint((1 - share) * below + share * above).astype(np.float32)
    return mixed


def read_picture(path: Path) -> Picture:
    """The levels of a gray 8-bit picture, axes (y, x), the first row at the top.

    Raises:
        InputError: the file cannot be read or is no such picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            kind, size = image.mode, image.size
            if kind == "L" and max(size) <= LARGEST_PIXELS:
                return np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _no_picture(f"cannot be read ({error})", path) from error
    raise _no_picture(f"{size[0]} x {size[1]} pixels of kind {kind}", path)


def read_mask_picture(path: Path) -> Bool[np.ndarray, "y x"]:
    """A mask that is black and white but for JPEG's blur.

    Raises:
        InputError: the file cannot be read or is no gray picture.
        LabelError: it is gray, not black and white.
    """
    levels = read_picture(path)
    mask = levels >= 128
    gray = int(np.count_nonzero((levels >= 64) & (levels < 192)))
    if gray > BLURRED_SHARE * np.count_nonzero(mask):
        raise LabelError(
            f"{gray} gray pixels beside {np.count_nonzero(mask)} white ones",
            where=path,
            expected="a mask: black and white",
            remedy="look at the picture; move it away if it is no mask",
        )
    return mask


def nominal_grid(shape: IntZYX, spacing_mm: FloatZYX) -> Grid:
    """The grid of pictures that show the head from below, centered in the plane.

    Rows run to posterior, columns to the patient's left, slices to superior.
    """
    middle = [(n - 1) / 2 * step for n, step in zip(shape, spacing_mm, strict=True)]
    affine: Float64[np.ndarray, "4 4"] = np.eye(4)
    affine[:3, :3] = np.diag(spacing_mm)[::-1]  # columns z, y, x; rows x, y, z
    affine[:3, 3] = (-middle[2], -middle[1], 0.0)
    return Grid.from_affine(shape, affine)


def _hu(levels: Picture, bounds_hu: tuple[float, float]) -> Float64[np.ndarray, "y x"]:
    low, high = bounds_hu
    hu: Float64[np.ndarray, "y x"] = low + levels.astype(np.float64) * ((high - low) / WHITE)
    return hu


def _no_picture(found: str, path: Path) -> InputError:
    return InputError(
        found,
        where=path,
        expected=f"a gray 8-bit picture of at most {LARGEST_PIXELS} x {LARGEST_PIXELS} pixels",
        remedy="download the file again",
    )
