"""Stages after training: select, evaluate, report, bundle."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from hemoseg import __version__
from hemoseg.artifacts import read_model, write_json, write_model
from hemoseg.datasets import index_dataset
from hemoseg.errors import ArtifactError
from hemoseg.evaluation import PairFiles, evaluate_files
from hemoseg.models import NOTICE, Selection, weights_name, write_bundle
from hemoseg.pipeline.card import RunFiles, model_card, model_warnings, terms
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import jobs, prediction
from hemoseg.pipeline.splits import named
from hemoseg.plan import Plan
from hemoseg.selection import choose
from hemoseg.settings import Settings


def configuration_results(folder: RunFolder, plan: Plan, settings: Settings) -> dict[str, dict[str, Any]]:
    """{configuration: the evaluation of its out-of-fold predictions}, all folds pooled.

    Raises:
        InputError: a held-out case has no prediction yet; names it.
    """
    dataset = index_dataset(Path(folder.fingerprint().dataset))
    cases = {case.name: case for case in dataset.cases}
    splits = folder.splits()
    pairs: dict[str, list[PairFiles]] = {}
    for configuration, fold in jobs(plan, settings):
        if fold not in settings.folds:  # a cascade's first stage has all folds: compare on the same cases
            continue
        pairs.setdefault(configuration.name, []).extend(
            PairFiles(
                case=name,
                patient=cases[name].patient,
                prediction=prediction(folder, configuration, fold, name),
                reference=cases[name].label,
            )
            for name in splits.held_out[fold]
        )
    return {name: evaluate_files(found, dataset.table) for name, found in pairs.items()}


def select_stage(folder: RunFolder, plan: Plan, settings: Settings) -> Selection:
    """Choose the networks and write `selection.json`."""
    results = configuration_results(folder, plan, settings)
    folds: dict[str, tuple[int, ...]] = {}
    for configuration, fold in jobs(plan, settings):
        folds[configuration.name] = (*folds.get(configuration.name, ()), fold)
    selection = choose(plan, folds, results)
    write_model(folder.selection_file, selection)
    return selection


def evaluate_stage(folder: RunFolder, plan: Plan, settings: Settings) -> dict[str, Any]:
    """Evaluate the selected configuration's out-of-fold predictions and write `evaluation.json`."""
    selection = read_selection(folder)
    result = configuration_results(folder, plan, settings)[selection.configuration]
    if not _is_stored(folder, result):
        write_json(folder.evaluation_file, result)
    return result


def _is_stored(folder: RunFolder, result: dict[str, Any]) -> bool:
    """Whether `evaluation.json` holds the result; a damaged file does not."""
    try:
        return read_evaluation(folder) == result
    except ArtifactError:
        return False


def read_selection(folder: RunFolder) -> Selection:
    """The selection of a run."""
    return read_model(folder.selection_file, Selection, remedy="run `hemoseg select --run DIR` first")


def read_evaluation(folder: RunFolder) -> dict[str, Any]:
    """The evaluation of a run.

    Raises:
        ArtifactError: it is not there yet, or is damaged.
    """
    try:
        value: dict[str, Any] = json.loads(folder.evaluation_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"cannot be read: {error}",
            where=folder.evaluation_file,
            expected="the evaluation of the run",
            remedy="run `hemoseg evaluate --run DIR` first",
        ) from error
    return value


def bundle_stage(folder: RunFolder) -> Path:
    """Write the bundle that `segment --model` takes: the selected networks in float16, and their card."""
    run = read_run(folder)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", run.fingerprint.dataset_name).strip("-._") or "model"
    write_bundle(
        folder.model,
        name=name,
        model_version=__version__,
        notice=NOTICE,
        plan=run.plan,
        selection=run.selection,
        card=model_card(run, name=name, today=evaluation_date(folder)),
        license_text=terms(run.fingerprint),
        weights=half_precision_weights(folder, run.selection).items(),
        warnings=model_warnings(run.fingerprint),
    )
    return folder.model


def evaluation_date(folder: RunFolder) -> date:
    """The day on which `evaluation.json` came about, so that a bundle written again stays the same."""
    return datetime.fromtimestamp(folder.evaluation_file.stat().st_mtime, UTC).date()


def half_precision_weights(folder: RunFolder, selection: Selection) -> dict[str, bytes]:
    """{file name in a bundle: float16 weights} of the selected networks."""
    from hemoseg.nets.weights import half_weights

    return {
        weights_name(name, fold): half_weights(folder.weights(name, fold))
        for name, folds in selection.folds.items()
        for fold in folds
    }


def read_run(folder: RunFolder) -> RunFiles:
    """What the run wrote, for its card."""
    selection = read_selection(folder)
    splits = folder.splits()
    folds = selection.folds[selection.configuration]
    return RunFiles(
        plan=folder.plan(),
        fingerprint=named(folder.fingerprint(), folder.settings()),
        selection=selection,
        settings=folder.settings(),
        result=read_evaluation(folder),
        train_cases=len({name for fold in folds for name in splits.train[fold]}),
        held_out_cases=len({name for fold in folds for name in splits.held_out[fold]}),
    )
