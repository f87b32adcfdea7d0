"""Options of `run` and `plan`, and the settings that they make."""

from enum import StrEnum
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hemoseg.cli.progress import parse_duration, parse_folds

if TYPE_CHECKING:
    from hemoseg.settings import Settings

PLANNING = "Planning"
TRAINING = "Training"
STEPS = "Steps of the preparation"


class Device(StrEnum):
    """Where networks run."""

    cpu = "cpu"
    cuda = "cuda"


class Config(StrEnum):
    """Kinds of network."""

    auto = "auto"
    two_d = "2d"
    fullres = "3d_fullres"
    lowres = "3d_lowres"
    cascade = "cascade"
    all = "all"


class Planner(StrEnum):
    """Rules that can make a plan."""

    headct = "headct"
    nnunet = "nnunet"
    resenc_m = "nnunet-resenc-m"
    resenc_l = "nnunet-resenc-l"
    resenc_xl = "nnunet-resenc-xl"
    v1 = "nnunet-v1"


class Preset(StrEnum):
    """Published systems that a plan can follow."""

    paper = "paper"
    swapped = "paper-swapped"


class Recipe(StrEnum):
    """Ways to train."""

    nnunet = "nnunet"
    headct = "headct"


class SlabRange(StrEnum):
    """Slices that a slab is counted from."""

    head = "head"
    label = "label"


class Store(StrEnum):
    """How prepared cases lie on disk."""

    npy = "npy"
    blosc2 = "blosc2"


Dataset = Annotated[Path, typer.Argument(help="Data set in nnU-Net v2 raw layout: dataset.json, imagesTr/, labelsTr/.")]
RunDir = Annotated[Path, typer.Option("--run", help="Run folder: all that a run writes. Made if need be.")]
Budget = Annotated[
    str | None,
    typer.Option(help="Training time over all folds and configurations together, like 90s, 45m or 2h."),
]
Iterations = Annotated[
    int | None,
    typer.Option(min=1, max=10**9, help="Optimizer steps per fold and configuration; then no clock decides anything."),
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, max=4 * 10**6, help="The same in epochs of 250 steps."),
]
Folds = Annotated[str, typer.Option(help="Folds of the 5-fold cross-validation to train: `0`, `0,1` or `all`.")]
ConfigOption = Annotated[
    Config,
    typer.Option(
        help="Kind of network; auto decides from the data. cascade trains 3d_lowres on all folds "
        "first, all trains every kind that is planned, to choose among them."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of splits, weights and patches.")]
SplitsOption = Annotated[
    str,
    typer.Option(
        "--splits",
        metavar="stratified|shuffled|nnunet|FILE",
        help="How cases are parted into folds: by patient and alike in lesions, by patient and chance, as nnU-Net "
        "does, or as a splits.json or splits_final.json says.",
    ),
]
PatientPattern = Annotated[
    str | None,
    typer.Option(
        "--patient-pattern",
        metavar="REGEX",
        help="Regular expression whose one group is the patient in a case's name, like '^(ID_[0-9a-f]+)_'; instead "
        "of patients.csv.",
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Stop early after so many epochs without a better training loss; as in nnU-Net v1, not before the "
        "learning rate is at 1e-6, which the recipes as they are do not come down to in time.",
        rich_help_panel=TRAINING,
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Begin with the weights of a model: a name, a bundle's folder, a fold's folder of a run, or a weights "
        "file. The network must be the same; heads of other classes are drawn anew.",
        rich_help_panel=TRAINING,
    ),
]
TrainCases = Annotated[
    int | None,
    typer.Option(
        "--train-cases",
        min=1,
        metavar="N",
        help="Train on N patients of each fold, drawn by the seed; held-out cases stay.",
        rich_help_panel=TRAINING,
    ),
]
PlannerOption = Annotated[
    Planner,
    typer.Option(
        help="headct plans for head CT and the time given; the others are nnU-Net's exact rules.",
        rich_help_panel=PLANNING,
    ),
]
RecipeOption = Annotated[
    Recipe | None,
    typer.Option(
        help="How networks are trained: nnunet exactly as nnU-Net does, headct with patches and augmentation for head "
        "CT. Without it headct for the planner headct, nnunet for the others.",
        rich_help_panel=PLANNING,
    ),
]
PresetOption = Annotated[
    Preset | None,
    typer.Option(
        help="A published system: the INSTANCE 2022 report's as printed, or with width and center of its "
        "window exchanged. It has its own planner and steps.",
        rich_help_panel=PLANNING,
    ),
]
MemoryGb = Annotated[
    float | None,
    typer.Option(
        "--memory-gb",
        min=0.0,
        help="Memory to plan networks for: that of the training process for headct, "
        "nnU-Net's GPU target for the others.",
        rich_help_panel=PLANNING,
    ),
]
Windows = Annotated[
    list[str] | None,
    typer.Option(
        "--window",
        help="Input channel: a named window (paper, paper-swapped, brain, subdural, stroke, blood, "
        "bone, soft, wide) or WIDTH/CENTER in HU. Give it once per channel.",
        rich_help_panel=STEPS,
    ),
]
Pool = Annotated[
    str | None,
    typer.Option(
        "--pool",
        metavar="KIND:FACTOR",
        help="In-plane downsampling by pooling: maximum, average, summed-area or "
        "random-area, and a whole factor, like average:2.",
        rich_help_panel=STEPS,
    ),
]
SliceSpacing = Annotated[
    float | None,
    typer.Option(
        "--slice-spacing",
        metavar="MM",
        help="Spacing of slices before the planner's own resampling.",
        rich_help_panel=STEPS,
    ),
]
SlabOption = Annotated[
    int | None,
    typer.Option(
        "--slab", metavar="N", min=0, help="Keep the head's slices and N beyond each end.", rich_help_panel=STEPS
    ),
]
SlabRangeOption = Annotated[
    SlabRange,
    typer.Option(
        "--slab-range",
        help="In training, count the slab from the head's slices or from the labeled ones; it is "
        "the head's at inference always.",
        rich_help_panel=STEPS,
    ),
]
StoreOption = Annotated[
    Store, typer.Option(help="How prepared cases lie on disk: plain arrays, or compressed.", rich_help_panel=STEPS)
]


def parse_pooling(text: str) -> dict[str, Any]:
    """`KIND:FACTOR` as the fields of a `Pooling`.

    Raises:
        typer.BadParameter: another form, an unknown kind, or a factor below 2.

    Example:
        >>> parse_pooling("average:2")
        {'kind': 'average', 'factor': 2}
    """
    from typing import get_args

    from hemoseg.plan import PoolingKind

    kind, _, factor = text.partition(":")
    if kind not in get_args(PoolingKind) or not factor.isdecimal() or int(factor) < 2:
        raise typer.BadParameter(
            f"--pool {text}: give KIND:FACTOR, one of {', '.join(get_args(PoolingKind))} and a whole factor from 2 up"
        )
    return {"kind": kind, "factor": int(factor)}


def make_steps(
    windows: list[str] | None,
    pool: str | None,
    slice_spacing_mm: float | None,
    slab: int | None,
    slab_range: SlabRange,
) -> dict[str, Any]:
    """The fields of `Steps` that options ask for.

    Raises:
        typer.BadParameter: an option without the one that it needs, or a value that cannot be.
        SettingsError: an unknown window.
    """
    from hemoseg.settings import SLICE_SPACING_MM
    from hemoseg.windows import window_named

    if slab is None and slab_range is not SlabRange.head:
        raise typer.BadParameter("--slab-range needs --slab N")
    low, high = SLICE_SPACING_MM
    if slice_spacing_mm is not None and not low <= slice_spacing_mm <= high:
        raise typer.BadParameter(f"--slice-spacing {slice_spacing_mm:g}: give {low:g} to {high:g} mm")
    for name in windows or ():
        window_named(name)
    if len(set(windows or ())) != len(windows or ()):
        raise typer.BadParameter("--window names one window twice")
    return {
        "windows": tuple(windows or ()),
        "pooling": None if pool is None else parse_pooling(pool),
        "slice_spacing_mm": slice_spacing_mm,
        "slab": None if slab is None else {"extend": slab, "train_range": slab_range.value},
    }


def make_splitting(splits: str, patient_pattern: str | None) -> dict[str, Any]:
    """The fields of `Splitting` that options ask for.

    Raises:
        typer.BadParameter: neither a rule nor a file.
    """
    from typing import get_args

    from hemoseg.artifacts import readable, sha256_of
    from hemoseg.settings import SplitRule

    path = Path(splits)
    if splits in get_args(SplitRule) and splits != "file":
        return {"rule": splits, "patient_pattern": patient_pattern}
    if not path.is_file():
        raise typer.BadParameter(f"--splits {splits}: give stratified, shuffled, nnunet, or a file that is there")
    with readable(path):
        digest = sha256_of(path)
    return {
        "rule": "file",
        "file": str(path.resolve()),
        "file_sha256": digest,
        "patient_pattern": patient_pattern,
    }


def make_init(model: str | None) -> dict[str, str | None]:
    """The fields of `Settings` for weights to begin with.

    Raises:
        InputError: there is no such model.
    """
    from hemoseg.artifacts import readable, sha256_of
    from hemoseg.models import find_bundle

    if model is None:
        return {"init": None, "init_sha256": None}
    path = Path(model)
    if (path / "last.safetensors").is_file():
        path = path / "last.safetensors"
    path = path if path.is_file() else find_bundle(model, option="--init")
    with readable(path):
        digest = sha256_of(path / "manifest.json" if path.is_dir() else path)
    return {"init": str(path.resolve()), "init_sha256": digest}


def make_settings(
    *,
    budget: str | None,
    iterations: int | None,
    epochs: int | None,
    folds: str,
    preset: Preset | None,
    planner: Planner,
    recipe: Recipe | None,
    steps: dict[str, Any],
    memory_gb: float | None,
    splits: dict[str, Any],
    **others: Any,
) -> "Settings":
    """The settings that options give; `others` are fields of `Settings` as they are.

    Raises:
        typer.BadParameter: options that exclude each other.
    """
    from hemoseg.settings import Settings, Splitting, Steps

    if sum(limit is not None for limit in (budget, iterations, epochs)) > 1:
        raise typer.BadParameter("--budget, --iterations and --epochs exclude each other")
    if memory_gb is not None and not 0.0 < memory_gb < inf:
        raise typer.BadParameter("--memory-gb must be above 0, and a number")
    asked = Steps.model_validate(steps)
    if preset is not None and not (asked.is_empty and planner is Planner.headct):
        raise typer.BadParameter("--preset has its own planner and steps: leave out --planner and the steps")
    if preset is not None and recipe is Recipe.headct:
        raise typer.BadParameter("--preset is trained by nnU-Net's recipe: leave out --recipe")
    return Settings(
        planner=planner.value,
        preset=None if preset is None else preset.value,
        recipe=None if recipe is None else recipe.value,
        memory_gb=memory_gb,
        steps=asked,
        splits=Splitting.model_validate(splits),
        folds=parse_folds(folds),
        budget_s=None if budget is None else parse_duration(budget),
        iterations=iterations,
        epochs=epochs,
        **others,
    )
