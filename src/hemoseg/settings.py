"""What a user decides about a run; everything else follows from the data and the machine."""

import shlex
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from hemoseg.plan import EPOCH_ITERATIONS, MOST_ITERATIONS, PlannerName, Pooling, PresetName, RecipeName, Slab

ConfigChoice = Literal["auto", "2d", "3d_fullres", "3d_lowres", "cascade", "all"]
"""What `--config` takes."""
StoreFormat = Literal["npy", "blosc2"]
"""How prepared cases lie on disk: plain arrays, read fastest; or compressed."""
SplitRule = Literal["stratified", "shuffled", "nnunet", "file"]
"""How cases are parted into folds."""
SLICE_SPACING_MM = (0.1, 100.0)
"""Slices may be resampled to this: finer than any scanner's, up to a few slices a head."""
FOLDS = 5
"""Folds of the cross-validation, nnU-Net's."""
DEFAULT_ITERATIONS = 1000 * EPOCH_ITERATIONS
"""Optimizer steps per fold when neither budget nor iterations are given: nnU-Net's 1000 x 250."""


class Steps(BaseModel):
    """Steps of the preparation that the user asks for; what is None or empty is left to the planner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: tuple[str, ...] = ()
    """Windows, one channel each: names, or WIDTH/CENTER in HU."""
    pooling: Pooling | None = None
    """In-plane downsampling by pooling."""
    slice_spacing_mm: Annotated[float, Field(ge=SLICE_SPACING_MM[0], le=SLICE_SPACING_MM[1])] | None = None
    """Spacing along z before the planner's own resampling."""
    slab: Slab | None = None
    """Slices that are kept."""

    @property
    def is_empty(self) -> bool:
        """Whether all is left to the planner."""
        return self == Steps()

    def options(self) -> list[str]:
        """The command line's options that give these steps."""
        options = [f"--window {name}" for name in self.windows]
        if self.pooling is not None:
            options.append(f"--pool {self.pooling.kind}:{self.pooling.factor}")
        if self.slice_spacing_mm is not None:
            options.append(f"--slice-spacing {self.slice_spacing_mm:g}")
        if self.slab is not None:
            options.append(f"--slab {self.slab.extend}")
            options += ["--slab-range label"] if self.slab.train_range == "label" else []
        return options


class Splitting(BaseModel):
    """How cases are parted into folds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: SplitRule = "stratified"
    """By patient and alike in lesions, by patient and chance, nnU-Net's own, or a file's."""
    patient_pattern: str | None = None
    """Regular expression whose one group is the patient in a case's name; None takes those of the data set."""
    file: str | None = None
    """The file of splits."""
    file_sha256: str | None = None
    """SHA-256 of its content."""

    @model_validator(mode="after")
    def _file_belongs_to_its_rule(self) -> "Splitting":
        if (self.rule == "file") != (self.file is not None) or (self.file is None) != (self.file_sha256 is None):
            raise ValueError("a file of splits has a path and a hash, and stands alone")
        return self

    def options(self) -> list[str]:
        """The command line's options that give these splits; defaults are left out."""
        options = [] if self.rule == "stratified" else [f"--splits {self.file or self.rule}"]
        pattern = self.patient_pattern
        return options if pattern is None else [*options, f"--patient-pattern {shlex.quote(pattern)}"]


class Settings(BaseModel):
    """Settings of a run. The same settings on the same folder resume it; others are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[3] = 3
    """Schema version."""
    planner: PlannerName = "headct"
    """Rules that make the plan."""
    preset: PresetName | None = None
    """Published system to follow instead; it has its own planner and steps."""
    recipe: RecipeName | None = None
    """How networks are trained; None takes the planner's own way."""
    memory_gb: PositiveFloat | None = None
    """Memory to plan networks for; None takes the planner's own default."""
    steps: Steps = Steps()
    """Steps of the preparation that are asked for."""
    store: StoreFormat = "npy"
    """How prepared cases lie on disk."""
    folds: tuple[Annotated[int, Field(ge=0, lt=FOLDS)], ...] = tuple(range(FOLDS))
    """Folds to train."""
    splits: Splitting = Splitting()
    """How cases are parted into folds."""
    config: ConfigChoice = "auto"
    """Kind of network."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of splits, weights and patches."""
    budget_s: PositiveFloat | None = None
    """Training time over all folds and configurations together, in seconds."""
    iterations: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)] | None = None
    """Optimizer steps per fold and configuration."""
    epochs: Annotated[int, Field(ge=1, le=MOST_ITERATIONS // EPOCH_ITERATIONS)] | None = None
    """The same in epochs of 250 steps."""
    patience: PositiveInt | None = None
    """Epochs to wait for a better training loss before a training stops early; None trains to the end."""
    init: str | None = None
    """Weights that trainings begin with: a weights file or a bundle's folder; None draws them."""
    init_sha256: str | None = None
    """SHA-256 of that file, or of the bundle's manifest."""
    train_cases: PositiveInt | None = None
    """Patients of each fold to train on, drawn by the seed; None takes all."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks are trained."""

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, values: Any) -> Any:
        """Version 2 had no choice of splits: they were shuffled by patient, and such a run has to keep them."""
        if isinstance(values, dict) and values.get("version") == 2:
            return values | {"version": 3, "splits": {"rule": "shuffled"}}
        return values

    @model_validator(mode="after")
    def _can_all_be_kept(self) -> "Settings":
        if sum(limit is not None for limit in (self.budget_s, self.iterations, self.epochs)) > 1:
            raise ValueError("budget, iterations and epochs exclude each other")
        if (self.init is None) != (self.init_sha256 is None):
            raise ValueError("weights to begin with have a path and a hash")
        if len(set(self.folds)) != len(self.folds) or not self.folds:
            raise ValueError("folds must be named once each, and at least one")
        if self.preset is not None and not (self.steps.is_empty and self.planner == "headct"):
            raise ValueError("a preset has its own planner and steps")
        if self.preset is not None and self.recipe == "headct":
            raise ValueError("a preset is trained by nnU-Net's recipe")
        return self

    @property
    def asked_iterations(self) -> int | None:
        """Optimizer steps per fold and configuration that are asked for, in steps or epochs; None if none are."""
        return self.iterations if self.epochs is None else self.epochs * EPOCH_ITERATIONS

    def options(self) -> str:
        """The options of `hemoseg run` that give these settings; defaults of planning are left out."""
        folds = "all" if len(self.folds) == FOLDS else ",".join(map(str, self.folds))
        limit = [f"--budget {self.budget_s:g}s"] if self.budget_s is not None else []
        limit += [f"--iterations {self.iterations}"] if self.iterations is not None else []
        limit += [f"--epochs {self.epochs}"] if self.epochs is not None else []
        planning = [f"--planner {self.planner}"] if self.planner != "headct" else []
        planning += [f"--recipe {self.recipe}"] if self.recipe is not None else []
        planning += [f"--preset {self.preset}"] if self.preset is not None else []
        planning += [f"--memory-gb {self.memory_gb:g}"] if self.memory_gb is not None else []
        planning += self.steps.options()
        planning += self.splits.options()
        planning += [f"--store {self.store}"] if self.store != "npy" else []
        planning += self._training_options()
        last = [f"--config {self.config}", f"--seed {self.seed}", f"--device {self.device}"]
        return " ".join([f"--folds {folds}", *limit, *planning, *last])

    def _training_options(self) -> list[str]:
        values = {"--patience": self.patience, "--init": self.init, "--train-cases": self.train_cases}
        return [f"{option} {shlex.quote(str(value))}" for option, value in values.items() if value is not None]

    def difference(self, other: "Settings") -> list[str]:
        """One line per setting that differs, `name: here → there`."""
        mine, others = _flat(self.model_dump()), _flat(other.model_dump())
        names = [*mine, *(name for name in others if name not in mine)]
        return [
            f"{name}: {mine.get(name)} → {others.get(name)}" for name in names if mine.get(name) != others.get(name)
        ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted name: value}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
