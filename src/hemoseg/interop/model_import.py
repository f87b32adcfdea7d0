"""A trained model of nnU-Net v2 as a bundle of ours: the same networks, preparation and mirroring."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemoseg.errors import ArtifactError, InputError, SettingsError
from hemoseg.interop.members import (
    ALIKE,
    ImportedStage,
    Member,
    check_alike,
    check_members,
    distinct_stages,
    merged,
    named_apart,
    unlike,
)
from hemoseg.interop.nnunet_read import read_plans
from hemoseg.interop.results_folder import CheckpointKind, ResultsFolder, open_results, results_name, sibling
from hemoseg.models import (
    NOTICE,
    TERMS,
    Measured,
    Selection,
    check_bundle_name,
    check_bundle_target,
    weights_name,
    write_bundle,
)
from hemoseg.plan import Plan
from hemoseg.planning.nnunet import TURNING_READERS

if TYPE_CHECKING:
    from hemoseg.nets.nnunet_checkpoint import Checkpoint

READERS = ("SimpleITKIO", "NibabelIO", *TURNING_READERS)
"""nnU-Net's readers of NIfTI."""


def import_model(
    folder: Path,
    out: Path,
    *,
    folds: Sequence[int] | None = None,
    checkpoint: CheckpointKind = "final",
    previous: Path | None = None,
    others: Sequence[Path] = (),
    name: str | None = None,
) -> Selection:
    """Write a trained model of nnU-Net v2, or several as an ensemble, as a bundle; no weight is changed.

    Args:
        folder: the results folder of one configuration: TRAINER__PLANS__CONFIGURATION.
        out: where the bundle goes, whole or not at all.
        folds: folds to take; None takes all.
        checkpoint: which checkpoint of each fold.
        previous: of a cascade, the previous stage's results folder; None looks beside `folder`.
        others: results folders of other models of the same classes and preparation; the probabilities of all are
            averaged, as nnU-Net's ensembles do. Where one's configuration has a name that is taken, it gets a number.
        name: the bundle's name; None takes the data set's and the configurations'.

    Returns:
        What the bundle's result is made from.

    Raises:
        InputError: a file is absent, damaged, not nnU-Net's, could run code, or says what is not known here; the
            network cannot run; or the name cannot be one.
        SettingsError: `previous` is given, and the model is no cascade.
        ResourceError: the bundle cannot be written.
    """
    check_bundle_name(name)
    check_bundle_target(out)
    members = [_read_stages(folder, folds, checkpoint, previous)]
    members += [_read_stages(other, folds, checkpoint, None) for other in others]
    check_members(members)
    members = named_apart(members)
    plan, stages = merged(members), distinct_stages(members)
    trainers = list(dict.fromkeys(member[-1].trainer for member in members))
    reason = f"imported from nnU-Net: {', '.join(trainers)}, checkpoint_{checkpoint}"
    selection = _selection(members, stages, reason)
    name = name or "-".join([results_name(folder), *selection.configurations[1:]])
    write_bundle(
        out,
        name=name,
        model_version=f"{'+'.join(trainers)}-{checkpoint}",
        notice=NOTICE,
        plan=plan,
        selection=selection,
        card=_card(name, plan, stages, checkpoint),
        license_text=TERMS,
        weights=_weights(plan, stages),
        measure=_measuring(out, folder),
    )
    return selection


def _selection(members: Sequence[Member], stages: Sequence[ImportedStage], reason: str) -> Selection:
    """All folds of all stages; the last stages of the members are averaged."""
    return Selection(
        configurations=tuple(member[-1].configuration.name for member in members),
        folds={stage.configuration.name: tuple(stage.results.checkpoints) for stage in stages},
        trained_on_all=members[0][-1].results.is_on_all,
        mirror=any(stage.configuration.mirror_axes for stage in stages),
        reason=reason,
    )


def _read_stages(
    folder: Path, folds: Sequence[int] | None, kind: CheckpointKind, previous: Path | None
) -> list[ImportedStage]:
    """The stage in a results folder; of a cascade, the previous one before it."""
    last = _read_stage(folder, folds, kind)
    if last.configuration.previous_stage is None:
        if previous is None:
            return [last]
        raise SettingsError(
            f"given, and {last.configuration.name} has no previous stage",
            where="--previous",
            expected="the last stage of a cascade as the folder to import",
            remedy="leave it out",
        )
    first = _read_previous(previous or sibling(folder, last.configuration.previous_stage), last, folds, kind)
    if first.results.is_on_all != last.results.is_on_all:
        raise unlike("one stage was trained on all cases, the other on folds", last.results.folder, "both alike")
    return [first, last]


def _read_stage(folder: Path, folds: Sequence[int] | None, kind: CheckpointKind) -> ImportedStage:
    from hemoseg.nets.nnunet_checkpoint import read_checkpoint

    results = open_results(folder, folds=folds, checkpoint=kind)
    checkpoints = {path: read_checkpoint(path) for path in results.checkpoints.values()}
    first = next(iter(checkpoints.values()))
    for path, item in checkpoints.items():
        if (item.configuration, item.mirror_axes) != (first.configuration, first.mirror_axes):
            found = f"configuration {item.configuration}, mirror axes {item.mirror_axes}"
            raise unlike(found, path, f"{first.configuration} and {first.mirror_axes} as in the other folds")
    plan = read_plans(_pruned(results, first), results.dataset, where=results.folder / "plans.json")
    _check_is_ours(plan, results.folder)
    configuration = plan.configuration(first.configuration)
    lead = 3 - configuration.dimensions
    axes = tuple(axis + lead for axis in first.mirror_axes)
    if any(axis > 2 for axis in axes):
        raise unlike(f"mirror axes {first.mirror_axes}", results.folder, f"axes of {configuration.dimensions} at most")
    return ImportedStage(
        results=results,
        trainer=first.trainer,
        plan=plan,
        configuration=configuration.model_copy(update={"mirror_axes": axes}),
        said=configuration.name,
    )


def _pruned(results: ResultsFolder, checkpoint: "Checkpoint") -> dict[str, Any]:
    """plans.json with the configuration, its previous stage and what both inherit; others need not be known here."""
    configurations = results.plans.get("configurations")
    if not isinstance(configurations, dict) or checkpoint.configuration not in configurations:
        raise InputError(
            f"no configuration {checkpoint.configuration}, which the checkpoints name",
            where=results.folder / "plans.json",
            expected="the plans that the model was trained with",
            remedy="take plans.json from the training, not from a later planning",
        )
    wanted, queue = [], [checkpoint.configuration]
    while queue:
        name = queue.pop()
        content = configurations.get(name)
        if name in wanted or not isinstance(content, Mapping):
            continue
        wanted.append(name)
        queue += [str(content[key]) for key in ("inherits_from", "previous_stage") if content.get(key) is not None]
    return {
        **results.plans,
        "configurations": {name: configurations[name] for name in configurations if name in wanted},
    }


def _check_is_ours(plan: Plan, where: Path) -> None:
    """One channel of CT, read from NIfTI, and something to find in it."""
    names = [channel.name for channel in plan.preparation.channels]
    if len(names) > 1:
        raise InputError(
            f"{len(names)} channels: {', '.join(names)}",
            where=where,
            expected="one channel: here a scan is one file of CT, not several _0000, _0001, … of other modalities",
            remedy="predict with nnU-Net itself, or import a model that was trained on CT alone",
        )
    if len(plan.labels) < 2:
        raise unlike("no label but background", where / "dataset.json", "one class at least")
    reader = plan.nnunet.reader if plan.nnunet is not None else ""
    if reader not in READERS:
        raise InputError(
            f"image_reader_writer {reader}",
            where=where,
            expected=f"one of {', '.join(READERS)}: here scans are NIfTI, in nnU-Net's own order of axes",
            remedy="predict with nnU-Net itself; or, if it makes the same arrays as one of these, name that one as "
            "image_reader_writer in plans.json",
        )


def _read_previous(
    folder: Path, last: ImportedStage, folds: Sequence[int] | None, kind: CheckpointKind
) -> ImportedStage:
    name = last.configuration.previous_stage
    if not folder.is_dir():
        raise InputError(
            f"no such folder: the model is a cascade, and its previous stage {name} is needed",
            where=folder,
            expected=f"the results folder of {name}",
            remedy="copy it beside the other, or name it with --previous",
        )
    stage = _read_stage(folder, folds, kind)
    if stage.configuration.name != name:
        raise unlike(f"configuration {stage.configuration.name}", folder, f"{name}, the cascade's previous stage")
    if stage.configuration.previous_stage is not None:
        raise unlike(f"{name}, a previous stage that has one itself", folder, "cascades of two stages")
    check_alike(stage, last, remedy="take the previous stage that the cascade was trained with")
    if stage.plan.configuration(name) != last.plan.configuration(name):
        raise unlike(f"another {name} than {last.results.folder}", folder, ALIKE)
    return stage


def _weights(plan: Plan, stages: Iterable[ImportedStage]) -> Iterator[tuple[str, bytes]]:
    """Each network's file in float32; one is in memory at a time."""
    from hemoseg.nets.nnunet_checkpoint import fitted_weights, read_checkpoint
    from hemoseg.nets.weights import full_weights

    for stage in stages:
        for fold, path in stage.results.checkpoints.items():
            weights = fitted_weights(read_checkpoint(path), plan, stage.configuration, path=path)
            yield weights_name(stage.configuration.name, fold), full_weights(weights)


def _measuring(out: Path, folder: Path) -> Callable[[Plan, dict[str, Path]], Measured | None]:
    """How the bundle comes to its agreement; a network that cannot run is the fault of the folder it comes from."""
    from hemoseg.inference.agreement import measure_anew

    measure = measure_anew(out)

    def measured(plan: Plan, weights: dict[str, Path]) -> Measured | None:
        try:
            return measure(plan, weights)
        except (ArtifactError, RuntimeError, ValueError) as error:
            told = error.found if isinstance(error, ArtifactError) else " ".join(str(error).split())
            raise InputError(
                f"the network that plans.json describes cannot run: {told:.200}",
                where=folder,
                expected="a network that gives numbers for a patch of its own size",
                remedy="take the plans.json and checkpoints that nnU-Net itself wrote",
            ) from error

    return measured


def _card(name: str, plan: Plan, stages: Sequence[ImportedStage], kind: CheckpointKind) -> str:
    """What is known of a model that was trained elsewhere."""
    lines = [f"# {name}", "", f"**{NOTICE}**", "", "## What it is", ""]
    for stage in stages:
        item = stage.configuration
        folds = "all cases" if stage.results.is_on_all else f"folds {', '.join(map(str, stage.results.checkpoints))}"
        renamed = "" if item.name == stage.said else f" ({stage.said} of {stage.origin})"
        lines.append(
            f"- {item.name}{renamed}: {item.encoder} encoder, {len(item.features)} stages from {item.features[0]} to "
            f"{item.features[-1]} channels, patch {' x '.join(map(str, item.patch_size))}; {folds}, "
            f"checkpoint_{kind}, trained by nnU-Net's {stage.trainer}"
        )
    lines += [
        "",
        f"Classes: {', '.join(plan.labels[1:])}. Data set: {plan.dataset_name}. Weights are float32, unchanged.",
    ]
    if plan.doubts:
        lines += ["", "## Doubts", "", *(f"- {doubt}" for doubt in plan.doubts)]
    lines += ["", "## Figures", "", "None were measured here.", "", "## What it has never seen", ""]
    return "\n".join([*lines, "Not known here: whoever trained it has to say.", ""])
