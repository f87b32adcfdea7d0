"""The selection of a run: what it compares, what it writes, and when it stays."""

import json

import numpy as np
import pytest

from cohort import write_cohort
from fingerprints import case_facts, make_fingerprint
from hemoseg.artifacts import write_model
from hemoseg.datasets import index_dataset, read_case, source_of
from hemoseg.errors import ArtifactError, SettingsError
from hemoseg.evaluation.overlap import dice
from hemoseg.io import read_labels, write_mask
from hemoseg.pipeline import Silent
from hemoseg.pipeline.conclude import evaluate_stage, read_evaluation
from hemoseg.pipeline.folder import RunFolder, Splits, ValidationSource
from hemoseg.pipeline.select import SelectOptions, select_stage, selected_file
from hemoseg.postprocess import Probabilities, write_probabilities
from hemoseg.settings import Settings
from plans import tiny_configuration, tiny_plan

CASES = 7
SETTINGS = Settings(iterations=1, config="all")
PLAN = tiny_plan(tiny_configuration(name="2d"), tiny_configuration())


def predicted(labels, kind, number):
    """Shares of a prediction: 2d misses a corner of each bleed, 3d_fullres has islands far away."""
    found = labels.copy()
    if kind == "2d":
        found[np.nonzero(found)[0].min() if found.any() else 0] = 0
    else:
        found[0, 0:2, 0 : 2 + number % 2] = 1
    shares = np.zeros((2, *labels.shape), dtype=np.float32)
    for label in (1, 2):
        shares[label - 1][found == label] = 0.75 if kind == "2d" else 0.875
    return found, shares


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A run whose folds were trained and validated, as far as its files go."""
    dataset = index_dataset(write_cohort(tmp_path_factory.mktemp("data") / "Heads", cases=CASES))
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    facts = tuple(case_facts(name=case.name, source_sha256=source_of(case)) for case in dataset.cases)
    fingerprint = make_fingerprint(facts, dataset=str(dataset.root), labels=dataset.table.names, digest=dataset.digest)
    write_model(folder.fingerprint_file, fingerprint.model_copy(update={"cases": facts}))
    write_model(folder.settings_file, SETTINGS)
    names = [case.name for case in dataset.cases]
    held_out = tuple(tuple(names[fold::5]) for fold in range(5))
    train = tuple(tuple(name for name in names if name not in part) for part in held_out)
    write_model(folder.splits_file, Splits(train=train, held_out=held_out))
    for number, case in enumerate(dataset.cases):
        volume, labels = read_case(case, dataset.table)
        for kind in PLAN.trained:
            place = folder.fold(kind, number % 5)
            found, shares = predicted(labels, kind, number)
            write_mask(place / "validation" / f"{case.name}.nii.gz", found, volume)
            write_probabilities(place / "validation" / f"{case.name}.npz", Probabilities.of(shares))
            write_model(place / "validation.json", ValidationSource(weights_sha256=f"{kind}{number % 5}"))
    return folder, dataset


def select(folder, options=None):
    return select_stage(folder, PLAN, SETTINGS, Silent(), options)


def mean_dice(folder, dataset):
    values = {name: [] for name in dataset.table.foreground}
    for case in dataset.cases:
        _, reference = read_case(case, dataset.table)
        found, _ = read_labels(selected_file(folder, case.name))
        for name, number in dataset.table.foreground.items():
            values[name].append(dice(reference == number, found == number, both_empty="nan"))
    return float(np.mean([np.nanmean(one) for one in values.values()]))


def test_islands_go_and_what_is_written_is_what_was_measured(validated):
    folder, dataset = validated
    selection = select(folder, SelectOptions())
    assert selection.configurations == ("3d_fullres",)
    assert selection.folds == {"3d_fullres": (0, 1, 2, 3, 4)}
    for case in dataset.cases:
        found, _ = read_labels(selected_file(folder, case.name))
        assert not found[0, 0:2, 0:3].any()
    last = [trial for trial in selection.evidence.trials if trial.adopted][-1]
    assert mean_dice(folder, dataset) == pytest.approx(np.mean(list(last.after.values())))
    assert last.cases_worse == 0
    assert [one.configurations for one in selection.evidence.candidates][-1] == ("2d", "3d_fullres")
    assert (selection.evidence.cases, selection.evidence.patients) == (CASES, CASES)
    result = evaluate_stage(folder)
    means = [result["mean"][name]["dice"]["value"] for name in dataset.table.foreground]
    assert np.mean(means) == pytest.approx(mean_dice(folder, dataset))
    text = folder.selection_file.read_text()
    assert not any(case.name in text for case in dataset.cases)


def test_a_selection_stays_until_the_predictions_are_others(validated):
    folder, _ = validated
    asked = select(folder, SelectOptions(rule="nnunet", postprocessing="none"))
    assert asked.postprocessing == ()
    assert select(folder) == asked
    selected_file(folder, "head3").unlink()
    assert select(folder) != asked
    asked = select(folder, SelectOptions(postprocessing="none"))
    note = folder.fold("2d", 0) / "validation.json"
    before = note.read_bytes()
    write_model(note, ValidationSource(weights_sha256="others"))
    assert select(folder).evidence.sources_sha256 != asked.evidence.sources_sha256
    note.write_bytes(before)


def test_figures_of_another_selection_go(validated):
    """What a report or a card takes afterwards is measured on the predictions that are there."""
    folder, _ = validated
    select(folder, SelectOptions())
    evaluate_stage(folder)
    select(folder)
    assert read_evaluation(folder)["mean"]
    select(folder, SelectOptions(postprocessing="none"))
    with pytest.raises(ArtifactError, match="hemoseg evaluate --run"):
        read_evaluation(folder)


def test_surface_dice_can_decide(validated):
    folder, dataset = validated
    selection = select(folder, SelectOptions(metric="nsd_1mm", postprocessing="none", largest=1))
    assert "nsd_1mm" in selection.evidence.metric
    assert len(selection.evidence.candidates) == 2
    assert set(selection.evidence.candidates[0].class_scores) == set(dataset.table.foreground)  # not their union


def test_a_missing_prediction_is_named(validated):
    folder, _ = validated
    path = folder.fold("2d", 1) / "validation" / "head1.npz"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(ArtifactError, match=r"head1\.npz: no such file"):
        select(folder, SelectOptions())
    path.write_bytes(content)


def test_a_fold_that_is_not_validated_is_named(validated):
    folder, _ = validated
    note = folder.fold("2d", 4) / "validation.json"
    content = note.read_bytes()
    note.unlink()
    with pytest.raises(ArtifactError, match=r"validation\.json"):
        select(folder)
    note.write_bytes(content)


def test_a_damaged_selection_is_made_again(validated):
    folder, _ = validated
    folder.selection_file.write_text("{")
    assert select(folder).evidence is not None
    assert json.loads(folder.selection_file.read_text())["version"] == 2


def test_a_reference_that_changed_is_not_measured_against(validated):
    folder, dataset = validated
    select(folder, SelectOptions())
    label, other = dataset.cases[0].label, dataset.cases[1].label
    before = label.read_bytes()
    try:
        label.write_bytes(other.read_bytes())
        for stage in (lambda: select(folder, SelectOptions()), lambda: evaluate_stage(folder)):
            with pytest.raises(SettingsError, match="changed since it was measured"):
                stage()
    finally:
        label.write_bytes(before)
