"""Training and validation of every network of a run, in the plan's order."""

from collections.abc import Iterator
from pathlib import Path

from hemoseg.data import Sampler, open_case, write_previous
from hemoseg.datasets import Case, Dataset, index_dataset, read_case
from hemoseg.errors import ArtifactError
from hemoseg.io import read_labels, write_mask
from hemoseg.pipeline.folder import RunFolder, digest_of
from hemoseg.pipeline.watch import Watch, held_signals
from hemoseg.plan import Configuration, Plan
from hemoseg.planning import folds_of
from hemoseg.preprocess import prepare, prepare_labels
from hemoseg.segmentation import ModelIdentity
from hemoseg.settings import FOLDS, Settings
from hemoseg.types import LabelMap

NO_MODEL = ModelIdentity(name="validation", version="0", sha256="", notice="")
"""Networks under validation are no bundle yet."""


def jobs(plan: Plan, settings: Settings) -> Iterator[tuple[Configuration, int]]:
    """Every network to train, as (configuration, fold); a previous stage's come first."""
    names = [configuration.name for configuration in plan.configurations]
    for configuration in plan.configurations:
        for fold in folds_of(configuration, names, settings):
            yield configuration, fold


def learn_stage(folder: RunFolder, plan: Plan, settings: Settings, watch: Watch) -> None:
    """Train, then validate, each configuration: a cascade's second stage needs the first one's predictions."""
    for configuration in plan.configurations:
        train_stage(folder, plan, settings, watch, only=configuration.name)
        validate_stage(folder, plan, settings, watch, only=configuration.name)


def train_stage(folder: RunFolder, plan: Plan, settings: Settings, watch: Watch, *, only: str | None = None) -> None:
    """Train every network of the run, or those of one configuration; finished ones stay as they are.

    Raises:
        InterruptedRunError: a signal asked to stop; the state is saved.
        ArtifactError: the prepared cases, or a previous stage's predictions, are not there yet.
    """
    from hemoseg.training import Progress, train

    splits = folder.splits()
    for configuration, fold in jobs(plan, settings):
        target = folder.fold(configuration.name, fold)
        if only not in (None, configuration.name) or (target / "last.safetensors").is_file():
            continue
        cascade = configuration.previous_stage is not None
        if cascade:
            _add_previous(folder, plan, configuration)
        store = folder.store(configuration)
        cases = [open_case(store / name, with_previous=cascade) for name in splits.train[fold]]
        watch.begin(f"train {configuration.name} fold {fold}", configuration.iterations)

        def tell(progress: Progress) -> None:
            watch.advance(progress.iteration, f"loss {progress.loss:.3f}")

        with held_signals() as stop:
            train(
                target,
                plan,
                configuration,
                Sampler(cases, plan, configuration, fold=fold),
                plan_sha256=digest_of(plan),
                device=settings.device,
                watch=tell,
                stop=stop,
            )


def validate_stage(folder: RunFolder, plan: Plan, settings: Settings, watch: Watch, *, only: str | None = None) -> None:
    """Predict the held-out cases of every trained fold into `CONFIG/fold_K/validation/CASE.nii.gz`.

    Raises:
        ArtifactError: a fold is not trained yet.
    """
    from hemoseg.inference.predictor import Model, load_stage

    dataset = index_dataset(Path(folder.fingerprint().dataset))
    cases = {case.name: case for case in dataset.cases}
    splits = folder.splits()
    for configuration, fold in jobs(plan, settings):
        if only not in (None, configuration.name):
            continue
        target = folder.fold(configuration.name, fold)
        missing = [n for n in splits.held_out[fold] if not prediction(folder, configuration, fold, n).is_file()]
        if not missing:
            continue
        weights = target / "last.safetensors"
        if not weights.is_file():
            raise ArtifactError(
                "no such file",
                where=weights,
                expected="a trained fold",
                remedy="run `hemoseg train --run DIR` first",
            )
        stage = load_stage(plan, configuration, [weights], device=settings.device)
        model = Model(plan, (stage,), NO_MODEL, mirror=True)
        watch.begin(f"validate {configuration.name} fold {fold}", len(missing))
        for number, name in enumerate(missing, start=1):
            volume, _ = read_case(cases[name], dataset.table)
            previous = _previous_map(folder, plan, configuration, name)
            labels = model.segment(volume, previous=previous).labels
            write_mask(prediction(folder, configuration, fold, name), labels, volume)
            watch.advance(number, name)


def prediction(folder: RunFolder, configuration: Configuration, fold: int, case: str) -> Path:
    """The out-of-fold prediction of a case."""
    return folder.fold(configuration.name, fold) / "validation" / f"{case}.nii.gz"


def _add_previous(folder: RunFolder, plan: Plan, configuration: Configuration) -> None:
    """Put the previous stage's out-of-fold predictions on the grid of the prepared cases."""
    dataset: Dataset = index_dataset(Path(folder.fingerprint().dataset))
    store = folder.store(configuration)
    missing: list[Case] = [c for c in dataset.cases if not (store / c.name / "previous.npy").is_file()]
    for case in missing:
        previous = _previous_map(folder, plan, configuration, case.name)
        assert previous is not None
        volume, _ = read_case(case, dataset.table)
        write_previous(store / case.name, prepare_labels(previous, prepare(volume, plan, configuration)))


def _previous_map(folder: RunFolder, plan: Plan, configuration: Configuration, case: str) -> LabelMap | None:
    """The previous stage's out-of-fold prediction of a case on the scan's grid; None without such a stage.

    Raises:
        ArtifactError: the previous stage has not predicted the case yet.
    """
    if configuration.previous_stage is None:
        return None
    before = plan.configuration(configuration.previous_stage)
    splits = folder.splits()
    fold = next(k for k in range(FOLDS) if case in splits.held_out[k])
    path = prediction(folder, before, fold, case)
    if not path.is_file():
        raise ArtifactError(
            "no such file",
            where=path,
            expected=f"the {before.name} prediction of every case",
            remedy="run `hemoseg train --run DIR` and `hemoseg validate --run DIR` for the previous stage first",
        )
    labels, _ = read_labels(path)
    return plan.table.check(labels, where=str(path))
