"""Validation of every trained network of a run: it predicts the cases that it was not trained on."""

import shutil

from hemoseg.artifacts import read_model, sha256_of, write_model
from hemoseg.datasets import read_case
from hemoseg.errors import ArtifactError
from hemoseg.io import write_mask
from hemoseg.pipeline.folder import RunFolder, ValidationSource, digest_of
from hemoseg.pipeline.measured import measured_dataset
from hemoseg.pipeline.out_of_fold import jobs, prediction, previous_map, probabilities_file
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Configuration, Plan
from hemoseg.postprocess import write_probabilities
from hemoseg.segmentation import ModelIdentity
from hemoseg.settings import Settings

NO_MODEL = ModelIdentity(name="validation", version="0", sha256="", notice="")
"""Networks under validation are no bundle yet."""


def validate_stage(folder: RunFolder, plan: Plan, settings: Settings, watch: Watch, *, only: str | None = None) -> None:
    """Predict the held-out cases of every trained fold into `CONFIG/fold_K/validation/`.

    `CASE.nii.gz` has the classes, `CASE.npz` the probabilities.

    Predictions that are there stay, if they were made by the same weights. Without `only`, folds of a cascade's second
    stage that are not trained yet are left for a later call.

    Raises:
        ArtifactError: another fold is not trained yet, or one was trained to another plan.
        SettingsError: the data set changed since it was measured.
    """
    from hemoseg.nets import use_threads
    from hemoseg.nets.weights import check_plan

    use_threads(folder.device().threads)
    for configuration, fold in jobs(plan, settings):
        if only not in (None, configuration.name):
            continue
        weights = folder.weights(configuration.name, fold)
        if not weights.is_file():
            if only is None and configuration.previous_stage is not None:
                watch.say(f"{configuration.name} fold {fold} waits: `hemoseg train --run DIR`, then validate again")
                continue
            raise ArtifactError(
                "no such file",
                where=weights,
                expected="a trained fold",
                remedy="run `hemoseg train --run DIR` first",
            )
        check_plan(weights, digest_of(plan))
        _forget_other_weights(folder, configuration, fold)
        _validate_one(folder, plan, configuration, fold, device=settings.device, watch=watch)


def _validate_one(
    folder: RunFolder, plan: Plan, configuration: Configuration, fold: int, *, device: str, watch: Watch
) -> None:
    from hemoseg.inference.engines.choice import Engine
    from hemoseg.inference.load import load_stage
    from hemoseg.inference.predictor import Model

    held_out = folder.splits().held_out[fold]
    missing = [
        name
        for name in held_out
        if not prediction(folder, configuration, fold, name).is_file()
        or not probabilities_file(folder, configuration, fold, name).is_file()
    ]
    if not missing:
        return
    dataset = measured_dataset(folder, missing)
    cases = {case.name: case for case in dataset.cases}
    engine = Engine(kind="torch", precision=configuration.precision, device=device)
    stage = load_stage(plan, configuration, [folder.weights(configuration.name, fold)], engine=engine)
    model = Model(plan, (stage,), NO_MODEL, mirror=True)
    watch.begin(f"validate {configuration.name} fold {fold}", len(missing))
    for number, name in enumerate(missing, start=1):
        volume, _ = read_case(cases[name], dataset.table)
        previous = previous_map(folder, plan, configuration, name)
        found = model.predict(volume, previous=previous)
        assert found.probabilities is not None
        write_probabilities(probabilities_file(folder, configuration, fold, name), found.probabilities)
        write_mask(prediction(folder, configuration, fold, name), found.labels, volume)
        watch.advance(number, name)


def _forget_other_weights(folder: RunFolder, configuration: Configuration, fold: int) -> None:
    """Delete predictions that other weights made; note whose the next ones are."""
    target = folder.fold(configuration.name, fold)
    source = ValidationSource(weights_sha256=sha256_of(folder.weights(configuration.name, fold)))
    note = target / "validation.json"
    remedy = "delete it: the held-out cases are then predicted again"
    if note.is_file() and read_model(note, ValidationSource, remedy=remedy) == source:
        return
    if (target / "validation").is_dir():
        shutil.rmtree(target / "validation")
    write_model(note, source)
