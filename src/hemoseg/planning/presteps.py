"""nnU-Net's planners behind steps of our own: what they see is the data after those steps, measured on the data."""

from collections.abc import Mapping
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from hemoseg.errors import ArtifactError
from hemoseg.plan import Channel, Plan, PlannerName, Pooling, Preparation, PresetName, Slab, SplineResampling
from hemoseg.planning.channels import check_windows
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.nnunet import DatasetFacts
from hemoseg.planning.reasons import because
from hemoseg.settings import Settings, Steps
from hemoseg.windows import window_named

SCALE = (0.0, 1.0)
"""What a window's bounds become before nnU-Net: its padding and its non-zero crop take 0 for outside."""
LABELS_WHY = "labels fill shares of voxels and keep the volume of every class; nnU-Net's rule moves it by up to 20 %"
PRESET_PLANNER: PlannerName = "nnunet"
"""nnU-Net v2's default planner: the paper names no version."""
PRESET_STEPS: Mapping[PresetName, Steps] = {
    name: Steps(
        windows=(name,),
        pooling=Pooling(kind="average", factor=2),
        slice_spacing_mm=1.0,
        slab=Slab(extend=1),
    )
    for name in ("paper", "paper-swapped")
}
"""The paper's steps before nnU-Net."""


class SteppedCase(BaseModel):
    """One case after the steps and the crop to what is not 0; axes (z, y, x) run to superior, posterior, left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    name: str
    """Name of the case."""
    source_sha256: str
    """SHA-256 of image and label file, joined and hashed."""
    preparation_sha256: str
    """SHA-256 of the preparation whose steps were applied."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Distance between voxel centers."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Voxels."""
    relative_size: PositiveFloat
    """Share of the voxels that the crop left."""


class SteppedFacts(BaseModel):
    """`stepped.json`: what nnU-Net would measure of the data after the steps that come before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    preparation_sha256: str
    """SHA-256 of the preparation whose steps were applied."""
    cases: tuple[SteppedCase, ...]
    """One entry per case, in the fingerprint's order."""


def planner_of(settings: Settings) -> PlannerName:
    """The planner: a preset has its own."""
    return settings.planner if settings.preset is None else PRESET_PLANNER


def steps_of(settings: Settings) -> Steps:
    """The steps before the planner: a preset has its own."""
    return settings.steps if settings.preset is None else PRESET_STEPS[settings.preset]


def needs_pass(settings: Settings) -> bool:
    """Whether the plan needs a pass over the data: nnU-Net's planners do, if steps come before them."""
    return planner_of(settings) != "headct" and not steps_of(settings).is_empty


def stepped_preparation(fingerprint: Fingerprint, settings: Settings) -> Preparation:
    """The steps before nnU-Net, with its crop and without its normalization: what the pass applies.

    Raises:
        SettingsError: a way of pooling that needs windows has none.
    """
    steps = steps_of(settings)
    check_windows(steps)
    return Preparation(
        orientation="canonical",
        channels=_channels(fingerprint.channel_names, steps),
        windowed="first",
        head_crop=False,
        pooling=steps.pooling,
        slice_spacing_mm=steps.slice_spacing_mm,
        slab=steps.slab,
        nonzero_crop=True,
        resampling=SplineResampling(labels=None),
    )


def stepped_dataset(
    fingerprint: Fingerprint, stepped: SteppedFacts | None, settings: Settings, *, preparation_sha256: str
) -> DatasetFacts:
    """The data set as nnU-Net's planner sees it after the steps.

    Intensities are those of the scans themselves; they matter only where no window is named, for windows are z-scored.

    Raises:
        ArtifactError: the pass over the data is missing, or was made with other steps.
    """
    if stepped is None or stepped.preparation_sha256 != preparation_sha256:
        raise ArtifactError(
            "is missing" if stepped is None else "was made with other steps",
            where="stepped.json",
            expected="what the steps before nnU-Net make of every case",
            remedy="run `hemoseg plan --run DIR` on the data set, not on a fingerprint alone",
        )
    v1 = planner_of(settings) == "nnunet-v1"
    windows = steps_of(settings).windows
    intensities = fingerprint.intensity_v1 if v1 else fingerprint.intensity
    return DatasetFacts(
        dataset_name=fingerprint.dataset_name,
        channel_names=windows or fingerprint.channel_names,
        label_count=fingerprint.label_count,
        training_cases=len(fingerprint.cases),
        file_ending=fingerprint.file_ending,
        spacings_mm=tuple(case.spacing_mm for case in stepped.cases),
        shapes=tuple(case.shape for case in stepped.cases),
        relative_size=median(case.relative_size for case in stepped.cases),
        intensities=(None,) * len(windows) if windows else intensities,
    )


def with_steps(plan: Plan, preparation: Preparation) -> Plan:
    """nnU-Net's plan with the steps before it; it is no longer one that nnU-Net's own files can hold.

    Labels need not be nnU-Net's any longer either, so classes keep their volume.
    """
    channels = tuple(
        made.model_copy(update={"normalization": planned.normalization, "masked": planned.masked})
        if made.window is not None
        else planned
        for made, planned in zip(preparation.channels, plan.preparation.channels, strict=True)
    )
    values = preparation.model_dump() | {
        "channels": channels,
        "transpose": plan.preparation.transpose,
        "normalize": plan.preparation.normalize,
        "resampling": preparation.resampling,
    }
    after = "along superior, posterior and left, after the steps before"
    reasons = tuple(
        reason.model_copy(update={"why": reason.why.replace("along the axes as stored", after)})
        for reason in plan.reasons
        if reason.name != "resampling.labels"
    )
    reasons += (because("resampling.labels", "volumes kept", LABELS_WHY),)
    changes = {"preparation": Preparation.model_validate(values), "nnunet": None, "reasons": reasons}
    return plan.model_copy(update=changes)


def _channels(names: tuple[str, ...], steps: Steps) -> tuple[Channel, ...]:
    """The windows asked for, each of image channel 0, or the image's own channels."""
    if not steps.windows:
        return tuple(Channel(name=name, source=index) for index, name in enumerate(names))
    windows = [window_named(text) for text in steps.windows]
    return tuple(Channel(name=window.name, window=window, scale=SCALE) for window in windows)
