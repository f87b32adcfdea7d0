"""What is measured of an image: its numbers, whatever they are."""

import hashlib
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib

from hemoseg.anatomy import AIR_HU
from hemoseg.arrays import Float64, Real
from hemoseg.datasets.doctor.tally import Tally
from hemoseg.io.hu import SOFT_TISSUE_HU

Numbers = Real[np.ndarray, "z y x"]

SMOOTH_HU = 5
"""Width of the moving average over the histogram in which the commonest HU is sought."""
TISSUE_HU = (-60, 140)
"""Where the commonest HU of soft tissue is sought: fat lies below, bone above, and a wrong intercept of some tens of
HU leaves the brain within."""
CLIP_HU = 15
"""What clipping heaps up at the ends of the range may be spread this far by noise or by resampling afterward."""
ROWS = 128
"""Rows of a slice that are counted, at most: a quarter of the usual 512 gives the same shares in a quarter of the
time."""
WRAPPED_HU = ((2048, 4095), (60000, 65535))
"""Where negative HU come to lie that wrapped around at 12 and at 16 bits."""
RAISED_HU = 1024
"""What raises values whose intercept was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What was measured of the numbers of an image."""

    content: str
    """Digest of shape and HU: equal images are equal whatever their files are called and however they are packed."""
    low: float
    """Smallest value; NaN if some are not finite."""
    high: float
    """Largest value; NaN if some are not finite."""
    not_finite: int = 0
    """Voxels that are NaN or infinite; the rest was not measured if there are any."""
    soft_share: float = 0.0
    """Share of voxels from 5 to 80 HU."""
    raised_share: float = 0.0
    """Share of voxels from 5 to 80 HU above 1024."""
    air_share: float = 0.0
    """Share of voxels below -200 HU."""
    wrapped_shares: tuple[float, float] = (0.0, 0.0)
    """Shares of voxels in `WRAPPED_HU`."""
    padding: int = 0
    """Voxels below -1024 HU."""
    zero_share: float = 0.0
    """Share of voxels that are exactly 0 beyond what the values beside it let expect."""
    step_hu: float = 1.0
    """Distance of neighboring values that occur, median over soft tissue; 1 where values are fractions."""
    tissue_mode_hu: float | None = None
    """Commonest HU of soft tissue, after smoothing; None if there is no peak."""


def measure_image(hu: Numbers) -> ImageFacts:
    """Measure the numbers of an image. Pure.

    Args:
        hu: axes (z, y, x), as stored; whole numbers of 8 or 16 bits, or float32.
    """
    low, high = float(hu.min()), float(hu.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in hu)
        return ImageFacts(content="", low=np.nan, high=np.nan, not_finite=bad)
    step = max(1, hu.shape[1] // ROWS)
    tally = Tally.of(hu, step=step)
    zero_share = _zero_share(tally)
    soft, raised = SOFT_TISSUE_HU, (SOFT_TISSUE_HU[0] + RAISED_HU, SOFT_TISSUE_HU[1] + RAISED_HU)
    return ImageFacts(
        content=_content(hu, tally),
        low=low,
        high=high,
        soft_share=tally.share(*soft),
        raised_share=tally.share(*raised),
        air_share=tally.share(-32768, -201),
        wrapped_shares=(tally.share(*WRAPPED_HU[0]), tally.share(*WRAPPED_HU[1])),
        padding=int(np.count_nonzero(hu < AIR_HU)) if low < AIR_HU else 0,
        zero_share=zero_share,
        step_hu=_step_hu(tally),
        tissue_mode_hu=_tissue_mode_hu(tally, low, high, has_zeros=zero_share > 0),
    )


def _content(hu: Numbers, tally: Tally) -> str:
    """A digest of an image: a check sum of all voxels, and how often each value occurs on some of its rows.

    A cryptographic hash of all voxels would take as long as half of reading them. Two different images have the same
    check sum with a chance of 2^-32, and hardly ever the same histogram, too.
    """
    check = 0
    for plane in hu:
        check = isal_zlib.crc32(np.ascontiguousarray(_canonical(plane)).data, check)
    found = np.flatnonzero(tally.counts)
    histogram = np.stack([found + tally.low, tally.counts[found]])
    return hashlib.sha256(repr((hu.shape, check)).encode() + histogram.tobytes()).hexdigest()


def _canonical(plane: Real[np.ndarray, "y x"]) -> Real[np.ndarray, "y x"]:
    """A slice such that equal HU have equal bytes: int16 where it holds whole numbers that fit."""
    if plane.dtype == np.int16:
        return plane
    with np.errstate(invalid="ignore"):
        whole = plane.astype(np.int16)
    return whole if np.array_equal(whole, plane) else plane


def _zero_share(tally: Tally) -> float:
    """Share of exact zeros beyond the largest count of a value beside 0."""
    beside = tally.within(-15, 15).copy()
    if len(beside) < 31:  # unsigned numbers: 0 is their lowest, which is for others to judge
        return 0.0
    zeros, beside[15] = int(beside[15]), 0
    return max(0, zeros - int(beside.max())) / max(1, tally.total)


def _step_hu(tally: Tally) -> float:
    """Median distance of values that occur from 0 to 80 HU."""
    found = np.flatnonzero(tally.within(0, 80))
    return float(np.median(np.diff(found))) if len(found) > 2 else 1.0


def _tissue_mode_hu(tally: Tally, low: float, high: float, *, has_zeros: bool) -> float | None:
    """The commonest whole HU of soft tissue.

    Values near the ends of the range are left out, where clipping heaps up what lies beyond, and so are zeros that
    fill a part of the image.
    """
    first, last = max(TISSUE_HU[0], int(low) + CLIP_HU), min(TISSUE_HU[1], int(high) - CLIP_HU)
    counts = tally.within(first, last).astype(np.float64)
    if len(counts) < 2 * SMOOTH_HU or not counts.any():
        return None
    if has_zeros and first < 0 < last:
        counts[-first] = (counts[-first - 1] + counts[-first + 1]) / 2
    smooth: Float64[np.ndarray, " n"] = np.convolve(counts, np.ones(SMOOTH_HU), mode="valid")
    return float(first + SMOOTH_HU // 2 + int(smooth.argmax()))
