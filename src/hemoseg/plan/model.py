"""The plan: what training and prediction must agree on. Written once; never edited by code."""

from dataclasses import dataclass
from math import ceil, prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveFloat, PositiveInt, model_validator

from hemoseg.labels import LabelTable
from hemoseg.plan.preparation import Preparation
from hemoseg.plan.region import Region, make_table

SizeZYX = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Voxels along the array axes (z, y, x)."""
Count = Annotated[int, Field(ge=1, le=2**8)]
"""Convolutions of a stage, or voxels of a kernel: a plan that says more was not meant."""
FOLDER_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Names of configurations and of nnU-Net's plans, as a regular expression: with a trainer's, that of a folder."""
FolderName = Annotated[str, Field(pattern=f"^{FOLDER_NAME}$")]
"""Such a name."""
ConfigurationName = FolderName
"""Name of a network: nnU-Net's `2d`, `3d_fullres`, `3d_lowres`, `3d_cascade_fullres`, or one that its user made."""
Precision = Literal["fp32", "bf16"]
"""Arithmetic of convolutions; sums, losses and weights are always float32."""
Layout = Literal["contiguous", "channels_last"]
"""Order in memory of what a training network computes: each channel's voxels together, or each voxel's channels."""
PlannerName = Literal["headct", "nnunet", "nnunet-resenc-m", "nnunet-resenc-l", "nnunet-resenc-xl", "nnunet-v1"]
"""Rules that can make a plan."""
PresetName = Literal["paper", "paper-swapped"]
"""Published systems that a plan can follow."""
RecipeName = Literal["nnunet", "headct"]
"""Ways to train a network: nnU-Net's, but for what docs/explanation/training.md lists, or the one for head CT."""
PATCH_VOXELS = 2**28
"""Largest patch: as large as the largest scan."""
EPOCH_ITERATIONS = 250
"""Optimizer steps of an epoch, nnU-Net's; an epoch is no pass over the cases."""
MOST_ITERATIONS = 10**9
"""Longest training, in optimizer steps: at ten steps a second it takes three years, so more were not meant."""
Basis = Literal["given", "rule", "measured", "judgment", "assumed"]
"""What a value rests on: the user; a published rule; a measurement; our judgment; a gap in the paper that we filled."""


class Configuration(BaseModel):
    """One network: the grid it sees, its shape, how long it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ConfigurationName
    """Kind of network; also the folder of the run that holds it."""
    dimensions: Literal[2, 3] = 3
    """2 if the network sees single slices; arrays have three axes all the same, z of 1."""
    inherits_from: ConfigurationName | None = None
    """Configuration that nnU-Net's plans.json derives this one from; everything is spelled out here."""
    previous_stage: ConfigurationName | None = None
    """Configuration whose prediction is an additional input, one channel per label number above 0."""
    spacing_mm: tuple[PositiveFloat | None, PositiveFloat, PositiveFloat]
    """Voxel spacing (z, y, x) that every case is resampled to; None along z keeps the case's own (nnU-Net's 2d)."""
    median_shape: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Voxels (z, y, x) of the median case at that spacing; may end in .5. 1 along z in 2d configurations."""
    patch_size: SizeZYX
    """Voxels (z, y, x) that the network sees at once."""
    batch_size: PositiveInt
    """Patches per step."""
    encoder: Literal["plain", "residual"] = "plain"
    """nnU-Net's plain encoder, or its residual one (ResEnc)."""
    features: tuple[Annotated[int, Field(ge=1, le=2**16)], ...]
    """Channels of each stage, the finest first."""
    strides: tuple[SizeZYX, ...]
    """Downsampling (z, y, x) entering each stage; the first is (1, 1, 1)."""
    kernels: tuple[tuple[Count, Count, Count], ...]
    """Kernel (z, y, x) of each stage's convolutions."""
    blocks: tuple[Count, ...]
    """Convolutions, or residual blocks, of each stage of the encoder."""
    decoder_blocks: tuple[Count, ...]
    """Convolutions of each stage of the decoder, the coarsest first, as nnU-Net counts them."""
    batch_dice: bool
    """Whether soft Dice is pooled over the patches of a batch."""
    mirror_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...]
    """Array axes (0 z, 1 y, 2 x) along which training mirrors and prediction averages."""
    precision: Precision
    """Arithmetic of training and prediction."""
    engine: Literal["torch"] = "torch"
    """What runs the network."""
    iterations: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)]
    """Optimizer steps of one fold."""

    @model_validator(mode="after")
    def _stages_agree(self) -> "Configuration":
        stages = len(self.features)
        if stages < 1 or not len(self.strides) == len(self.kernels) == len(self.blocks) == stages:
            raise ValueError("features, strides, kernels and blocks need one entry for each of one or more stages")
        if len(self.decoder_blocks) != stages - 1:
            raise ValueError(f"decoder_blocks has {len(self.decoder_blocks)} entries for {stages - 1} stages")
        if self.strides[0] != (1, 1, 1):
            raise ValueError(f"strides begin with {self.strides[0]}, where the first stage sees every voxel: (1, 1, 1)")
        if not all(size % 2 for kernel in self.kernels for size in kernel):
            raise ValueError(f"kernels {self.kernels} with an even size: what they make would be smaller than a patch")
        if prod(self.patch_size) > PATCH_VOXELS:
            raise ValueError(f"patch_size {self.patch_size} is of more than {PATCH_VOXELS} voxels")
        for axis, size in enumerate(self.patch_size):
            factor = prod(stride[axis] for stride in self.strides)
            if size % factor:
                raise ValueError(f"patch_size {size} along {'zyx'[axis]} is no multiple of {factor}")
        return self


@dataclass(frozen=True, slots=True)
class Later:
    """Marks a field that earlier plans do not have: with its default, a plan has the digest that it had without."""


class Recipe(BaseModel):
    """How every network of a plan is trained; nnU-Net's values where nothing else is said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[RecipeName, Later()] = "headct"
    """Which patches are drawn and how they are altered: nnU-Net's sampler and augmentation, or those for head CT.
    With `nnunet` the learning rate falls from epoch to epoch, with `headct` from step to step."""
    epoch_iterations: Annotated[PositiveInt, Later()] = EPOCH_ITERATIONS
    """Optimizer steps of an epoch; validation batches come after each."""
    validation_batches: Annotated[int, Field(ge=0), Later()] = 0
    """Batches of held-out patches after each epoch, for the pseudo Dice; they move no weight. A last epoch that is
    shorter has fewer, in proportion."""
    learning_rate: PositiveFloat = 0.01
    """Initial learning rate; falls as (1 - i/n)^0.9."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Nesterov momentum."""
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5
    """Weight decay on all parameters."""
    clip_norm: PositiveFloat = 12.0
    """Largest norm of the gradient."""
    forced_foreground: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of patches of a batch that must contain foreground."""
    even_lesions: Annotated[float, Field(ge=0, le=1), Later()] = 0.0
    """Share of the forced patches that hold a lesion drawn evenly among a case's, whatever its size: by voxels, large
    ones are seen far more often. This and the next two are for `headct`."""
    hard_negatives: Annotated[float, Field(ge=0, le=1), Later()] = 0.0
    """Share of the other patches that hold bright background: partial volume near the skull, falx, calcification."""
    empty_cases: Annotated[float, Field(ge=0, le=1), Later()] = 0.0
    """Share of the other patches that come from cases without foreground, where there are any."""
    shift_hu: Annotated[float, Field(ge=0)] = 4.0
    """Patches are shifted by a constant, uniform in plus or minus this: scanners differ in calibration.
    Where channels are stored instead of HU, this and the noise have no effect."""
    noise_hu: Annotated[float, Field(ge=0)] = 5.0
    """Three patches in ten get Gaussian noise with a deviation uniform in [0, this]."""
    turn_degrees: Annotated[float, Field(ge=0, le=180), Later()] = 0.0
    """Patches are turned within their slices by an angle uniform in plus or minus this. This and the next are for
    `headct`."""
    zoom: Annotated[float, Field(ge=1), Later()] = 1.0
    """Patches are enlarged within their slices by a factor log-uniform in [1 / this, this]."""

    @model_validator(mode="after")
    def _ignores_no_share(self) -> "Recipe":
        """The sampler of `nnunet` knows no shares: a plan that sets one would be trained otherwise than it says."""
        for name in ("even_lesions", "hard_negatives", "empty_cases"):
            share = getattr(self, name)
            if self.name == "nnunet" and share:
                raise ValueError(f"{name} {share:g} has no effect with the recipe nnunet; set it to 0 or take headct")
        return self

    @property
    def repeats_slices(self) -> bool:
        """Whether a patch repeats the outermost slices of a scan that has fewer than it; with `nnunet` there is 0."""
        return self.name == "headct"

    def forced_patches(self, batch_size: int) -> int:
        """Patches of a batch that must contain foreground: by `nnunet` as nnU-Net rounds, which is none of one.

        Example:
            >>> [Recipe(name="nnunet", forced_foreground=0.33).forced_patches(n) for n in (1, 2, 3, 4, 5, 9, 12)]
            [0, 1, 1, 1, 2, 3, 4]
            >>> [Recipe().forced_patches(n) for n in (1, 2, 3)]
            [1, 1, 2]
        """
        if self.name == "nnunet":
            return batch_size - round(batch_size * (1 - self.forced_foreground))
        return ceil(batch_size * self.forced_foreground)


class Reason(BaseModel):
    """Why one value of the plan is what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The value's name: a field of the plan, of a configuration or of the preparation."""
    value: str
    """The value as text."""
    why: str
    """The rule, in one sentence."""
    source: str
    """Where the rule comes from."""
    basis: Basis
    """What the value rests on."""


class NnunetNames(BaseModel):
    """What nnU-Net's plans.json holds beside the decisions, so that it can be written as it would be there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plans_name: FolderName
    """Name of the plans; part of the name of a folder that is exported."""
    experiment_planner: str
    """Class of the planner."""
    reader: str
    """Class that reads images."""
    median_spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Median spacing of the data set after the transposition (z, y, x)."""
    median_shape: SizeZYX
    """Median shape of the cropped cases after the transposition (z, y, x), as nnU-Net rounds it."""
    said: dict[str, JsonValue] = {}
    """Entries of plans.json as nnU-Net's files say them: what is not understood here, and how numbers are spelled."""


class Plan(BaseModel):
    """What training and prediction must agree on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = 2
    """Schema version; a reader refuses any other."""
    planner: PlannerName = "headct"
    """Rules that made the plan."""
    preset: PresetName | None = None
    """Published system that it follows."""
    dataset_name: str
    """Name of the data set's folder."""
    labels: tuple[str, ...]
    """Class names by number, the first is `background`; of a data set with regions, the names in its order."""
    regions: tuple[Region, ...] = ()
    """What the classes after `background` are made of, in their order; empty if each has a number of its own."""
    ignores: Annotated[bool, Later()] = False
    """Whether dataset.json has a label for voxels that nobody labeled, in a fold or not: the number after the last."""
    preparation: Preparation
    """How scans are prepared."""
    recipe: Recipe = Recipe()
    """How networks are trained."""
    configurations: Annotated[tuple[Configuration, ...], Field(min_length=1)]
    """All networks that were planned."""
    trained: Annotated[tuple[ConfigurationName, ...], Field(min_length=1)]
    """Those that a run trains, in this order; a previous stage stands before the one that needs it."""
    memory_gb: PositiveFloat | None
    """Memory that the networks were planned for: nnU-Net's GPU target, or the training process's for `headct`.
    None where nobody knows: plans.json does not say."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of weights, splits and patches."""
    nnunet: NnunetNames | None = None
    """nnU-Net's own names; None for plans that are not nnU-Net's."""
    reasons: tuple[Reason, ...] = ()
    """Why the values were chosen."""
    doubts: tuple[str, ...] = ()
    """What makes the plan less sure than usual; empty if nothing does."""

    @model_validator(mode="after")
    def _trains_what_it_plans(self) -> "Plan":
        names = [configuration.name for configuration in self.configurations]
        if len(set(names)) != len(names):
            raise ValueError(f"configurations {names} are not named once each")
        unknown = [name for name in self.trained if name not in names]
        if unknown:
            raise ValueError(f"trained {unknown}, planned {names}")
        if len(set(self.trained)) != len(self.trained):
            raise ValueError(f"trained {self.trained} are not named once each")
        for item in self.configurations:
            before, trained = item.previous_stage, self.trained
            if before is not None and before not in names:
                raise ValueError(f"{item.name} needs {before}, planned {names}")
            if before in trained and item.name in trained and trained.index(before) >= trained.index(item.name):
                raise ValueError(f"{item.name} is trained before {before}, which it needs")
        if self.regions and len(self.regions) != len(self.labels) - 1:
            raise ValueError(f"{len(self.regions)} regions for {len(self.labels) - 1} classes after background")
        numbers = {number for region in self.regions for number in region.labels}
        if not {region.paint for region in self.regions} <= numbers:
            raise ValueError(f"regions are painted with numbers that are none of their labels {sorted(numbers)}")
        return self

    @property
    def table(self) -> LabelTable:
        """The label table."""
        return make_table(self.labels, self.regions)

    @property
    def outputs(self) -> int:
        """Channels that networks have as output: one per class, background included, or one per region."""
        return len(self.regions) or len(self.labels)

    @property
    def trained_configurations(self) -> tuple[Configuration, ...]:
        """The configurations that a run trains, in order."""
        return tuple(self.configuration(name) for name in self.trained)

    def configuration(self, name: str) -> Configuration:
        """The configuration of this name; the plan must hold it."""
        return next(item for item in self.configurations if item.name == name)

    def input_channels(self, configuration: Configuration) -> int:
        """Channels that the network of a configuration sees: the plan's, and previous-stage classes."""
        previous = self.table.largest if configuration.previous_stage else 0
        return len(self.preparation.channels) + previous
