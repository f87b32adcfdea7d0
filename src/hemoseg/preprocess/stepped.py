"""A scan on its way: what comes before normalization and the resampling to a configuration's spacing."""

from dataclasses import dataclass, replace

import numpy as np

from hemoseg.anatomy import AIR_HU, head_box
from hemoseg.arrays import Float32
from hemoseg.errors import SettingsError
from hemoseg.geometry import Grid, Orientation, Volume
from hemoseg.plan import Preparation
from hemoseg.preprocess.frame import Box
from hemoseg.preprocess.nonzero import inside_box, outside_mask
from hemoseg.preprocess.pool import chance_for, pool_image
from hemoseg.preprocess.resample import resample
from hemoseg.preprocess.steps import Crop, CropReason, Pool, SliceSpacing, Step, Turn
from hemoseg.types import HU, FloatZYX, IntZYX, Labels, NewLabels, NewStack
from hemoseg.windows import apply_windows, hu_range

Stack = Float32[np.ndarray, "c z y x"]
"""Channels of one volume, axes (c, z, y, x)."""
AS_STORED = Orientation(axes=(0, 1, 2), flips=(False, False, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """A scan on its way: before normalization and the resampling to a configuration's spacing."""

    image: NewStack
    """Axes (c, z, y, x)."""
    labels: NewLabels | None
    """Labels on the same grid; -1 outside the non-zero mask. None if there are none and no channel needs the mask."""
    spacing_mm: FloatZYX
    """Spacing along the axes of the arrays."""
    cropped_share: float
    """Voxels after the non-zero crop over those before it: nnU-Net's relative size."""
    steps: tuple[Step, ...]
    """The moves so far."""

    @property
    def shape(self) -> IntZYX:
        """Voxels along (z, y, x)."""
        z, y, x = self.image.shape[1:]
        return z, y, x

    def moved(self, image: NewStack, spacing_mm: FloatZYX, step: Step) -> "Stepped":
        """After one more step, which labels go along with."""
        labels = None if self.labels is None else step.labels(self.labels)
        return replace(self, image=image, labels=labels, spacing_mm=spacing_mm, steps=(*self.steps, step))


def pre_steps(
    volume: Volume, labels: Labels | None, preparation: Preparation, *, seed: int | None, ignore: int | None = None
) -> Stepped:
    """The scan up to and with the non-zero crop: what a planner's facts are measured on.

    Crops come before resampling (fewer voxels to work on), and clamping before averaging: bone of 1500 HU
    averaged with brain would pass for a bleed.

    Args:
        volume: the scan.
        labels: class numbers on its grid; None in prediction.
        preparation: the plan's preparation.
        seed: of pooling by chance; None takes the expectation instead, as prediction does.
        ignore: number of voxels that nobody labeled. On every grid it is moved like a class, so that a voxel that is
            ignored as a whole stays so; the range of the labels does not count it.
    """
    _check_sources(volume, preparation)
    orientation = orientation_of(volume.grid, preparation)
    z, y, x = (scan_spacing(volume, preparation)[axis] for axis in orientation.axes)
    hu = _without_padding(orientation.apply(volume.hu), preparation)
    turn = Turn(axes=orientation.axes, flips=orientation.flips)
    state = Stepped(
        image=hu[None],
        labels=None if labels is None else turn.labels(labels),
        spacing_mm=(z, y, x),
        cropped_share=1.0,
        steps=(turn,),
    )
    head = head_box(hu) if preparation.head_crop or preparation.slab is not None else None
    if preparation.head_crop and head is not None:
        box = (slice(0, len(hu)), *head[1:]) if preparation.slab is not None else head  # the slab cuts slices
        state = _cut(state, box, to="head")
    state = replace(state, image=_windowed(state.image, preparation))
    state = _pooled(state, preparation, chance_for(seed, volume.name) if seed is not None else None)
    state = _respaced(state, preparation)
    if preparation.slab is not None and head is not None:
        state = _slab(state, head[0], len(hu), preparation, ignore=ignore)
    if preparation.transpose != (0, 1, 2):
        step = Turn(axes=preparation.transpose)
        z, y, x = (state.spacing_mm[axis] for axis in preparation.transpose)
        state = state.moved(state.image.transpose(0, *(axis + 1 for axis in step.axes)), (z, y, x), step)
    return _nonzero(state, preparation) if preparation.nonzero_crop else state


def _without_padding(hu: HU, preparation: Preparation) -> HU:
    """HU with padding set to air, where it would be averaged with what lies beside it.

    Windows clamp it anyway; and nnU-Net's preparation, which knows no other orientations, takes padding as stored.
    """
    if preparation.orientation != "canonical" or all(channel.window for channel in preparation.channels):
        return hu
    return np.maximum(hu, np.float32(AIR_HU)) if float(hu.min()) < AIR_HU else hu


def orientation_of(grid: Grid, preparation: Preparation) -> Orientation:
    """How the axes of a scan are turned."""
    if preparation.orientation == "canonical":
        return grid.canonical_orientation()
    return grid.ras_orientation() if preparation.orientation == "ras" else AS_STORED


def scan_spacing(volume: Volume, preparation: Preparation) -> FloatZYX:
    """Spacing of a scan along its own axes: rounded to a nanometer, or unrounded as nnU-Net reads it.

    nibabel writes the header anew where it turns axes: voxel sizes are then those of the matrix, in float32.
    """
    if preparation.orientation == "canonical":
        return volume.grid.rounded_spacing_mm
    if preparation.orientation == "ras" and orientation_of(volume.grid, preparation) != AS_STORED:
        z, y, x = (float(np.float32(size)) for size in volume.grid.spacing_mm)
        return z, y, x
    return volume.stored_spacing_mm or volume.grid.spacing_mm


def _check_sources(volume: Volume, preparation: Preparation) -> None:
    wanted = max(channel.source for channel in preparation.channels)
    if wanted:
        raise SettingsError(
            f"a plan that takes image channel {wanted}",
            where=volume.name,
            expected="image channel 0 alone: a head CT has one",
            remedy="plan from a data set with one channel",
        )


def _windowed(hu: NewStack, preparation: Preparation) -> NewStack:
    """Channels where windows come first; HU clamped to what windows show where they come last."""
    if preparation.windowed == "last":
        low, high = hu_range(preparation.windows)
        clamped: NewStack = np.clip(hu, np.float32(low), np.float32(high))
        return clamped
    if all(channel.window is None for channel in preparation.channels):
        return np.broadcast_to(hu, (len(preparation.channels), *hu.shape[1:]))
    made = [hu[0] if one.window is None else apply_windows(hu[0], [one])[0] for one in preparation.channels]
    return np.stack(made)


def _cut(state: Stepped, box: Box, *, to: CropReason) -> Stepped:
    step = Crop.around(box, state.shape, to=to)
    return state.moved(state.image[(slice(None), *box)], state.spacing_mm, step)


def _pooled(state: Stepped, preparation: Preparation, chance: np.random.Generator | None) -> Stepped:
    pooling = preparation.pooling
    if pooling is None:
        return state
    z, y, x = state.spacing_mm
    step = Pool(pooling=pooling, before=state.shape)
    image = pool_image(state.image, pooling, chance=chance)
    return state.moved(image, (z, y * pooling.factor, x * pooling.factor), step)


def _respaced(state: Stepped, preparation: Preparation) -> Stepped:
    """The slice spacing that is asked for: averages where it is coarser, linear interpolation where it is finer."""
    wanted = preparation.slice_spacing_mm
    if wanted is None:
        return state
    z, y, x = state.spacing_mm
    step = SliceSpacing(before=state.shape, slices=max(1, round(state.shape[0] * z / wanted)))
    return state.moved(resample(state.image, step.after), (wanted, y, x), step)


def _slab(state: Stepped, head: slice, slices: int, preparation: Preparation, *, ignore: int | None) -> Stepped:
    """The slices of the head, or of the labels in training where that is asked for, and some beyond.

    Args:
        state: the scan so far; all its slices are still there.
        head: slices of the head, of all `slices` that the scan had before the slice spacing changed.
        slices: number of these.
        preparation: the plan's preparation.
        ignore: number of voxels that nobody labeled.
    """
    slab = preparation.slab
    assert slab is not None
    present, y, x = state.shape
    first, stop = head.start * present // slices, -(-head.stop * present // slices)
    if slab.train_range == "label" and state.labels is not None:
        marked = state.labels > 0 if ignore is None else (state.labels > 0) & (state.labels != ignore)
        labeled = np.flatnonzero(marked.any(axis=(1, 2)))
        if len(labeled):
            first, stop = int(labeled[0]), int(labeled[-1]) + 1
    kept = slice(max(0, first - slab.extend), min(present, stop + slab.extend))
    return _cut(state, (kept, slice(0, y), slice(0, x)), to="slab")


def _nonzero(state: Stepped, preparation: Preparation) -> Stepped:
    """nnU-Net's crop; background labels outside the mask become -1. Without labels, 0 and -1 where it is needed."""
    outside = outside_mask(state.image)
    labels = state.labels
    if labels is None and outside is not None and any(channel.masked for channel in preparation.channels):
        labels = np.zeros(state.shape, dtype=np.int8)
    if labels is not None:
        labels = labels.astype(np.int8 if labels.max(initial=0) <= np.iinfo(np.int8).max else np.int16)
    if labels is not None and outside is not None:
        labels[outside & (labels == 0)] = -1
    state = replace(state, labels=labels)
    z, y, x = state.shape
    box = (slice(0, z), slice(0, y), slice(0, x)) if outside is None else inside_box(outside)
    cropped = _cut(state, box, to="nonzero")
    return replace(cropped, cropped_share=cropped.image[0].size / state.image[0].size)
