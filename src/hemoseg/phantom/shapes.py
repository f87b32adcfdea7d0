"""Solids whose volume is known in closed form, in the head's frame (LPS axes, mm)."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, prod, sin

import numpy as np

from hemoseg.arrays import Bool, Float32, Float64
from hemoseg.types import FloatXYZ

Points = Float32[np.ndarray, "z y x"]
"""One coordinate of many points, in mm."""
Inside = Bool[np.ndarray, "z y x"]
"""Whether each point lies in a solid."""

RIPPLE_WAVENUMBER = 2.6
"""Waves of a rippled surface, in radians per semi-axis: two or three lobes, as hematomas have."""
SURFACE_POINTS = 600
"""Points that stand for a surface where it is asked how far a solid reaches: under 2 mm apart at 20 ml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipsoid:
    """An ellipsoid, turned about z and, if wanted, rippled: V = 4π/3 · a·b·c.

    The ripple shifts each unit coordinate by a function of another one, u → u + A·sin(k·v + φ) and so on
    around. Each such shear has the Jacobian determinant 1, so the rippled solid keeps the volume exactly.
    """

    center_mm: FloatXYZ
    """Center (x, y, z)."""
    semiaxes_mm: FloatXYZ
    """Semi-axes a, b, c, along x, y, z before turning."""
    yaw: float = 0.0
    """Turn about z, in radians, from x toward y."""
    ripple: float = 0.0
    """Amplitude A in semi-axes; 0 is a plain ellipsoid."""
    phases: FloatXYZ = (0.0, 0.0, 0.0)
    """Phases φ of the ripple, in radians: they make one bleed differ from another."""

    @property
    def volume_ml(self) -> float:
        """4π/3 · a·b·c."""
        return 4 / 3 * pi * prod(self.semiaxes_mm) / 1000

    @property
    def box_mm(self) -> tuple[FloatXYZ, FloatXYZ]:
        """The turned box of the semi-axes, widened by the ripple."""
        return self.box_of_radius(1.0)

    def box_of_radius(self, radius: float) -> tuple[FloatXYZ, FloatXYZ]:
        """A box around the solid scaled by `radius` in its own rippled coordinates."""
        a, b, c = (axis * (radius + self.ripple) for axis in self.semiaxes_mm)
        c_yaw, s_yaw = abs(cos(self.yaw)), abs(sin(self.yaw))
        half = (c_yaw * a + s_yaw * b, s_yaw * a + c_yaw * b, c)
        x, y, z = self.center_mm
        return (x - half[0], y - half[1], z - half[2]), (x + half[0], y + half[1], z + half[2])

    def unit(self, x: Points, y: Points, z: Points) -> tuple[Points, Points, Points]:
        """Coordinates in which the solid is the unit ball."""
        dx, dy = x - np.float32(self.center_mm[0]), y - np.float32(self.center_mm[1])
        a, b, c = self.semiaxes_mm
        u = dx * np.float32(cos(self.yaw) / a) + dy * np.float32(sin(self.yaw) / a)
        v = dy * np.float32(cos(self.yaw) / b) - dx * np.float32(sin(self.yaw) / b)
        w = (z - np.float32(self.center_mm[2])) * np.float32(1 / c)
        if self.ripple:
            amplitude, waves = np.float32(self.ripple), np.float32(RIPPLE_WAVENUMBER)
            u = u + amplitude * np.sin(waves * v + np.float32(self.phases[0]))
            v = v + amplitude * np.sin(waves * w + np.float32(self.phases[1]))
            w = w + amplitude * np.sin(waves * u + np.float32(self.phases[2]))
        return u, v, w

    def squared_radius(self, x: Points, y: Points, z: Points) -> Points:
        """Squared distance from the center in unit coordinates: 1 on the surface."""
        u, v, w = self.unit(x, y, z)
        squared: Points = u * u + v * v + w * w
        return squared

    def surface_mm(self, *, radius: float = 1.0) -> Float64[np.ndarray, "n 3"]:
        """Points (x, y, z) spread evenly over the surface of the solid, scaled by `radius` as in a shell."""
        turn = np.arange(SURFACE_POINTS) * pi * (3 - 5**0.5)
        w = radius * np.linspace(-1, 1, SURFACE_POINTS)
        across = np.sqrt(radius**2 - w**2)
        u, v = across * np.cos(turn), across * np.sin(turn)
        # Undo the shears of `unit`, the last one first.
        w = w - self.ripple * np.sin(RIPPLE_WAVENUMBER * u + self.phases[2])
        v = v - self.ripple * np.sin(RIPPLE_WAVENUMBER * w + self.phases[1])
        u = u - self.ripple * np.sin(RIPPLE_WAVENUMBER * v + self.phases[0])
        a, b, c = self.semiaxes_mm
        x = a * u * cos(self.yaw) - b * v * sin(self.yaw)
        y = a * u * sin(self.yaw) + b * v * cos(self.yaw)
        points: Float64[np.ndarray, "n 3"] = np.stack([x, y, c * w], axis=1) + np.array(self.center_mm)
        return points

    def contains(self, x: Points, y: Points, z: Points) -> Inside:
        """Whether each point lies in the solid."""
        inside: Inside = self.squared_radius(x, y, z) <= 1
        return inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What lies between a solid and its enlargement by `scale`: V = (scale³ - 1) · V of the core."""

    core: Ellipsoid
    """The hole in the shell."""
    scale: float
    """Outer over inner size, above 1."""

    @property
    def volume_ml(self) -> float:
        """(scale³ - 1) times the core's volume."""
        return (self.scale**3 - 1) * self.core.volume_ml

    @property
    def box_mm(self) -> tuple[FloatXYZ, FloatXYZ]:
        """The box of the outer surface."""
        return self.core.box_of_radius(self.scale)

    def contains(self, x: Points, y: Points, z: Points) -> Inside:
        """Whether each point lies between the surfaces."""
        radius = self.core.squared_radius(x, y, z)
        return (radius > 1) & (radius <= self.scale**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """An ellipsoid cut by a plane, as far as a fluid fills it: V = a·b·c · π·h²·(3 - h) / 3.

    The plane stays a plane in the coordinates in which the ellipsoid is the unit ball, and there the part
    beyond it is a ball cap of height h.

    Source:
        Weisstein, MathWorld, "Spherical Cap".
    """

    vessel: Ellipsoid
    """The whole ellipsoid, without ripple."""
    down: FloatXYZ
    """Unit vector (x, y, z) along which the fluid sinks; normal of its surface."""
    height: float
    """Depth h of the fluid in unit coordinates: 0 empty, 2 full."""

    @property
    def volume_ml(self) -> float:
        """a·b·c · π·h²·(3 - h) / 3."""
        return prod(self.vessel.semiaxes_mm) * pi * self.height**2 * (3 - self.height) / 3 / 1000

    @property
    def box_mm(self) -> tuple[FloatXYZ, FloatXYZ]:
        """The box of the whole ellipsoid."""
        return self.vessel.box_mm

    def contains(self, x: Points, y: Points, z: Points) -> Inside:
        """Whether each point lies in the fluid."""
        u, v, w = self.vessel.unit(x, y, z)
        right, back, up = (np.float32(part) for part in self._unit_normal())
        depth = u * right + v * back + w * up
        inside: Inside = (u * u + v * v + w * w <= 1) & (depth >= np.float32(1 - self.height))
        return inside

    def _unit_normal(self) -> tuple[float, float, float]:
        """The normal of the plane in unit coordinates: planes map by the inverse transpose."""
        (x, y, z), (a, b, c) = self.down, self.vessel.semiaxes_mm
        yaw = self.vessel.yaw
        scaled = np.array([a * (cos(yaw) * x + sin(yaw) * y), b * (cos(yaw) * y - sin(yaw) * x), c * z])
        u, v, w = scaled / np.linalg.norm(scaled)
        return float(u), float(v), float(w)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crescent:
    """What lies inside an ellipsoid about the origin and outside a flatter surface through the same rim.

    In unit coordinates the outer surface is the unit sphere around 0 and the inner one a larger sphere; both
    meet in a circle of radius ρ = sin θ in the plane at cos θ along the pole. Both sides of that plane are
    ball caps over the same base, of heights h₁ = 1 - cos θ and h₂ = `flatness` · h₁, so

        V = a·b·c · π/6 · (h₁·(3ρ² + h₁²) - h₂·(3ρ² + h₂²))

    Two equal spheres at a distance d are the special case θ = arccos(-d/2), h₂ = 1 - d/2.

    Source:
        Weisstein, MathWorld, "Spherical Cap" and "Sphere-Sphere Intersection".
    """

    semiaxes_mm: FloatXYZ
    """Semi-axes a, b, c of the outer ellipsoid along x, y, z."""
    pole: FloatXYZ
    """Unit vector (x, y, z), in unit coordinates, to the middle of the crescent."""
    angle: float
    """Angle θ in radians, in unit coordinates, between the pole and the rim."""
    flatness: float
    """Height of the inner cap over that of the outer one: 1 is no crescent, 0 a flat inner surface."""

    @property
    def volume_ml(self) -> float:
        """The difference of two caps, see above."""
        rim2, outer = sin(self.angle) ** 2, 1 - cos(self.angle)
        inner = self.flatness * outer
        unit = pi / 6 * (outer * (3 * rim2 + outer**2) - inner * (3 * rim2 + inner**2))
        return prod(self.semiaxes_mm) * unit / 1000

    @property
    def thickness(self) -> float:
        """Thickness at the pole in unit coordinates."""
        return (1 - self.flatness) * (1 - cos(self.angle))

    @property
    def box_mm(self) -> tuple[FloatXYZ, FloatXYZ]:
        """The box of the outer cap: along an axis it reaches cos(angle to the axis - θ), or 1 if it holds it."""
        low, high = [], []
        for axis, component in zip(self.semiaxes_mm, self.pole, strict=True):
            high.append(axis * self._reach(component))
            low.append(-axis * self._reach(-component))
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def contains(self, x: Points, y: Points, z: Points) -> Inside:
        """Whether each point lies between the surfaces."""
        a, b, c = self.semiaxes_mm
        u, v, w = x * np.float32(1 / a), y * np.float32(1 / b), z * np.float32(1 / c)
        height = self.flatness * (1 - cos(self.angle))
        radius = (sin(self.angle) ** 2 + height**2) / (2 * height)
        far = cos(self.angle) + height - radius
        squared = u * u + v * v + w * w
        along = u * np.float32(self.pole[0]) + v * np.float32(self.pole[1]) + w * np.float32(self.pole[2])
        # |q - far·pole|² > radius², written out so that the first sum is used twice.
        beyond = squared - np.float32(2 * far) * along > np.float32(radius**2 - far**2)
        inside: Inside = (squared <= 1) & beyond
        return inside

    def _reach(self, component: float) -> float:
        between = float(np.arccos(np.clip(component, -1, 1)))
        return 1.0 if between <= self.angle else cos(between - self.angle)


Solid = Ellipsoid | Shell | Cap | Crescent
"""A closed shape: it knows its volume, a box that holds it, and which points it contains."""


def solve(rising: Callable[[float], float], target: float, low: float, high: float) -> float:
    """The argument in [low, high] at which a rising function has the value `target`, by bisection.

    Args:
        rising: a function that rises from at most `target` at `low` to at least `target` at `high`.
        target: the value.
        low: lower end.
        high: upper end.

    Returns:
        The argument, as exact as floats allow.
    """
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
