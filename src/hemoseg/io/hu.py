"""Whether numbers are Hounsfield units."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemoseg.anatomy import AIR_HU
from hemoseg.arrays import Real
from hemoseg.errors import InputError

Numbers = Real[np.ndarray, "z y x"]
"""HU of any type, axes (z, y, x): whole numbers need no conversion to be looked at."""

ABSURD_HU = (-5000.0, 70000.0)
"""No padding value in use lies below (-3024 is the lowest seen) and no metal above."""
SMALLEST_RANGE_HU = 60.0
"""CSF (5) and clotted blood (65) alone differ by this much; z-scored data do not reach it."""
SOFT_TISSUE_HU = (5, 80)
"""CSF, brain and blood."""
SMALLEST_SOFT_SHARE = 0.01
"""Share of voxels in `SOFT_TISSUE_HU` below which no head is to be seen: a head fills 5 % or more."""
ROUNDING_HU = 0.5
"""Pseudo-HU may lie this far beyond their bounds: whole numbers in a file, bounds with a fraction."""
BRIGHT_BORDER_HU = 500.0
"""The median of what lies at the borders of slices is air, padding, or brain where a head was cut to its inside."""
CLIPPED_ABOVE_HU = -100.0
"""A lowest value above this means that air and fat were cut away by a display window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A reason to think that numbers are no HU."""

    found: str
    """What they are like."""
    guess: str
    """What they may be, and what to do then."""


def check_hu(
    hu: Numbers, *, assume_hu: bool, where: Path, pseudo_hu: tuple[float, float] | None = None
) -> tuple[str, ...]:
    """What is doubtful about numbers that should be HU, padding included; nothing is changed.

    Pseudo-HU are known to lack air or bone, so they only have to keep to their bounds: the doubt about them stands
    in the data set's record, not with each scan.

    Args:
        hu: axes (z, y, x).
        assume_hu: whether data that do not look like HU are accepted, with a warning.
        where: the file, for error texts.
        pseudo_hu: bounds of HU that are known to be rebuilt from windowed pictures; None for a scanner's.

    Raises:
        InputError: values that are not finite, that are no HU, or that lie beyond the bounds of pseudo-HU.
    """
    low, high = float(hu.min()), float(hu.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _not_finite(hu, where=where)
    if pseudo_hu is not None:
        _check_bounds(low, high, pseudo_hu, where=where)
        return ()
    warnings = []
    doubt = find_doubt(low, high, lambda: _soft_share(hu)) or _border_doubt(hu)
    if doubt is not None:
        if not assume_hu:
            raise InputError(
                doubt.found,
                where=where,
                expected="Hounsfield units: air about -1000, water 0, brain 20 to 45, bone above 300",
                remedy=f"{doubt.guess}; `hemoseg segment --assume-hu` takes the values of a scan as HU all the same, "
                "but a data set to learn from must hold HU",
            )
        warnings.append(f"values were taken as HU on request, though they do not look so: {doubt.found}")
    if low > CLIPPED_ABOVE_HU:
        warnings.append(f"HU are clipped to [{low:g}, {high:g}]: air, and perhaps fat and bone, were cut off")
    if low < AIR_HU:
        count = int(np.count_nonzero(hu < AIR_HU))
        warnings.append(f"{count:,} voxels below {AIR_HU:g} HU (lowest {low:g}) are padding outside the scanned circle")
    return tuple(warnings)


def find_doubt(low: float, high: float, soft_share: Callable[[], float]) -> Doubt | None:
    """The first reason to think that numbers are no HU.

    Args:
        low: the smallest.
        high: the largest.
        soft_share: gives the share of them in `SOFT_TISSUE_HU`, which takes longer to know; any above
            `SMALLEST_SOFT_SHARE` will do where it is above that.
    """
    found = f"values from {low:g} to {high:g}"
    export = "export HU from the DICOM series, for example with dcm2niix"
    if low == high:
        return Doubt(found=f"the same value {low:g} in every voxel", guess="look at the file: it is empty")
    if low < ABSURD_HU[0] or high > ABSURD_HU[1]:
        return Doubt(found=found, guess=f"the file is damaged or no CT: {export}")
    if low >= 0:
        found += ", none below 0"
        return Doubt(found=found, guess=f"an 8-bit or windowed export, or raw unsigned values: {export}")
    if high - low < SMALLEST_RANGE_HU:
        return Doubt(found=found, guess=f"the data were normalized: {export}")
    share = soft_share()
    if share < SMALLEST_SOFT_SHARE:
        found += f", {100 * share:.2g} % of voxels from {SOFT_TISSUE_HU[0]:g} to {SOFT_TISSUE_HU[1]:g}"
        return Doubt(found=found, guess=f"no soft tissue: raw values offset by 1024, or not a head? {export}")
    return None


def _border_doubt(hu: Numbers) -> Doubt | None:
    """A reason to think that air is bright: bone and metal lie amid a slice, not all around it."""
    border = np.concatenate([side.ravel() for side in (hu[:, 0], hu[:, -1], hu[:, :, 0], hu[:, :, -1])])
    middle = float(np.median(border))
    if middle <= BRIGHT_BORDER_HU:
        return None
    return Doubt(
        found=f"{middle:g} at the borders of slices, where air should be",
        guess="the values are inverted: look at scl_slope in the header, or export HU from the DICOM series",
    )


def _check_bounds(low: float, high: float, bounds_hu: tuple[float, float], *, where: Path) -> None:
    """Whether pseudo-HU keep to what their data set says of them."""
    within = bounds_hu[0] - ROUNDING_HU <= low < high <= bounds_hu[1] + ROUNDING_HU
    if not within:
        raise InputError(
            f"values from {low:g} to {high:g}",
            where=where,
            expected=f"more than one value, all in [{bounds_hu[0]:g}, {bounds_hu[1]:g}]: hemoseg.json says so",
            remedy="import the data set again, or correct bounds_hu in hemoseg.json",
        )


def _soft_share(hu: Numbers) -> float:
    """The share of voxels in `SOFT_TISSUE_HU`, or of as many slices as bring it to `SMALLEST_SOFT_SHARE`: few do."""
    low, high = SOFT_TISSUE_HU
    share, count = 0.0, 0
    for plane in hu:
        count += int(np.count_nonzero((plane >= low) & (plane <= high)))
        share = count / hu.size
        if share >= SMALLEST_SOFT_SHARE:
            break
    return share


def _not_finite(hu: Numbers, *, where: Path) -> InputError:
    bad = ~np.isfinite(hu)
    z, y, x = (int(index) for index in np.unravel_index(int(bad.argmax()), hu.shape))
    return InputError(
        f"{np.count_nonzero(bad):,} voxels are NaN or infinite, the first at (z, y, x) = ({z}, {y}, {x})",
        where=where,
        expected="a finite number in every voxel",
        remedy="convert the scan again, or set these voxels to -1024",
    )
