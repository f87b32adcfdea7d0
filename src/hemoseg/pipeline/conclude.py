"""Stages after the selection: evaluate, bundle."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from hemoseg import __version__
from hemoseg.artifacts import write_json
from hemoseg.datasets import Dataset
from hemoseg.errors import ArtifactError
from hemoseg.evaluation import PairFiles, evaluate_files
from hemoseg.models import NOTICE, Selection, check_bundle_name, check_bundle_target, weights_name, write_bundle
from hemoseg.pipeline.calibrate import calibrate_run
from hemoseg.pipeline.card import RunFiles, model_card, model_warnings, terms
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measured import measured_dataset
from hemoseg.pipeline.patience import steps_done
from hemoseg.pipeline.precision import computed_in
from hemoseg.pipeline.select import held_out_cases, read_selection, selected_file
from hemoseg.pipeline.splits import named


def evaluate_stage(folder: RunFolder) -> dict[str, Any]:
    """Evaluate the selected out-of-fold predictions, after their rules, and write `evaluation.json`.

    Raises:
        InputError: a case has no prediction; names it.
        SettingsError: the data set changed since it was measured.
    """
    read_selection(folder)
    dataset = measured_dataset(folder, held_out_cases(folder))
    result = evaluate_files(selected_pairs(folder, dataset), dataset.table)
    if not _is_stored(folder, result):
        write_json(folder.evaluation_file, result)
    return result


def selected_pairs(folder: RunFolder, dataset: Dataset) -> list[PairFiles]:
    """The held-out cases: predictions of what was selected, and references."""
    cases = {case.name: case for case in dataset.cases}
    return [
        PairFiles(
            case=name,
            patient=cases[name].patient,
            prediction=selected_file(folder, name),
            reference=cases[name].label,
        )
        for name in held_out_cases(folder)
    ]


def _is_stored(folder: RunFolder, result: dict[str, Any]) -> bool:
    """Whether `evaluation.json` holds the result; a damaged file does not."""
    try:
        return read_evaluation(folder) == result
    except ArtifactError:
        return False


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


def bundle_stage(folder: RunFolder, *, name: str | None = None, out: Path | None = None) -> Path:
    """Write the bundle that `segment --model` takes: the selected networks in float16, and their card.

    Args:
        folder: the run.
        name: name of the model; the data set's if None.
        out: a folder for it, where an older bundle goes; None takes that of the run.

    Returns:
        Where it lies.

    Raises:
        InputError: the name cannot be one, or something else than a bundle lies at `out`.
        ArtifactError: an earlier stage is lacking.
    """
    check_bundle_name(name)
    from hemoseg.inference.agreement import measure_anew

    target = folder.model if out is None else out
    check_bundle_target(target)
    run = read_run(folder)
    if name is None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", run.fingerprint.dataset_name).strip("-._") or "model"
    write_bundle(
        target,
        name=name,
        model_version=__version__,
        notice=NOTICE,
        plan=run.plan,
        selection=run.selection,
        card=model_card(run, name=name, today=evaluation_date(folder)),
        license_text=terms(run.fingerprint),
        weights=half_precision_weights(folder, run.selection).items(),
        warnings=model_warnings(run.fingerprint),
        calibration=run.calibration,
        measure=measure_anew(target, folder.model),
    )
    return target


def evaluation_date(folder: RunFolder) -> date:
    """The day on which `evaluation.json` came about, so that a bundle written again stays the same."""
    return datetime.fromtimestamp(folder.evaluation_file.stat().st_mtime, UTC).date()


def half_precision_weights(folder: RunFolder, selection: Selection) -> dict[str, bytes]:
    """{file name in a bundle: float16 weights} of the selected networks."""
    from hemoseg.nets.stored import half_weights

    return {
        weights_name(name, fold): half_weights(folder.weights(name, fold))
        for name, folds in selection.folds.items()
        for fold in folds
    }


def read_run(folder: RunFolder) -> RunFiles:
    """What the run wrote, for its card."""
    selection, plan, result = read_selection(folder), folder.plan(), read_evaluation(folder)
    splits = folder.splits()
    settings = folder.settings()
    folds, trained = settings.folds, selection.folds
    return RunFiles(
        plan=plan,
        fingerprint=named(folder.fingerprint(), settings),
        selection=selection,
        settings=settings,
        result=result,
        calibration=calibrate_run(result, plan.table, folds=folds, dataset_name=plan.dataset_name),
        train_cases=tuple(len(splits.train[fold]) for fold in folds),
        held_out_cases=len({name for fold in folds for name in splits.held_out[fold]}),
        precisions={name: computed_in(folder, plan, name, trained[name]) for name in selection.configurations},
        steps={name: steps_done(folder, plan, settings, name, trained[name]) for name in selection.configurations},
    )
