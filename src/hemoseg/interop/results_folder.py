"""A results folder of nnU-Net v2: TRAINER__PLANS__CONFIGURATION with plans.json, dataset.json and a folder per fold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hemoseg.artifacts import readable
from hemoseg.errors import InputError
from hemoseg.interop.foreign_json import read_json_object
from hemoseg.interop.nnunet_files import DATASET_KIND
from hemoseg.interop.nnunet_read import PLANS_KIND

CheckpointKind = Literal["final", "best", "latest"]
"""Which of a fold's checkpoints."""
SEPARATOR = "__"
"""Between trainer, plans and configuration in the folder's name."""
KIND = "a results folder of nnU-Net v2, like Dataset001_NAME/nnUNetTrainer__nnUNetPlans__3d_fullres"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsFolder:
    """The files of one trained configuration."""

    folder: Path
    """Where it lies."""
    plans: dict[str, Any]
    """Content of plans.json."""
    dataset: dict[str, Any]
    """Content of dataset.json."""
    checkpoints: dict[int, Path]
    """{fold: its checkpoint}; a network that was trained on all cases counts as fold 0."""
    is_on_all: bool
    """Whether it is that network."""


def open_results(folder: Path, *, folds: Sequence[int] | None, checkpoint: CheckpointKind) -> ResultsFolder:
    """A results folder, its JSON read and its checkpoints found.

    Args:
        folder: the folder of one configuration, or one that holds nothing but such a folder.
        folds: folds to take; None takes all numbered ones that have the checkpoint, or else `fold_all`.
        checkpoint: which checkpoint of each fold.

    Raises:
        InputError: no such folder, several configurations, no JSON, or folds without a checkpoint.
    """
    folder = _configuration_folder(folder)
    name = f"checkpoint_{checkpoint}.pth"
    with readable(folder):
        paths = sorted(folder.iterdir())
    numbered = {int(fold): path for path in paths if (fold := path.name.removeprefix("fold_")).isdecimal()}
    found = {fold: numbered[fold] / name for fold in sorted(numbered) if (numbered[fold] / name).is_file()}
    on_all = folder / "fold_all" / name
    missing = [fold for fold in folds or () if fold not in found]
    if missing:
        raise _unusable(
            f"no fold_{missing[0]}/{name}", folder, f"one of the folds that have it: {_listed(found)}", "--folds"
        )
    is_on_all = folds is None and not found and on_all.is_file()
    if not found and not is_on_all:
        raise _unusable(f"no fold has {name}", folder, KIND, "wait for the training to end, or --checkpoint best")
    chosen = {0: on_all} if is_on_all else {fold: found[fold] for fold in (folds or found)}
    return ResultsFolder(
        folder=folder,
        plans=read_json_object(folder / "plans.json", kind=PLANS_KIND),
        dataset=read_json_object(folder / "dataset.json", kind=DATASET_KIND),
        checkpoints=chosen,
        is_on_all=is_on_all,
    )


def sibling(folder: Path, configuration: str) -> Path:
    """The results folder of another configuration by the same trainer and plans, as nnU-Net places it."""
    folder = _configuration_folder(folder)
    stem, _, _ = folder.name.rpartition(SEPARATOR)
    return folder.with_name(f"{stem}{SEPARATOR}{configuration}")


def results_name(folder: Path) -> str:
    """A bundle's name from the folder's: that of the data set and the configuration."""
    folder = _configuration_folder(folder).resolve()
    configuration = folder.name.rpartition(SEPARATOR)[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{folder.parent.name}-{configuration}").strip("-._") or "nnunet"


def _configuration_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise _unusable("no such folder", folder, KIND, "check the path")
    if (folder / "plans.json").is_file():
        return folder
    inside = sorted(path for path in folder.iterdir() if (path / "plans.json").is_file())
    if len(inside) != 1:
        found = f"{len(inside)} configurations: {_listed(path.name for path in inside)}" if inside else "no plans.json"
        raise _unusable(found, folder, KIND, "name the folder of one configuration")
    return inside[0]


def _listed(items: Any) -> str:
    return ", ".join(map(str, items)) or "none"


def _unusable(found: str, where: Path, expected: str, remedy: str) -> InputError:
    return InputError(found, where=where, expected=expected, remedy=remedy)
