"""The networks that the head-CT planner chooses among, the smallest first, each on the grid of the data."""

from dataclasses import dataclass
from math import ceil, inf, prod

from hemoseg.plan import Configuration, ConfigurationName, Precision
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.recipes import mirrored_axes, recipe_name
from hemoseg.planning.topology import make_topology, stage_features
from hemoseg.settings import Settings, Steps
from hemoseg.types import FloatZYX

FINEST_MM = 0.9
"""In-plane spacing is not finer than this: at 0.45 mm a patch of equal extent costs four times as much."""
FINEST_SLICE_MM = 2.5
"""Slices are averaged to at least this: thin ones are noisy, and most data sets are of 5 mm."""
PATCH_SLICES = 16
"""Slices of a 3-D patch."""
PATCH_VOXELS = PATCH_SLICES * 96 * 96
"""Voxels of a usual patch: at 5 x 0.9 x 0.9 mm, half a head's width, all a lesion's neighborhood."""
EDGE_2D = 192
"""Voxels along y and x of a usual 2d patch: the whole head."""
LOWRES_FACTOR = 2.0
"""In-plane coarsening of the low-resolution configuration."""
PATCHES = 2
"""Patches of full size per step, nnU-Net's least; where the head makes patches smaller, there are more."""
MARGIN_VOXELS = 8.0
"""A patch reaches this far beyond the head at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One size of network and patch."""

    base: int
    """Channels of the finest stage."""
    voxels: int
    """Voxels of a 3-D patch, where the head is that large."""

    @property
    def edge_2d(self) -> float:
        """Voxels along y and x of a 2d patch: as many times fewer or more as in 3-D."""
        return float(EDGE_2D * (self.voxels / PATCH_VOXELS) ** 0.5)


LADDER = (
    Rung(base=8, voxels=16 * 32 * 32),
    Rung(base=8, voxels=16 * 64 * 64),
    Rung(base=8, voxels=PATCH_VOXELS),
    Rung(base=16, voxels=PATCH_VOXELS),
    Rung(base=24, voxels=PATCH_VOXELS),
    Rung(base=32, voxels=PATCH_VOXELS),
    Rung(base=32, voxels=16 * 128 * 128),
    Rung(base=32, voxels=16 * 192 * 192),
)
"""All sizes. First features grow up to nnU-Net's 32, then the patch, up to the whole head in plane."""
SMALLEST_USUAL = 2
"""Rungs below this one are for little memory alone: their patches show less than half a head."""
USUAL = 3
"""The rung where no clock may decide: 16 base features."""
ENOUGH_ITERATIONS = 3500
"""A larger network is chosen only if the budget gives it this many steps: a judgment, not yet measured."""


def configuration_names(fingerprint: Fingerprint, settings: Settings) -> tuple[ConfigurationName, ...]:
    """The networks to train, a previous stage before the one that needs it."""
    if settings.config == "auto":
        slices = fingerprint.head_mm[0] / target_spacing(fingerprint, settings.steps)[0]
        return ("3d_fullres",) if slices >= PATCH_SLICES / 2 else ("2d",)
    if settings.config == "cascade":
        return ("3d_lowres", "3d_cascade_fullres")
    if settings.config == "all":
        return ("2d", "3d_fullres")
    return (settings.config,)


def make_rungs(
    fingerprint: Fingerprint, settings: Settings, *, precision: Precision, iterations: int = 1
) -> dict[int, tuple[Configuration, ...]]:
    """For each rung of `LADDER`, by its index, all configurations of the run; those that repeat a lower rung are left
    out: a small head limits the patch."""
    names = configuration_names(fingerprint, settings)
    rungs: dict[int, tuple[Configuration, ...]] = {}
    for index, rung in enumerate(LADDER):
        made = tuple(
            _configuration(name, rung, fingerprint, settings, precision=precision, iterations=iterations)
            for name in names
        )
        if made not in rungs.values():
            rungs[index] = made
    return rungs


def target_spacing(fingerprint: Fingerprint, steps: Steps) -> FloatZYX:
    """The median of the data after pooling, but not finer than it need be; along z, the spacing asked for if any is."""
    z, y, x = fingerprint.spacing_mm
    factor = steps.pooling.factor if steps.pooling is not None else 1
    return steps.slice_spacing_mm or max(z, FINEST_SLICE_MM), max(y * factor, FINEST_MM), max(x * factor, FINEST_MM)


def _configuration(
    name: ConfigurationName,
    rung: Rung,
    fingerprint: Fingerprint,
    settings: Settings,
    *,
    precision: Precision,
    iterations: int,
) -> Configuration:
    z, y, x = target_spacing(fingerprint, settings.steps)
    coarsening = LOWRES_FACTOR if name == "3d_lowres" else 1.0
    spacing = (z, y * coarsening, x * coarsening)
    flat = name == "2d"
    topology = make_topology((inf, *spacing[1:]) if flat else spacing, _patch(fingerprint, spacing, rung, flat=flat))
    stages = len(topology.strides)
    return Configuration(
        name=name,
        dimensions=2 if flat else 3,
        previous_stage="3d_lowres" if name == "3d_cascade_fullres" else None,
        spacing_mm=spacing,
        median_shape=_median_shape(fingerprint, spacing, flat=flat),
        patch_size=topology.patch_size,
        batch_size=max(PATCHES, round(PATCHES * rung.voxels / prod(topology.patch_size))),
        features=stage_features(rung.base, stages),
        strides=topology.strides,
        kernels=topology.kernels,
        blocks=(2,) * stages,
        decoder_blocks=(2,) * (stages - 1),
        batch_dice=True,
        mirror_axes=mirrored_axes(recipe_name(settings, "headct"), flat=flat),
        precision=precision,
        iterations=iterations,
    )


def _patch(fingerprint: Fingerprint, spacing_mm: FloatZYX, rung: Rung, *, flat: bool) -> FloatZYX:
    """A patch that is square in millimeters, within the rung's voxels and the head."""
    head = [max(1, ceil(extent / step)) for extent, step in zip(fingerprint.head_mm, spacing_mm, strict=True)]
    depth = 1 if flat else min(PATCH_SLICES, _even(head[0]))
    edge = (rung.voxels / depth) ** 0.5 if depth > 1 else rung.edge_2d
    mean = (spacing_mm[1] * spacing_mm[2]) ** 0.5
    y, x = (min(_multiple(edge * mean / spacing_mm[a]), _multiple(head[a] + MARGIN_VOXELS)) for a in (1, 2))
    return float(depth), float(y), float(x)


def _even(size: int) -> int:
    return size if size == 1 else size - size % 2


def _multiple(size: float) -> int:
    """The nearest multiple of 16, at least 16."""
    return max(16, round(size / 16) * 16)


def _median_shape(fingerprint: Fingerprint, spacing_mm: FloatZYX, *, flat: bool) -> FloatZYX:
    z, y, x = (
        float(max(1, round(extent / step))) for extent, step in zip(fingerprint.head_mm, spacing_mm, strict=True)
    )
    return (1.0 if flat else z), y, x
