"""How much memory one configuration will take for a scan, before it is taken."""

from dataclasses import dataclass
from math import ceil

from hemoseg.geometry import Volume
from hemoseg.inference.blend import sums_bytes
from hemoseg.inference.field import Field, whole_field
from hemoseg.inference.limits import FLOAT32, network_bytes, result_bytes
from hemoseg.inference.sliding import batch_size
from hemoseg.plan import Configuration, Plan
from hemoseg.preprocess import orientation_of
from hemoseg.types import IntZYX


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a configuration, as far as memory depends on it."""

    folds: int
    """Networks."""
    more: int
    """Channels after those of classes or regions."""
    half: bool
    """Whether everything is rounded as nnU-Net does it, which holds the sums of each fold apart."""
    with_shares: bool
    """Whether probabilities are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Bytes, beside what the process holds already."""

    sums: int
    """Of all sums of tiles."""
    at_once: int
    """Of sums that are held even where they are in files."""
    others: int
    """Of the network and the way back."""


def needs_of(plan: Plan, configuration: Configuration, tiles: Field, shape: IntZYX, asked: Asked) -> Needs:
    """What running tiles takes.

    Args:
        plan: the plan.
        configuration: one of its configurations.
        tiles: what is run.
        shape: voxels (z, y, x) of the scan.
        asked: what is asked.
    """
    outputs = plan.outputs + asked.more
    sums, at_once = sums_bytes(tiles, outputs=outputs, groups=asked.folds if asked.half else 1, half=asked.half)
    network = network_bytes(
        configuration,
        channels=plan.input_channels(configuration),
        outputs=outputs,
        batch=batch_size(configuration.patch_size, half=asked.half),
    )
    result = result_bytes(shape, outputs=plan.outputs, more=asked.more, with_shares=asked.with_shares)
    return Needs(sums=sums, at_once=at_once, others=network + result)


def foreseen_bytes(plan: Plan, configuration: Configuration, volume: Volume, asked: Asked) -> int:
    """What a scan in memory will take, from its size alone: as if nothing were cut away and no tile left out."""
    preparation, target_mm = plan.preparation, configuration.spacing_mm
    order = orientation_of(volume.grid, preparation).axes
    sizes = []
    for wanted_mm, axis in zip(target_mm, preparation.transpose, strict=True):
        size, present_mm = volume.grid.shape[order[axis]], volume.grid.spacing_mm[order[axis]]
        sizes.append(size if wanted_mm is None else ceil(size * present_mm / wanted_mm) + 1)
    z, y, x = sizes
    needs = needs_of(plan, configuration, whole_field((z, y, x), configuration.patch_size), volume.grid.shape, asked)
    channels = len(preparation.channels) + plan.input_channels(configuration)  # the prepared image, and what is seen
    return needs.sums + needs.others + (FLOAT32 * channels + 1) * z * y * x
