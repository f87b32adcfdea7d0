"""Phantoms: heads with simulated bleeds of exactly known volume. No model is ever trained on them."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hemoseg.errors import GeometryError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.labels import LabelTable
from hemoseg.phantom.bleeds import DAMMED, Bleed, make_bleed
from hemoseg.phantom.head import draw_anatomy, fill_head
from hemoseg.phantom.raster import FINE, Frame, fill_fractions
from hemoseg.phantom.spec import PhantomSpec
from hemoseg.types import HU, LabelMap

TABLE = LabelTable(("background", "hemorrhage", "edema"))
"""Classes of the reference label maps."""
BLOOD_HU = (57.0, 68.0)
"""Blood is drawn from this range: usual for acute clots, between fresh unclotted blood and dense clots."""
EDEMA_HU = 20.0
"""Edema: between white matter and fluid."""
BLUR_MM = 0.7
"""Standard deviation of the point spread in plane: that of a soft-tissue kernel."""
NOISE_HU = 4.0
"""Standard deviation of the noise: usual for 5 mm slices of the head."""
NOISE_WIDTH = 0.7
"""In-plane correlation of the noise, standard deviation of the smoothing in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """A scan and the truth about it."""

    spec: PhantomSpec
    """What was asked for."""
    volume: Volume
    """The scan, whole HU, canonical axes."""
    reference: LabelMap
    """Voxels at least half full of a class: 1 hemorrhage, 2 edema; axes (z, y, x)."""
    truth_ml: dict[str, float]
    """Exact milliliters of `hemorrhage` and `edema`, from closed forms and not from voxels."""


def make_phantom(spec: PhantomSpec) -> Phantom:
    """The phantom of a spec: the same spec gives the same bits.

    Voxels hold the mean HU of what lies in them (partial volume), then come the scanner's point spread in
    plane and its noise. A seed gives the same head and the same bleed on every grid.

    Args:
        spec: what to make.

    Raises:
        InputError: the bleed does not fit its region.
        GeometryError: the grid does not hold the whole bleed, so that its volume could not be measured.
    """
    spec.check()
    anatomy = draw_anatomy(spec.seed, ventricle_scale=DAMMED if spec.site == "intraventricular" else 1.0)
    frame = Frame(grid=_grid(spec), pose=anatomy.pose)
    bleed = make_bleed(spec, anatomy)
    hu = fill_head(anatomy, frame)
    reference = np.zeros(spec.shape, dtype=np.uint8)
    truth_ml = dict.fromkeys(TABLE.foreground, 0.0)
    if bleed is not None:
        _check_grid(spec, frame, bleed)
        truth_ml = _add_bleed(bleed, frame, hu, reference, blood_hu=_blood_hu(spec.seed))
    volume = Volume(hu=_scanned(hu, spec), grid=frame.grid, slices=uniform_slices(frame.grid), name=spec.name)
    return Phantom(spec=spec, volume=volume, reference=reference, truth_ml=truth_ml)


def demo_specs() -> tuple[PhantomSpec, ...]:
    """The phantoms of `hemoseg demo`: a head without bleed, each site, a small bleed and a fine grid."""
    return (
        PhantomSpec(site="none", seed=101),
        PhantomSpec(site="deep", volume_ml=2.0, side="right", seed=102),
        PhantomSpec(site="deep", volume_ml=25.0, edema_ml=15.0, side="left", seed=103),
        PhantomSpec(site="lobar", volume_ml=15.0, side="right", seed=104),
        PhantomSpec(site="subdural", volume_ml=40.0, side="left", seed=105),
        PhantomSpec(site="intraventricular", volume_ml=8.0, side="left", seed=106),
        PhantomSpec(
            site="deep",
            volume_ml=12.0,
            side="right",
            seed=107,
            shape=(30, 512, 512),
            spacing_mm=(5.0, 0.45, 0.45),
        ),
    )


def _grid(spec: PhantomSpec) -> Grid:
    """A canonical grid whose middle is the world's origin."""
    middle = [(n - 1) / 2 * step for n, step in zip(spec.shape, spec.spacing_mm, strict=True)]
    return Grid(
        shape=spec.shape,
        spacing_mm=spec.spacing_mm,
        origin_lps_mm=(-middle[2], -middle[1], -middle[0]),
        direction=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )


def _check_grid(spec: PhantomSpec, frame: Frame, bleed: Bleed) -> None:
    if not frame.holds(bleed.outermost):
        extent = " x ".join(f"{n * step:g}" for n, step in zip(spec.shape, spec.spacing_mm, strict=True))
        raise GeometryError(
            f"the bleed reaches beyond a grid of {extent} mm (z, y, x)",
            where=spec.name,
            expected="a grid that holds the whole bleed: 160 x 190 x 170 mm hold any",
            remedy="take more voxels or a wider spacing",
        )


def _blood_hu(seed: int) -> float:
    return float(np.random.default_rng([seed, 2]).uniform(*BLOOD_HU))


def _add_bleed(bleed: Bleed, frame: Frame, hu: HU, reference: LabelMap, *, blood_hu: float) -> dict[str, float]:
    """Put blood and edema into `hu` and `reference`, in place; return the exact milliliters."""
    parts = ((bleed.edema, 2, EDEMA_HU), (bleed.hemorrhage, 1, blood_hu))
    truth_ml = {}
    for solid, number, value in parts:
        name = TABLE.names[number]
        truth_ml[name] = 0.0 if solid is None else solid.volume_ml
        if solid is not None:
            box, fraction = fill_fractions(solid, frame, samples=FINE)
            hu[box] += fraction * (np.float32(value) - hu[box])
            reference[box][fraction >= 0.5] = number
    return {name: truth_ml[name] for name in TABLE.foreground}


def _scanned(hu: HU, spec: PhantomSpec) -> HU:
    """What a scanner makes of true HU: blurred in plane, noisy, whole numbers."""
    _, rows_mm, columns_mm = spec.spacing_mm
    blurred = ndimage.gaussian_filter(hu, (0, BLUR_MM / rows_mm, BLUR_MM / columns_mm), truncate=3)
    noise = np.random.default_rng([spec.seed, 3]).standard_normal(hu.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, (0, NOISE_WIDTH, NOISE_WIDTH), truncate=3)
    blurred += noise * np.float32(NOISE_HU / noise.std())
    scanned: HU = np.rint(np.maximum(blurred, -1024))
    return scanned
