"""A trained model of nnU-Net v2 as a bundle of ours: the same networks, preparation and mirroring."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemoseg.errors import ArtifactError, InputError, SettingsError
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
from hemoseg.plan import Configuration, Plan

if TYPE_CHECKING:
    from hemoseg.nets.nnunet_checkpoint import Checkpoint

READERS = ("SimpleITKIO", "NibabelIO")
"""nnU-Net's readers of NIfTI that leave axes as stored."""
ALIKE = "the plans and labels of one data set"
"""What is asked of stages and of members of an ensemble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedStage:
    """One trained configuration: its plan, files and what its checkpoints say."""

    results: ResultsFolder
    """Where it comes from."""
    trainer: str
    """Class that trained it."""
    plan: Plan
    """The plan with this configuration, what it inherits and its previous stage alone."""
    configuration: Configuration
    """The configuration, mirrored as its checkpoints allow."""


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
        others: results folders of other configurations of the same plans; the probabilities of all are averaged, as
            nnU-Net's ensembles do.
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
    _check_are_of_one_kind(members)
    plan, last = _merged(members), members[0][-1]
    stages = list({stage.configuration.name: stage for member in members for stage in member}.values())
    averaged = tuple(member[-1].configuration.name for member in members)
    selection = Selection(
        configurations=averaged,
        folds={stage.configuration.name: tuple(stage.results.checkpoints) for stage in stages},
        trained_on_all=last.results.is_on_all,
        mirror=any(stage.configuration.mirror_axes for stage in stages),
        reason=f"imported from nnU-Net: {last.trainer}, checkpoint_{checkpoint}",
    )
    name = name or "-".join([results_name(folder), *averaged[1:]])
    write_bundle(
        out,
        name=name,
        model_version=f"{last.trainer}-{checkpoint}",
        notice=NOTICE,
        plan=plan,
        selection=selection,
        card=_card(name, plan, stages, checkpoint),
        license_text=TERMS,
        weights=_weights(plan, stages),
        measure=_measuring(out, folder),
    )
    return selection


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
        raise _unlike("one stage was trained on all cases, the other on folds", last.results.folder, "both alike")
    return [first, last]


def _read_stage(folder: Path, folds: Sequence[int] | None, kind: CheckpointKind) -> ImportedStage:
    from hemoseg.nets.nnunet_checkpoint import read_checkpoint

    results = open_results(folder, folds=folds, checkpoint=kind)
    checkpoints = {path: read_checkpoint(path) for path in results.checkpoints.values()}
    first = next(iter(checkpoints.values()))
    for path, item in checkpoints.items():
        if (item.configuration, item.mirror_axes) != (first.configuration, first.mirror_axes):
            found = f"configuration {item.configuration}, mirror axes {item.mirror_axes}"
            raise _unlike(found, path, f"{first.configuration} and {first.mirror_axes} as in the other folds")
    plan = read_plans(_pruned(results, first), results.dataset, where=results.folder / "plans.json")
    _check_is_ours(plan, results.folder)
    configuration = plan.configuration(first.configuration)
    lead = 3 - configuration.dimensions
    axes = tuple(axis + lead for axis in first.mirror_axes)
    if any(axis > 2 for axis in axes):
        raise _unlike(f"mirror axes {first.mirror_axes}", results.folder, f"axes of {configuration.dimensions} at most")
    return ImportedStage(
        results=results,
        trainer=first.trainer,
        plan=plan,
        configuration=configuration.model_copy(update={"mirror_axes": axes}),
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
    """One channel of CT, read without turning axes, and something to find in it."""
    names = [channel.name for channel in plan.preparation.channels]
    if len(names) > 1:
        raise InputError(
            f"{len(names)} channels: {', '.join(names)}",
            where=where,
            expected="one channel: here a scan is one file of CT, not several _0000, _0001, … of other modalities",
            remedy="predict with nnU-Net itself, or import a model that was trained on CT alone",
        )
    if len(plan.labels) < 2:
        raise _unlike("no label but background", where / "dataset.json", "one class at least")
    reader = plan.nnunet.reader if plan.nnunet is not None else ""
    if reader not in READERS:
        raise _unlike(f"image_reader_writer {reader}", where, f"{' or '.join(READERS)}, which keep axes as stored")


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
        raise _unlike(f"configuration {stage.configuration.name}", folder, f"{name}, the cascade's previous stage")
    if stage.configuration.previous_stage is not None:
        raise _unlike(f"{name}, a previous stage that has one itself", folder, "cascades of two stages")
    _check_is_alike(stage, last)
    if stage.plan.configuration(name) != last.plan.configuration(name):
        raise _unlike(f"another {name} than {last.results.folder}", folder, ALIKE)
    return stage


def _check_are_of_one_kind(members: Sequence[Sequence[ImportedStage]]) -> None:
    """Members of an ensemble have the same classes and preparation, and each configuration once."""
    first, *rest = members
    names = [first[-1].configuration.name]
    known = {stage.configuration.name: stage for stage in first}
    for member in rest:
        last = member[-1]
        _check_is_alike(last, first[-1])
        if last.results.is_on_all != first[-1].results.is_on_all:
            raise _unlike("one was trained on all cases, the other on folds", last.results.folder, "both alike")
        if last.configuration.name in names:
            raise _unlike(
                f"{last.configuration.name} again",
                last.results.folder,
                "each configuration once, even if their plans differ",
                remedy="import each as a model of its own; nnU-Net itself averages such a pair with nnUNetv2_ensemble",
            )
        names.append(last.configuration.name)
        for stage in member:
            twin = known.setdefault(stage.configuration.name, stage)
            if twin.results.folder.resolve() != stage.results.folder.resolve():
                found = f"{stage.configuration.name} from here and from {twin.results.folder}"
                raise _unlike(found, stage.results.folder, "each configuration from one folder")


def _check_is_alike(stage: ImportedStage, other: ImportedStage) -> None:
    for key in ("labels", "regions", "preparation"):
        if getattr(stage.plan, key) != getattr(other.plan, key):
            raise _unlike(f"another {key} than {other.results.folder}", stage.results.folder, ALIKE)


def _merged(members: Sequence[Sequence[ImportedStage]]) -> Plan:
    """The plan of the first member with the configurations of all, as their checkpoints have them."""
    made = {stage.configuration.name: stage.configuration for member in members for stage in member}
    every = {item.name: item for member in members for item in member[-1].plan.configurations}
    return members[0][-1].plan.model_copy(
        update={
            "configurations": tuple((every | made).values()),
            "trained": tuple(made),
        }
    )


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
        lines.append(
            f"- {item.name}: {item.encoder} encoder, {len(item.features)} stages from {item.features[0]} to "
            f"{item.features[-1]} channels, patch {' x '.join(map(str, item.patch_size))}; {folds}, "
            f"checkpoint_{kind}, trained by nnU-Net's {stage.trainer}"
        )
    lines += [
        "",
        f"Classes: {', '.join(plan.labels[1:])}. Data set: {plan.dataset_name}. Weights are float32, unchanged.",
    ]
    lines += ["", "## Figures", "", "None were measured here.", "", "## What it has never seen", ""]
    return "\n".join([*lines, "Not known here: whoever trained it has to say.", ""])


def _unlike(found: str, where: Path, expected: str, *, remedy: str = "import a model that is like that") -> InputError:
    return InputError(found, where=where, expected=expected, remedy=remedy)
