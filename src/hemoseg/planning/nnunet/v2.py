"""nnU-Net v2's planners: the default one and those for residual encoders.

Bit for bit: the operations, their order and NumPy's functions are those of nnunetv2 2.8.1.
"""

from dataclasses import dataclass
from math import inf, isfinite, prod
from typing import Literal

import numpy as np

from hemoseg.errors import SettingsError
from hemoseg.plan import PlannerName
from hemoseg.planning.nnunet.cost import plain_cost, residual_cost
from hemoseg.planning.nnunet.draft import Draft, Drafts, NetworkName
from hemoseg.planning.nnunet.facts import DatasetFacts
from hemoseg.planning.nnunet.patch import shrink_to_fit
from hemoseg.planning.nnunet.spacing import Axes, coarsened, make_frame, resampled_shapes
from hemoseg.planning.topology import LARGEST_FEATURES, Topology, make_topology, stage_features

BASE_FEATURES = 32
"""Channels of the finest stage."""
LARGEST_FEATURES_2D = 512
"""Channels never exceed this in 2d."""
VOXELS_3D = 256**3
"""Volume of the first patch that is tried."""
VOXELS_2D = 2048**2
"""Area of the first patch that is tried in 2d."""
BATCH_3D = 2
"""Batch that the reference value of 3-D networks stands for."""
BATCH_2D = 12
"""Batch that the reference value of 2d networks stands for."""
SMALLEST_BATCH = 2
"""Batches are never smaller."""
SEEN_SHARE = 0.25
"""A patch that covers less of the median case than this calls for a low resolution."""
COARSENING = 1.03
"""Factor by which the low resolution is searched."""
LOWRES_GAIN = 2
"""A low resolution must have at most this part of the voxels, 1 in 2, to be worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Where the planners differ."""

    encoder: Literal["plain", "residual"]
    """Kind of encoder."""
    reference_3d: int
    """Values of feature maps that fit into `reference_gb` with a batch of 2."""
    reference_2d: int
    """Those of 2d with a batch of 12."""
    reference_gb: int
    """Memory that the references stand for, and the default target."""
    dataset_share: float
    """Largest part of the data set's voxels that one batch may hold."""
    blocks: tuple[int, ...]
    """Convolutions or residual blocks per stage of the encoder; also the limit of its depth."""
    decoder_blocks: int
    """Convolutions per stage of the decoder."""
    plans_name: str
    """nnU-Net's name of the plans."""
    class_name: str
    """nnU-Net's class."""


PLAIN_BLOCKS = (2,) * 14
RESIDUAL_BLOCKS = (1, 3, 4, *(6,) * 10)
RULES: dict[PlannerName, Rules] = {
    "nnunet": Rules(
        encoder="plain",
        reference_3d=560_000_000,
        reference_2d=85_000_000,
        reference_gb=8,
        dataset_share=0.05,
        blocks=PLAIN_BLOCKS,
        decoder_blocks=2,
        plans_name="nnUNetPlans",
        class_name="ExperimentPlanner",
    ),
    "nnunet-resenc-m": Rules(
        encoder="residual",
        reference_3d=680_000_000,
        reference_2d=135_000_000,
        reference_gb=8,
        dataset_share=1.0,
        blocks=RESIDUAL_BLOCKS,
        decoder_blocks=1,
        plans_name="nnUNetResEncUNetMPlans",
        class_name="nnUNetPlannerResEncM",
    ),
    "nnunet-resenc-l": Rules(
        encoder="residual",
        reference_3d=2_100_000_000,
        reference_2d=380_000_000,
        reference_gb=24,
        dataset_share=1.0,
        blocks=RESIDUAL_BLOCKS,
        decoder_blocks=1,
        plans_name="nnUNetResEncUNetLPlans",
        class_name="nnUNetPlannerResEncL",
    ),
    "nnunet-resenc-xl": Rules(
        encoder="residual",
        reference_3d=3_600_000_000,
        reference_2d=560_000_000,
        reference_gb=40,
        dataset_share=1.0,
        blocks=RESIDUAL_BLOCKS,
        decoder_blocks=1,
        plans_name="nnUNetResEncUNetXLPlans",
        class_name="nnUNetPlannerResEncXL",
    ),
}
"""nnunetv2 2.8.1; Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; Isensee et al. 2024, arXiv:2404.09556."""


def draft_v2(facts: DatasetFacts, planner: PlannerName, memory_gb: float | None) -> Drafts:
    """All networks that one of nnU-Net v2's planners makes for a data set.

    Args:
        facts: the data set.
        planner: a key of `RULES`.
        memory_gb: nnU-Net's GPU memory target; None takes the planner's own.

    Raises:
        SettingsError: nnU-Net would not come to a plan: no patch fits, or a network has too many stages.
    """
    rules = RULES[planner]
    target_gb = rules.reference_gb if memory_gb is None else memory_gb
    work = _Work(facts=facts, rules=rules, memory_gb=float(target_gb))
    frame = make_frame(facts)
    order = list(frame.transpose)
    spacing = frame.target_mm[order]
    median = np.median(np.rint(resampled_shapes(facts, frame.target_mm)), 0)[order]
    voxels = float(np.prod(median, dtype=np.float64) * facts.training_cases)
    full, low, reason = None, None, "the median case has one slice, so there are no 3-D networks"
    if median[0] != 1:
        full = work.draft("3d_fullres", spacing, median, voxels)
        low, reason = _lowres(work, full, spacing, median)
    flat = work.draft("2d", spacing, median, voxels)
    return Drafts(
        planner=planner, memory_gb=float(target_gb), frame=frame, flat=flat, full=full, low=low, low_reason=reason
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A data set under one planner's rules."""

    facts: DatasetFacts
    rules: Rules
    memory_gb: float

    def draft(self, name: NetworkName, spacing: Axes, median: Axes, voxels: float) -> Draft:
        """One network on a grid; `voxels` of the whole data set limit the batch."""
        flat = name == "2d"
        z, y, x = spacing.tolist()
        grid = (inf, y, x) if flat else (z, y, x)
        shape = (1.0 if flat else float(median[0]), float(median[1]), float(median[2]))
        wanted = self._first_patch(name, spacing, median)
        reference = self.rules.reference_2d if flat else self.rules.reference_3d
        budget = reference * (self.memory_gb / self.rules.reference_gb)
        batch = BATCH_2D if flat else BATCH_3D
        topology = shrink_to_fit(
            make_topology(grid, wanted),
            make_topology,
            spacing_mm=grid,
            median_shape=shape,
            is_too_large=lambda topology: self._is_too_large(name, topology, budget, batch),
            where=self._where(name),
        )
        cost = self._cost(name, topology)
        most = round(voxels * self.rules.dataset_share / np.prod(topology.patch_size, dtype=np.float64))
        return Draft(
            name=name,
            spacing_mm=(z, y, x),
            median_shape=shape,
            first_patch=wanted,
            topology=topology,
            features=self._features(name, topology),
            cost=cost,
            budget=budget,
            batch_size=max(min(round((budget / cost) * batch), most), SMALLEST_BATCH),
        )

    def _first_patch(self, name: NetworkName, spacing: Axes, median: Axes) -> tuple[float, float, float]:
        """A patch of equal millimeters with the volume of 256^3 voxels, or 2048^2 in 2d, cut to the median case."""
        flat = name == "2d"
        volume, root = (VOXELS_2D, 1 / 2) if flat else (VOXELS_3D, 1 / 3)
        with np.errstate(all="ignore"):
            per_mm = 1 / spacing[flat:]
            edges = per_mm * (volume / np.prod(per_mm)) ** root
        if not all(isfinite(edge) for edge in edges):
            raise self._no_plan(name, f"spacing {spacing.tolist()} mm", "spacings that can be divided by one another")
        sizes = [min(round(edge), size) for edge, size in zip(edges, median[flat:].tolist(), strict=True)]
        if min(sizes) <= 0:
            found = f"the median case of {median.tolist()} voxels at {spacing.tolist()} mm has a patch of {sizes}"
            raise self._no_plan(name, found, "at least one voxel along each axis")
        z, y, x = [1.0] * flat + [float(size) for size in sizes]
        return z, y, x

    def _is_too_large(self, name: NetworkName, topology: Topology, budget: float, batch: int) -> bool:
        """Whether two samples do not fit; the planners for residual encoders compare the reference batch."""
        cost = self._cost(name, topology)
        return (cost / batch * 2 if self.rules.encoder == "plain" else cost) > budget

    def _cost(self, name: NetworkName, topology: Topology) -> int:
        stages, most = len(topology.strides), len(self.rules.blocks)
        if stages > most:
            found = f"the network for a patch of {topology.patch_size} would have {stages} stages"
            raise self._no_plan(name, found, f"at most {most}, all that nnU-Net's {self.rules.class_name} can build")
        features = self._features(name, topology)
        if self.rules.encoder == "plain":
            return plain_cost(topology, features, self.facts.label_count)
        return residual_cost(topology, features, self.facts.label_count, blocks=self.rules.blocks[:stages])

    def _features(self, name: NetworkName, topology: Topology) -> tuple[int, ...]:
        largest = LARGEST_FEATURES_2D if name == "2d" else LARGEST_FEATURES
        return stage_features(BASE_FEATURES, len(topology.strides), largest=largest)

    def _where(self, name: NetworkName) -> str:
        return f"{self.facts.dataset_name}, {name}"

    def _no_plan(self, name: NetworkName, found: str, expected: str) -> SettingsError:
        return SettingsError(
            found,
            where=self._where(name),
            expected=expected,
            remedy="look for wrong spacings or shapes in the fingerprint: nnU-Net makes no plan of these either",
        )


def _lowres(work: _Work, full: Draft, spacing: Axes, median: Axes) -> tuple[Draft | None, str]:
    """The finest grid whose patch covers a quarter of the median case, if it has at most half the voxels; and why."""
    low, grid = None, spacing
    voxels = all_voxels = np.prod(median, dtype=np.float64)
    patch_voxels: float = prod(full.topology.patch_size)
    share = patch_voxels / voxels
    while patch_voxels / voxels < SEEN_SHARE:
        grid = coarsened(grid, COARSENING)
        shape = spacing / grid * median
        voxels = np.prod(shape, dtype=np.float64)
        low = work.draft("3d_lowres", grid, np.rint(shape), float(voxels * work.facts.training_cases))
        patch_voxels = prod(low.topology.patch_size)
    if low is None:
        return None, f"the patch covers {share:.0%} of the median case, at least {SEEN_SHARE:.0%}"
    if all_voxels / voxels < LOWRES_GAIN:
        gain = all_voxels / voxels
        return None, f"dropped: it would have only {gain:.2f} times fewer voxels, at least {LOWRES_GAIN} are worth it"
    return low, f"the patch covers {share:.0%} of the median case, less than {SEEN_SHARE:.0%}"
