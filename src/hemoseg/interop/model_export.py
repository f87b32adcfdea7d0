"""A bundle as a results folder of nnU-Net v2, for nnU-Net's own commands to predict with."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hemoseg.artifacts import whole_folder, write_json
from hemoseg.errors import InputError
from hemoseg.interop.nnunet_labels import paint_entry
from hemoseg.interop.nnunet_write import write_plans
from hemoseg.models import Bundle, find_bundle, open_bundle
from hemoseg.plan import Configuration, Plan

TRAINER = "nnUNetTrainer"
"""nnU-Net's default trainer: it builds the network that plans.json describes."""


def export_model(model: str | Path, out: Path) -> list[Path]:
    """Write a bundle as results folders of nnU-Net v2, one per configuration: OUT/TRAINER__PLANS__CONFIGURATION.

    Args:
        model: a bundle's folder, or the name of an embedded model.
        out: the data set's folder in nnU-Net's results, like `nnUNet_results/Dataset001_NAME`.

    Returns:
        The folders written; of a cascade the previous stage's first.

    Raises:
        InputError: there is no such model, or a folder is there already.
        SettingsError: the plan holds steps that nnU-Net does not know.
        ArtifactError: the bundle is damaged.
        ResourceError: a file cannot be written.
    """
    bundle = open_bundle(find_bundle(model, option="BUNDLE"))
    plan = bundle.plan
    plans, dataset = write_plans(plan), dataset_json(plan)
    names = [configuration.name for configuration in bundle.stages]
    named = [(out / f"{TRAINER}__{plans['plans_name']}__{name}", name) for name in names]
    for target, _ in named:
        if target.exists():
            raise InputError("is there already", where=target, expected="no such folder", remedy="choose another OUT")
    with ExitStack() as together:  # all folders or none
        for place, name in [(together.enter_context(whole_folder(target)), name) for target, name in named]:
            _write_weights(bundle, plan.configuration(name), place)
            write_json(place / "dataset.json", dataset)
            write_json(place / "plans.json", plans)
    return [target for target, _ in named]


def dataset_json(plan: Plan) -> dict[str, Any]:
    """The content of dataset.json as far as a plan knows it: prediction needs no more."""
    return {
        "channel_names": {str(index): channel.name for index, channel in enumerate(plan.preparation.channels)},
        "labels": {**plan.table.entry, **({"ignore": plan.table.largest + 1} if plan.ignores else {})},
        "numTraining": 1,
        "file_ending": ".nii.gz",
        **paint_entry(plan.table),
    }


def _write_weights(bundle: Bundle, configuration: Configuration, target: Path) -> None:
    from hemoseg.nets.nnunet_checkpoint import write_checkpoint
    from hemoseg.nets.weights import read_weights

    mirrored = configuration if bundle.selection.mirror else configuration.model_copy(update={"mirror_axes": ()})
    folds = bundle.selection.folds[configuration.name]
    for fold, path in zip(folds, bundle.weights(configuration), strict=True):
        name = "fold_all" if bundle.selection.trained_on_all else f"fold_{fold}"
        file = target / name / "checkpoint_final.pth"
        write_checkpoint(file, bundle.plan, mirrored, read_weights(path), trainer=TRAINER)
