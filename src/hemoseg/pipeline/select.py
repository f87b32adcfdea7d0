"""The stage that chooses networks and rules by out-of-fold predictions, and writes the predictions of its choice."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hemoseg.artifacts import read_model, write_model
from hemoseg.datasets import Case, Dataset, read_case
from hemoseg.errors import ArtifactError
from hemoseg.evaluation import evaluate_pair
from hemoseg.evaluation.overlap import dice
from hemoseg.geometry import Volume
from hemoseg.io import read_labels, write_mask
from hemoseg.labels import LabelTable
from hemoseg.models import Evidence, Selection
from hemoseg.pipeline.executors import executor_for
from hemoseg.pipeline.folder import RunFolder, ValidationSource
from hemoseg.pipeline.measured import measured_dataset
from hemoseg.pipeline.out_of_fold import jobs, prediction, probabilities_file
from hemoseg.pipeline.splits import named
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import ConfigurationName, Plan
from hemoseg.postprocess import Rule, apply_rules, mean_probabilities, needs_probabilities, read_probabilities
from hemoseg.scale import Executor, Job
from hemoseg.selection import (
    CHOICE_TEXT,
    SEARCH_TEXT,
    ChoiceRule,
    Scores,
    SearchRule,
    candidate_names,
    choose,
    search_rules,
)
from hemoseg.settings import Settings
from hemoseg.types import LabelMap

MetricName = Literal["dice", "nsd_0.42mm", "nsd_1mm"]
"""What can be compared; more is better."""
Names = tuple[ConfigurationName, ...]
Wanted = tuple[Names, tuple[Rule, ...]]
"""Configurations to average, and the rules after them."""
REMEDY = "run `hemoseg validate --run DIR` first"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectOptions:
    """How to select."""

    rule: ChoiceRule = "simplest"
    """How configurations are chosen."""
    metric: MetricName = "dice"
    """What is compared."""
    largest: int = 2
    """How many configurations may be averaged."""
    postprocessing: SearchRule = "all"
    """Which rules are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One held-out case."""

    case: Case
    """Its files."""
    table: LabelTable
    """The data set's classes."""
    masks: dict[ConfigurationName, Path]
    """Its predictions by configuration."""
    probabilities: dict[ConfigurationName, Path]
    """Their probabilities."""
    wanted: tuple[Wanted, ...]
    """What to look at."""
    metric: MetricName = "dice"
    """What to measure."""
    out: Path | None = None
    """Where the first of what is wanted is written, if it is."""


def select_stage(
    folder: RunFolder, plan: Plan, settings: Settings, watch: Watch, options: SelectOptions | None = None
) -> Selection:
    """Choose networks and rules; write `predictions/` and then `selection.json`. `evaluation.json` of others goes.

    Without options, a selection of the same predictions that is there stays, however it was made.

    Raises:
        ArtifactError: a held-out case has no prediction yet.
    """
    sources = _sources(folder, plan, settings)
    if options is None:
        found = _current(folder, sources)
        if found is not None:
            return found
        options = SelectOptions()
    dataset = measured_dataset(folder, held_out_cases(folder))
    work = _works(folder, dataset, plan, settings)
    executor = executor_for([one.case.image for one in work], jobs=len(work), log=folder.workers_log)
    patients = {case.name: case.patient for case in named(folder.fingerprint(), settings).cases}
    owners = [patients[one.case.name] for one in work]
    candidates = candidate_names(tuple(work[0].masks), largest=options.largest)
    watch.begin("select", len(work))
    found_scores = evaluate_wanted(executor, work, [(names, ()) for names in candidates], options.metric, owners, watch)
    chosen, reason, compared = choose(plan, dict(zip(candidates, found_scores, strict=True)), options.rule)
    watch.begin("rules", len(work))
    rules, trials = search_rules(
        options.postprocessing,
        plan.labels[1:],
        lambda sets: evaluate_wanted(
            executor, work, [(chosen, rules) for rules in sets], options.metric, owners, watch
        ),
        with_skull=folder.fingerprint().held_hu is None,
        patients=len(set(owners)),
    )
    evidence = Evidence(
        metric=f"mean over classes of the mean {options.metric} over held-out cases, both empty left out",
        rule=CHOICE_TEXT[options.rule],
        postprocessing=SEARCH_TEXT[options.postprocessing],
        cases=len(work),
        patients=len(set(owners)),
        candidates=compared,
        trials=trials,
        sources_sha256=sources,
    )
    selection = Selection(
        configurations=chosen,
        folds=_folds(plan, settings, chosen),
        mirror=True,
        postprocessing=rules,
        reason=reason,
        evidence=evidence,
    )
    for outdated in (folder.selection_file, folder.evaluation_file):  # figures of other predictions go with them
        outdated.unlink(missing_ok=True)
    _write_predictions(executor, folder, work, (chosen, rules))
    write_model(folder.selection_file, selection)
    return selection


def read_selection(folder: RunFolder) -> Selection:
    """The selection of a run."""
    return read_model(folder.selection_file, Selection, remedy="run `hemoseg select --run DIR` first")


def held_out_cases(folder: RunFolder) -> list[str]:
    """The cases that the trained folds hold out, fold after fold."""
    splits = folder.splits()
    return [name for fold in folder.settings().folds for name in splits.held_out[fold]]


def selected_file(folder: RunFolder, case: str) -> Path:
    """The out-of-fold prediction of a case by what was selected, after its rules."""
    return folder.predictions / f"{case}.nii.gz"


def score_case(work: Work) -> list[dict[str, float]]:
    """{class: metric} of a case for each of what is wanted."""
    volume, reference = read_case(work.case, work.table)
    return [
        _measure(reference, _predicted(work, names, rules, volume), volume, work.table, work.metric)
        for names, rules in work.wanted
    ]


def write_case_prediction(work: Work) -> None:
    """Write the first of what is wanted."""
    assert work.out is not None
    volume, _ = read_case(work.case, work.table)
    names, rules = work.wanted[0]
    write_mask(work.out, _predicted(work, names, rules, volume), volume)


def _predicted(work: Work, names: Names, rules: tuple[Rule, ...], volume: Volume) -> LabelMap:
    """What a bundle of these configurations and rules says of the case, from the stored predictions."""
    mean = None
    if len(names) > 1 or needs_probabilities(rules):
        mean = mean_probabilities([read_probabilities(work.probabilities[name]) for name in names])
    if len(names) > 1 and mean is not None:
        labels = mean.labels(paint=work.table.paint)
    else:
        stored, _ = read_labels(work.masks[names[0]])
        labels = work.table.of_predictions.check(stored, where=str(work.masks[names[0]]))
    return apply_rules(rules, labels, mean, volume=volume, table=work.table)


def _measure(
    reference: LabelMap, predicted: LabelMap, volume: Volume, table: LabelTable, metric: MetricName
) -> dict[str, float]:
    if table.ignore is not None:  # what nobody labeled counts neither for nor against
        predicted = np.where(reference == table.ignore, np.uint8(0), predicted)
        reference = table.without_ignored(reference)
    if metric == "dice":
        return {
            name: dice(table.mask(reference, name), table.mask(predicted, name), both_empty="nan")
            for name in table.members
        }
    found = evaluate_pair(reference, predicted, volume.grid, table)
    values = {name: found[name][metric] for name in table.members}
    return {name: value if isinstance(value, float) else float("nan") for name, value in values.items()}


def evaluate_wanted(
    executor: Executor,
    work: Sequence[Work],
    wanted: Sequence[Wanted],
    metric: MetricName,
    owners: Sequence[str],
    watch: Watch,
) -> list[Scores]:
    """Scores of each of what is wanted over all cases.

    Args:
        executor: what runs the cases.
        work: the cases.
        wanted: configurations and rules.
        metric: what is measured.
        owners: patient of each case.
        watch: told the progress.
    """
    found: dict[str, list[dict[str, float]]] = {}

    def tell(name: str, values: list[dict[str, float]]) -> None:
        found[name] = values
        watch.advance(len(found), name)

    executor.run(score_case, [_job(one, wanted=tuple(wanted), metric=metric) for one in work], done=tell)
    return [Scores.of([found[one.case.name][index] for one in work], owners) for index in range(len(wanted))]


def _write_predictions(executor: Executor, folder: RunFolder, work: Sequence[Work], chosen: Wanted) -> None:
    jobs_to_do = [_job(one, wanted=(chosen,), out=selected_file(folder, one.case.name)) for one in work]
    executor.run(write_case_prediction, jobs_to_do, done=lambda _name, _result: None)


def _job(work: Work, **changes: Any) -> Job[Work]:
    return Job(name=work.case.name, argument=replace(work, **changes))


def _works(folder: RunFolder, dataset: Dataset, plan: Plan, settings: Settings) -> list[Work]:
    """The held-out cases of the trained folds, with the predictions of every configuration.

    Raises:
        ArtifactError: one is missing.
    """
    cases = {case.name: case for case in dataset.cases}
    splits, works = folder.splits(), []
    for fold in settings.folds:
        for name in splits.held_out[fold]:
            masks = {item.name: prediction(folder, item, fold, name) for item in plan.trained_configurations}
            stored = {item.name: probabilities_file(folder, item, fold, name) for item in plan.trained_configurations}
            for path in (*masks.values(), *stored.values()):
                if not path.is_file():
                    raise _absent(path)
            works.append(Work(case=cases[name], table=dataset.table, masks=masks, probabilities=stored, wanted=()))
    return works


def _sources(folder: RunFolder, plan: Plan, settings: Settings) -> str:
    """SHA-256 over whose predictions are compared.

    Raises:
        ArtifactError: a fold is not validated yet.
    """
    digest = hashlib.sha256()
    for configuration, fold in jobs(plan, settings):
        note = folder.fold(configuration.name, fold) / "validation.json"
        source = read_model(note, ValidationSource, remedy=REMEDY)
        digest.update(f"{configuration.name} {fold} {source.weights_sha256}\n".encode())
    return digest.hexdigest()


def _current(folder: RunFolder, sources: str) -> Selection | None:
    """The selection that is there, if it is of these predictions and its own are all there."""
    if not folder.selection_file.is_file():
        return None
    try:
        found = read_selection(folder)
    except ArtifactError:
        return None
    is_current = found.evidence is not None and found.evidence.sources_sha256 == sources
    is_whole = all(selected_file(folder, name).is_file() for name in held_out_cases(folder))
    return found if is_current and is_whole else None


def _folds(plan: Plan, settings: Settings, chosen: Names) -> dict[ConfigurationName, tuple[int, ...]]:
    """Trained folds of the configurations that are used, previous stages included."""
    used = {*chosen, *(plan.configuration(name).previous_stage for name in chosen)}
    folds: dict[ConfigurationName, tuple[int, ...]] = {}
    for configuration, fold in jobs(plan, settings):
        if configuration.name in used:
            folds[configuration.name] = (*folds.get(configuration.name, ()), fold)
    return folds


def _absent(path: Path) -> ArtifactError:
    return ArtifactError("no such file", where=path, expected="predictions of every held-out case", remedy=REMEDY)
