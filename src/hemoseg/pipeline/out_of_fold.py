"""The networks of a run, and the predictions of cases that they were not trained on."""

from collections.abc import Iterator
from pathlib import Path

from hemoseg.data import write_previous
from hemoseg.datasets import read_case
from hemoseg.errors import ArtifactError
from hemoseg.io import read_labels
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measured import measured_dataset
from hemoseg.plan import Configuration, Plan
from hemoseg.planning import folds_of
from hemoseg.preprocess import prepare, prepare_labels
from hemoseg.settings import FOLDS, Settings
from hemoseg.types import LabelMap


def jobs(plan: Plan, settings: Settings) -> Iterator[tuple[Configuration, int]]:
    """Every network to train, as (configuration, fold); a previous stage's come first."""
    names = plan.trained
    for configuration in plan.trained_configurations:
        for fold in folds_of(configuration, names, settings):
            yield configuration, fold


def prediction(folder: RunFolder, configuration: Configuration, fold: int, case: str) -> Path:
    """The out-of-fold prediction of a case."""
    return folder.fold(configuration.name, fold) / "validation" / f"{case}.nii.gz"


def probabilities_file(folder: RunFolder, configuration: Configuration, fold: int, case: str) -> Path:
    """The probabilities of an out-of-fold prediction."""
    return folder.fold(configuration.name, fold) / "validation" / f"{case}.npz"


def is_predicted(folder: RunFolder, configuration: Configuration) -> bool:
    """Whether every case has the out-of-fold prediction of a configuration."""
    held_out = folder.splits().held_out
    return all(prediction(folder, configuration, k, name).is_file() for k in range(FOLDS) for name in held_out[k])


def add_previous(folder: RunFolder, plan: Plan, configuration: Configuration) -> None:
    """Put the previous stage's out-of-fold predictions on the grid of the prepared cases."""
    dataset = measured_dataset(folder, [case.name for case in folder.fingerprint().cases])
    store = folder.store(configuration)
    for case in dataset.cases:
        previous = previous_map(folder, plan, configuration, case.name)
        assert previous is not None
        volume, _ = read_case(case, dataset.table)
        prepared = prepare(volume, plan.preparation, configuration.spacing_mm)
        write_previous(store / case.name, prepare_labels(previous, prepared))


def previous_map(folder: RunFolder, plan: Plan, configuration: Configuration, case: str) -> LabelMap | None:
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
