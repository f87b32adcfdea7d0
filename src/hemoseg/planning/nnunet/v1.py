"""nnU-Net v1's planners 2D and 3D v2.1, in one.

Bit for bit as nnunet 1.7.1: the operations, their order and NumPy's functions are the same. One difference: 2d is
planned on the grid of the 3-D networks, while v1's 2D command takes the median spacing along z even where the axis
is coarse; that moves the limit of the batch alone.
"""

from collections.abc import Callable
from math import floor, inf, prod

import numpy as np

from hemoseg.errors import SettingsError
from hemoseg.planning.nnunet.cost import v1_cost
from hemoseg.planning.nnunet.draft import Draft, Drafts, NetworkName
from hemoseg.planning.nnunet.facts import DatasetFacts
from hemoseg.planning.nnunet.patch import shrink_to_fit
from hemoseg.planning.nnunet.spacing import Axes, Frame, coarsened, make_frame, resampled_shapes
from hemoseg.planning.topology import LARGEST_FEATURES, SizesZYX, Topology, make_topology_v1, stage_features

BASE_FEATURES = 32
"""Channels of the finest stage."""
COUNTED_FEATURES = 30
"""Channels that v1 counts with where it keeps an older network's budget."""
COUNTED_LARGEST_2D = 512
"""Most channels that v1 counts with in 2d."""
LARGEST_FEATURES_2D = 480
"""Most channels that its 2d network has."""
REFERENCE_3D = 520_000_000 * BASE_FEATURES / COUNTED_FEATURES
"""Values of feature maps that fit with a batch of 2."""
REFERENCE_2D = 19_739_648 * 50 / 2
"""Those of 2d with a batch of 2: a batch of 50 was measured."""
FIRST_EDGE = 512
"""Voxels of the first patch along the axis that has fewest."""
DATASET_SHARE = 0.05
"""Largest part of the data set's voxels that one batch may hold."""
SEEN_PARTS = 4
"""A patch that covers less than one of this many parts of the median case calls for a low resolution."""
COARSENING = 1.01
"""Factor by which the low resolution is searched."""
MEMORY_GB = 8.0
"""Memory that v1 plans for; it has no other target."""


def draft_v1(facts: DatasetFacts, memory_gb: float | None) -> Drafts:
    """All networks that v1's planners make for a data set.

    Raises:
        SettingsError: another memory target than 8 GB, or no patch fits.
    """
    if memory_gb is not None and memory_gb != MEMORY_GB:
        raise SettingsError(
            f"a memory target of {memory_gb:g} GB",
            where="--memory-gb",
            expected=f"none, or {MEMORY_GB:g}: nnU-Net v1 plans for that alone",
            remedy="leave it out, or take --planner nnunet",
        )
    frame = make_frame(facts)
    order = list(frame.transpose)
    stored_median = np.median(resampled_shapes(facts, frame.target_mm), 0)
    target, median = frame.target_mm[order], stored_median[order]
    full = _draft_3d("3d_fullres", facts, target, _rounded(median))
    low, reason = _lowres(facts, frame, full, stored_median)
    return Drafts(
        planner="nnunet-v1",
        memory_gb=MEMORY_GB,
        frame=frame,
        flat=_draft_2d(facts, target, _rounded(median)),
        full=full,
        low=low,
        low_reason=reason,
    )


def _rounded(shape: Axes) -> tuple[int, int, int]:
    z, y, x = np.round(shape).astype(int).tolist()
    return z, y, x


def _draft_3d(name: NetworkName, facts: DatasetFacts, spacing: Axes, median: tuple[int, int, int]) -> Draft:
    """A 3-D network; its first patch has 512 voxels along the coarsest axis and equal millimeters."""
    edges = 1 / spacing
    edges /= edges.mean()
    edges *= 1 / min(edges) * FIRST_EDGE
    z, y, x = (float(min(edge, size)) for edge, size in zip(_rounded(edges), median, strict=True))
    _check_patch(name, facts, (z, y, x))

    def cost_of(topology: Topology) -> int:
        return v1_cost(
            topology,
            base=BASE_FEATURES,
            largest=LARGEST_FEATURES,
            channels=len(facts.channel_names),
            label_count=facts.label_count,
        )

    topology = _fitted(name, facts, spacing, median, (z, y, x), lambda t: cost_of(t) > REFERENCE_3D)
    cost = cost_of(topology)
    fitting = floor(max(REFERENCE_3D / cost, 1) * 2)
    return _draft(
        name, spacing, median, (z, y, x), topology, cost, min(fitting, max(_most(facts, median, topology), 2))
    )


def _draft_2d(facts: DatasetFacts, spacing: Axes, median: tuple[int, int, int]) -> Draft:
    """The 2d network; its first patch is the whole median slice."""
    first = (1.0, float(median[1]), float(median[2]))
    _check_patch("2d", facts, first)
    start = make_topology_v1((inf, *spacing[1:].tolist()), first)

    def cost_of(topology: Topology) -> int:
        return v1_cost(
            topology,
            base=COUNTED_FEATURES if topology == start else BASE_FEATURES,  # v1 counts smaller patches with more
            largest=COUNTED_LARGEST_2D,
            channels=len(facts.channel_names),
            label_count=facts.label_count,
        )

    topology = _fitted("2d", facts, spacing, median, first, lambda t: cost_of(t) > REFERENCE_2D)
    cost = cost_of(topology)
    fitting = floor(REFERENCE_2D / cost) * 2
    return _draft("2d", spacing, median, first, topology, cost, max(1, min(fitting, _most(facts, median, topology))))


def _fitted(
    name: NetworkName,
    facts: DatasetFacts,
    spacing: Axes,
    median: tuple[int, int, int],
    first: SizesZYX,
    is_too_large: Callable[[Topology], bool],
) -> Topology:
    z, y, x = spacing.tolist()
    grid = (inf if name == "2d" else z, y, x)
    return shrink_to_fit(
        make_topology_v1(grid, first),
        make_topology_v1,
        spacing_mm=grid,
        median_shape=median,
        is_too_large=is_too_large,
        where=f"{facts.dataset_name}, {name}",
    )


def _draft(
    name: NetworkName,
    spacing: Axes,
    median: tuple[int, int, int],
    first: tuple[float, float, float],
    topology: Topology,
    cost: int,
    batch_size: int,
) -> Draft:
    z, y, x = spacing.tolist()
    flat = name == "2d"
    largest = LARGEST_FEATURES_2D if flat else LARGEST_FEATURES
    return Draft(
        name=name,
        spacing_mm=(z, y, x),
        median_shape=(1.0 if flat else float(median[0]), float(median[1]), float(median[2])),
        first_patch=first,
        topology=topology,
        features=stage_features(BASE_FEATURES, len(topology.strides), largest=largest),
        cost=cost,
        budget=REFERENCE_2D if flat else REFERENCE_3D,
        batch_size=batch_size,
    )


def _most(facts: DatasetFacts, median: tuple[int, int, int], topology: Topology) -> int:
    """The largest batch that holds at most a twentieth of the data set."""
    return round(DATASET_SHARE * (prod(median) * facts.training_cases) / prod(topology.patch_size))


def _check_patch(name: NetworkName, facts: DatasetFacts, first: tuple[float, float, float]) -> None:
    if min(first) < 1:
        raise SettingsError(
            f"a first patch of {first} voxels",
            where=f"{facts.dataset_name}, {name}",
            expected="at least one voxel along each axis",
            remedy="look for wrong spacings or shapes in the fingerprint: nnU-Net makes no plan of these either",
        )


def _lowres(facts: DatasetFacts, frame: Frame, full: Draft, stored_median: Axes) -> tuple[Draft | None, str]:
    """The finest grid whose patch covers a quarter of the median case, if it has less than half the voxels; and why."""
    patch_voxels = prod(full.topology.patch_size)
    share = patch_voxels / float(np.prod(stored_median))
    if np.prod(stored_median) / patch_voxels < SEEN_PARTS:
        return None, f"the patch covers {share:.0%} of the median case, more than a quarter"
    order = list(frame.transpose)
    low, grid = None, frame.target_mm
    voxels = np.prod(stored_median, dtype=np.float64)
    while voxels > SEEN_PARTS * patch_voxels:
        grid = coarsened(grid, COARSENING)
        voxels = np.prod(frame.target_mm / grid * stored_median, dtype=np.float64)
        shape = _rounded(frame.target_mm[order] / grid[order] * stored_median[order])
        low = _draft_3d("3d_lowres", facts, grid[order], shape)
        patch_voxels = prod(low.topology.patch_size)
    if low is None or 2 * prod(low.median_shape) >= prod(full.median_shape):
        return None, "dropped: it would not have less than half the voxels"
    return low, f"the patch covers {share:.0%} of the median case, less than a quarter"
