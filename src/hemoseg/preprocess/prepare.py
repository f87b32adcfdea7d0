"""The order of a preparation's steps; `back.py` has the way back."""

from dataclasses import dataclass, replace

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.geometry import Volume
from hemoseg.plan import AverageResampling, Preparation
from hemoseg.preprocess.normalize import normalize
from hemoseg.preprocess.resample import resample, same_extent
from hemoseg.preprocess.spline import separate_axis, spline_image
from hemoseg.preprocess.stepped import Stepped, pre_steps, scan_spacing
from hemoseg.preprocess.steps import Average, CaseProperties, SplineStep, Step, replay_labels
from hemoseg.types import FloatZYX, IntZYX, Labels, NewLabels, NewStack
from hemoseg.windows import apply_windows

Stack = Float32[np.ndarray, "c z y x"]
"""Channels of one volume, axes (c, z, y, x)."""
TargetSpacing = tuple[float | None, float, float]
"""Spacing (z, y, x) in mm that a configuration wants; None along z keeps the scan's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One scan on the grid of a configuration, with what is needed to return."""

    image: NewStack
    """Axes (c, z, y, x): HU clamped to the windows' range, one channel, where windows come last; else channels."""
    properties: CaseProperties
    """How the scan came there."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The moves of voxels, in the order in which they were applied."""
        return self.properties.steps

    @property
    def shape(self) -> IntZYX:
        """Voxels along (z, y, x)."""
        return self.properties.shape


def prepare(volume: Volume, preparation: Preparation, spacing_mm: TargetSpacing) -> Prepared:
    """The scan as networks of a configuration see it. No label has a part in it."""
    prepared, _ = _finish(volume, pre_steps(volume, None, preparation, seed=None), preparation, spacing_mm)
    return prepared


def prepare_cascade(
    volume: Volume, previous: Labels, preparation: Preparation, spacing_mm: TargetSpacing
) -> tuple[Prepared, NewLabels]:
    """A scan and the previous stage's label map of it as the next stage sees them: what `prepare` makes, and labels.

    Not the same as `prepare_labels` where nnU-Net's non-zero mask ends: background beyond it is a number of its own,
    -1, so that less of a neighboring class is enough to win a voxel.
    """
    slab = preparation.slab
    if slab is not None:  # slices of labels are training's; here the head decides
        preparation = preparation.model_copy(update={"slab": slab.model_copy(update={"train_range": "head"})})
    prepared, labels = _finish(volume, pre_steps(volume, previous, preparation, seed=None), preparation, spacing_mm)
    assert labels is not None
    return prepared, np.ascontiguousarray(labels)


def prepare_case(
    volume: Volume,
    labels: Labels,
    preparation: Preparation,
    spacing_mm: TargetSpacing,
    *,
    seed: int,
    ignore: int | None = None,
) -> tuple[Prepared, NewLabels]:
    """A scan and its labels as training sees them.

    Args:
        volume: the scan.
        labels: class numbers on the scan's grid.
        preparation: the plan's preparation.
        spacing_mm: the configuration's spacing.
        seed: of pooling by chance; the same seed and scan give the same result.
        ignore: number of voxels that nobody labeled; None where all are labeled.

    Returns:
        The scan, and its labels on the same grid: of the type given, or signed, with -1 for background outside the
        non-zero mask, where the preparation crops to that.
    """
    stepped = pre_steps(volume, labels, preparation, seed=seed, ignore=ignore)
    prepared, prepared_labels = _finish(volume, stepped, preparation, spacing_mm)
    assert prepared_labels is not None
    return prepared, np.ascontiguousarray(prepared_labels)


def network_channels(image: Float32[np.ndarray, "_ z y x"], preparation: Preparation) -> Stack:
    """What networks see of a prepared image: its channels, made now where windows come last."""
    if preparation.windowed == "first":
        return image
    return apply_windows(image[0], preparation.channels)


def outside_values(preparation: Preparation) -> list[float]:
    """Value of each channel beyond the volume: that of air where windows come last, else 0, nnU-Net's padding."""
    if preparation.windowed == "first":
        return [0.0] * len(preparation.channels)
    return [channel.scale[0] for channel in preparation.channels]


def prepare_labels(labels: Labels, prepared: Prepared) -> NewLabels:
    """A label map of the scan, taken the same way as `prepared` went."""
    return replay_labels(labels, prepared.steps)


def target_shape(shape: IntZYX, spacing_mm: FloatZYX, target_mm: FloatZYX) -> IntZYX:
    """Voxels along (z, y, x) after resampling: nnU-Net's rule in its own order of operations, at least 1."""
    z, y, x = (max(1, round(old / new * n)) for n, old, new in zip(shape, spacing_mm, target_mm, strict=True))
    return z, y, x


def _finish(
    volume: Volume, state: Stepped, preparation: Preparation, target_mm: TargetSpacing
) -> tuple[Prepared, NewLabels | None]:
    """Normalization and the resampling to the configuration's spacing."""
    if preparation.windowed == "first" and preparation.normalize == "before":
        state = _normalized(state, preparation, volume.name)
    z, y, x = target_mm
    state = _resampled(state, preparation, (state.spacing_mm[0] if z is None else z, y, x))
    if preparation.windowed == "first" and preparation.normalize == "after":
        state = _normalized(state, preparation, volume.name)
    properties = CaseProperties(
        source_shape=volume.grid.shape,
        source_spacing_mm=scan_spacing(volume, preparation),
        steps=state.steps,
        shape=state.shape,
        spacing_mm=state.spacing_mm,
    )
    return Prepared(image=np.ascontiguousarray(state.image, dtype=np.float32), properties=properties), state.labels


def _normalized(state: Stepped, preparation: Preparation, where: str) -> Stepped:
    """Every channel by its scheme; nnU-Net v1, which normalizes last, then zeroes masked channels outside the mask."""
    channels = preparation.channels
    inside = None if state.labels is None or not any(one.masked for one in channels) else state.labels >= 0
    image = normalize(state.image, channels, inside, where=where)
    if preparation.normalize == "after" and inside is not None:
        for values, channel in zip(image, channels, strict=True):
            if channel.masked:
                values[~inside] = 0
    return replace(state, image=image)


def _resampled(state: Stepped, preparation: Preparation, target_mm: FloatZYX) -> Stepped:
    """The target spacing; the step is there even if nothing changes, as it tells how to return."""
    rule, before = preparation.resampling, state.shape
    if isinstance(rule, AverageResampling):
        z, y, x = (
            max(1, round(n * old / round(new, 6)))  # a header's rounding error decides nothing
            for n, old, new in zip(before, state.spacing_mm, target_mm, strict=True)
        )
        return state.moved(resample(state.image, (z, y, x)), target_mm, Average(before=before, after=(z, y, x)))
    step = SplineStep(
        before=before,
        after=target_shape(before, state.spacing_mm, target_mm),
        spacing_before_mm=state.spacing_mm,
        spacing_after_mm=target_mm,
        rule=rule,
    )
    apart = separate_axis(state.spacing_mm, target_mm, rule.image.separate_z)
    image = spline_image(state.image, same_extent(before, step.after), rule.image, apart)
    return state.moved(image, target_mm, step)
