"""Bleeds of a wanted volume, placed where such bleeds occur."""

from dataclasses import dataclass
from math import asin, cos, pi, prod, radians, sin

import numpy as np

from hemoseg.errors import InputError
from hemoseg.phantom.head import BRAIN_EDGE, DOME_MM, Anatomy
from hemoseg.phantom.shapes import Cap, Crescent, Ellipsoid, Shell, Solid, solve
from hemoseg.phantom.spec import PhantomSpec
from hemoseg.types import FloatXYZ

MIDLINE_MM = 3.0
"""Bleeds of the brain stay this far from the midline: falx and third ventricle lie between."""
RIPPLE = 0.13
"""Ripple of hematomas, in semi-axes: they look no longer drawn with compasses."""
LARGE_ML = 100.0
"""Lobar bleeds of this volume with their edema fill half a hemisphere and fit at the side alone."""
FULLEST = 0.95
"""Part of a ventricle that blood may fill; the rest stays fluid."""
DAMMED = 1.2
"""Size of the ventricles over the usual one where blood dams them up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bleed:
    """Blood and the edema around it."""

    hemorrhage: Solid
    """The blood."""
    edema: Shell | None
    """The rim around it; None without edema."""

    @property
    def outermost(self) -> Solid:
        """The solid that reaches farthest."""
        return self.edema or self.hemorrhage


def make_bleed(spec: PhantomSpec, anatomy: Anatomy) -> Bleed | None:
    """The bleed of a spec inside a head; None for the site `none`.

    The size comes from the closed form of the shape, so the volume is exact before any voxel is filled.

    Raises:
        InputError: the volume does not fit where it should be.
    """
    if spec.site == "none":
        return None
    rng = np.random.default_rng([spec.seed, 1])
    if spec.site == "subdural":
        return Bleed(hemorrhage=_subdural(spec, anatomy, rng), edema=None)
    if spec.site == "intraventricular":
        return Bleed(hemorrhage=_intraventricular(spec, anatomy), edema=None)
    core = _deep(spec, rng) if spec.site == "deep" else _lobar(spec, anatomy, rng)
    _check_hemisphere(spec, anatomy, core)
    edema = Shell(core=core, scale=_scale(spec)) if spec.edema_ml else None
    return Bleed(hemorrhage=core, edema=edema)


def _sign(spec: PhantomSpec) -> int:
    return 1 if spec.side == "left" else -1


def _scale(spec: PhantomSpec) -> float:
    """Size of blood and edema together over that of the blood."""
    return float((1 + spec.edema_ml / spec.volume_ml) ** (1 / 3))


def _hematoma(spec: PhantomSpec, proportions: FloatXYZ, center: FloatXYZ, rng: np.random.Generator) -> Ellipsoid:
    """A rippled ellipsoid of the volume wanted, its semi-axes about in these proportions."""
    wanted = np.array(proportions) * rng.uniform(0.9, 1.1, 3)
    a, b, c = wanted * (spec.volume_ml * 1000 / (4 / 3 * pi * prod(wanted))) ** (1 / 3)
    yaw = _sign(spec) * radians(rng.uniform(0, 20))
    one, two, three = rng.uniform(0, 2 * pi, 3)
    return Ellipsoid(
        center_mm=center,
        semiaxes_mm=(float(a), float(b), float(c)),
        yaw=yaw,
        ripple=RIPPLE,
        phases=(float(one), float(two), float(three)),
    )


def _deep(spec: PhantomSpec, rng: np.random.Generator) -> Ellipsoid:
    """In the lentiform nucleus, longer from front to back; large ones grow outward, off the ventricles."""
    solid = _hematoma(spec, (0.78, 1.3, 0.98), (0.0, 0.0, 0.0), rng)
    reach = float(solid.surface_mm(radius=_scale(spec))[:, 0].max())
    shift = rng.uniform(-2, 2, 3)
    x = max(25 + shift[0], MIDLINE_MM + 8 + reach)
    return _moved(solid, (_sign(spec) * float(x), float(-2 + shift[1]), float(2 + shift[2])))


def _lobar(spec: PhantomSpec, anatomy: Anatomy, rng: np.random.Generator) -> Ellipsoid:
    """Under the cortex, moved outward along a random ray until it nearly touches the surface.

    The larger it is, the closer the ray runs to the side, where the brain is widest.
    """
    narrow = 1 - min(0.9, (spec.volume_ml + spec.edema_ml) / LARGE_ML)
    azimuth, elevation = radians(narrow * rng.uniform(-55, 55)), radians(10 + narrow * rng.uniform(5, 35))
    ray = (_sign(spec) * cos(elevation) * cos(azimuth), cos(elevation) * sin(azimuth), sin(elevation))
    solid = _hematoma(spec, (0.9, 1.2, 0.9), (0.0, 0.0, 0.0), rng)

    def at(level: float) -> Ellipsoid:
        x, y, z = (level * axis * part for axis, part in zip(anatomy.semiaxes_mm, ray, strict=True))
        return _moved(solid, (x, y, z))

    level = solve(lambda level: _highest_level(at(level), anatomy, _scale(spec)), BRAIN_EDGE - 0.02, 0.0, 1.0)
    return at(level)


def _subdural(spec: PhantomSpec, anatomy: Anatomy, rng: np.random.Generator) -> Crescent:
    """A crescent over the convexity; a larger one is wider and thicker in the same proportion."""
    azimuth, elevation = radians(rng.uniform(-20, 20)), radians(rng.uniform(29, 34))
    flatness = float(rng.uniform(0.4, 0.55))
    x, y, z = cos(elevation) * cos(azimuth), cos(elevation) * sin(azimuth), sin(elevation)
    # The rim stays on its side of the midline, and in the part of the cavity that is an ellipsoid.
    widest = min(asin(x), asin(z) + asin(DOME_MM / anatomy.semiaxes_mm[2]))

    def at(angle: float) -> Crescent:
        return Crescent(semiaxes_mm=anatomy.semiaxes_mm, pole=(_sign(spec) * x, y, z), angle=angle, flatness=flatness)

    if at(widest).volume_ml < spec.volume_ml:
        raise _too_large(spec, "the subdural space of one side", at(widest).volume_ml)
    return at(solve(lambda angle: at(angle).volume_ml, spec.volume_ml, 0.0, widest))


def _intraventricular(spec: PhantomSpec, anatomy: Anatomy) -> Cap:
    """A lateral ventricle filled to a level from behind, since patients lie on their backs."""
    vessel = anatomy.ventricles[0 if spec.side == "left" else 1]
    x, y, z = (float(value) for value in anatomy.pose.rotation[1])

    def at(height: float) -> Cap:
        return Cap(vessel=vessel, down=(x, y, z), height=height)

    if vessel.volume_ml * FULLEST < spec.volume_ml:
        raise _too_large(spec, "a lateral ventricle", vessel.volume_ml * FULLEST)
    return at(solve(lambda height: at(height).volume_ml, spec.volume_ml, 0.0, 2.0))


def _moved(solid: Ellipsoid, center: FloatXYZ) -> Ellipsoid:
    return Ellipsoid(
        center_mm=center,
        semiaxes_mm=solid.semiaxes_mm,
        yaw=solid.yaw,
        ripple=solid.ripple,
        phases=solid.phases,
    )


def _highest_level(solid: Ellipsoid, anatomy: Anatomy, scale: float) -> float:
    """How far toward the inner table a solid, enlarged by `scale`, reaches: 1 touches it."""
    x, y, z = solid.surface_mm(radius=scale).T.astype(np.float32)[:, :, None, None]
    return float(np.sqrt(anatomy.squared_level(x, y, z).max()))


def _check_hemisphere(spec: PhantomSpec, anatomy: Anatomy, core: Ellipsoid) -> None:
    """Refuse a hematoma that, with its edema, leaves its half of the brain."""
    surface = core.surface_mm(radius=_scale(spec))
    crosses = float((_sign(spec) * surface[:, 0]).min()) < MIDLINE_MM
    if crosses or _highest_level(core, anatomy, _scale(spec)) > BRAIN_EDGE:
        raise spec.refusal(
            f"{spec.volume_ml:g} ml of blood and {spec.edema_ml:g} ml of edema do not fit one half of the brain",
            f"a {spec.site} bleed between midline and brain surface; {spec.volume_ml / 2:g} ml may fit",
        )


def _too_large(spec: PhantomSpec, region: str, most_ml: float) -> InputError:
    return spec.refusal(f"{spec.volume_ml:g} ml of blood do not fit {region}", f"at most {most_ml:.1f} ml in this head")
