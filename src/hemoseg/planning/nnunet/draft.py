"""What a planner decides about one network, before it becomes a configuration of a plan."""

from dataclasses import dataclass
from typing import Literal

from hemoseg.plan import PlannerName
from hemoseg.planning.nnunet.spacing import Frame
from hemoseg.planning.topology import Topology

NetworkName = Literal["2d", "3d_lowres", "3d_fullres"]
"""nnU-Net's networks that have a topology of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One network: grid, patch, stages, batch."""

    name: NetworkName
    """Which."""
    spacing_mm: tuple[float, float, float]
    """Target spacing along the transposed axes; that along z has no meaning in 2d."""
    median_shape: tuple[float, float, float]
    """Voxels of the median case at that spacing; 1 along z in 2d."""
    first_patch: tuple[float, float, float]
    """Patch that the loop started from, before it was padded."""
    topology: Topology
    """Stages, and the patch that fits."""
    features: tuple[int, ...]
    """Channels of each stage."""
    cost: int
    """Values of all feature maps for a batch of one."""
    budget: float
    """Largest cost of the batch that the reference stands for."""
    batch_size: int
    """Patches per step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """All networks of a data set."""

    planner: PlannerName
    """Rules that made them."""
    memory_gb: float
    """Memory that they were planned for."""
    frame: Frame
    """Target spacing and order of the axes."""
    flat: Draft
    """2d."""
    full: Draft | None
    """3d_fullres; None for single slices."""
    low: Draft | None
    """3d_lowres; None where the full resolution does with its patch."""
    low_reason: str
    """Why there is a low resolution, or none."""
