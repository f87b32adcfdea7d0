"""The stages that decide: what a refusal leaves behind, and whether the advice of their errors helps."""

import pytest
import torch

from cohort import write_cohort
from hemoseg.artifacts import sha256_of, write_model
from hemoseg.cli.runs import train
from hemoseg.datasets import index_dataset
from hemoseg.errors import ArtifactError, InputError, ResourceError, SettingsError
from hemoseg.nets import build_network
from hemoseg.nets.weights import take_weights, write_weights
from hemoseg.pipeline import story
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measure import check_settings, draft_plan, plan_stage
from hemoseg.pipeline.start import find_starts
from hemoseg.pipeline.watch import Silent
from hemoseg.settings import Settings
from hemoseg.training.checkpoint import State, write_state
from hemoseg.training.step import make_optimizer
from plans import tiny_plan

SETTINGS = Settings(folds=(0,), iterations=3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("data") / "Heads", cases=5)


@pytest.fixture
def run(dataset, tmp_path):
    folder = RunFolder(tmp_path / "run")
    fingerprint_stage(folder, index_dataset(dataset), Silent())
    return folder


def decide(folder, settings=SETTINGS):
    """What `hemoseg plan` and `hemoseg run` do."""
    check_settings(folder, settings)
    return plan_stage(folder, settings, Silent())


def files_of(folder):
    return {path.relative_to(folder.path): path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("planner", ["headct", "nnunet"])
def test_a_refused_plan_leaves_the_folder_as_it_was(run, planner):
    before = files_of(run)
    with pytest.raises(InputError, match="memory"):
        decide(run, SETTINGS.model_copy(update={"planner": planner, "memory_gb": 1e-6}))
    assert files_of(run) == before
    decide(run)
    assert run.settings() == SETTINGS


def test_weights_that_cannot_be_begun_with_leave_the_folder_as_it_was(run, dataset):
    before = files_of(run)
    weights = dataset / "dataset.json"
    unfit = SETTINGS.model_copy(update={"init": str(weights), "init_sha256": sha256_of(weights)})
    with pytest.raises(SettingsError, match=r"dataset\.json: [\s\S]*try: name a model's folder"):
        decide(run, unfit)
    assert files_of(run) == before
    decide(run)


def begun_with(path):
    """Settings of a run that is to begin with a file."""
    return SETTINGS.model_copy(update={"init": str(path), "init_sha256": sha256_of(path)})


def test_weights_that_are_none_are_refused_before_a_case_is_measured(dataset, tmp_path):
    with pytest.raises(SettingsError, match=r"dataset\.json: [\s\S]*try: name a model's folder"):
        story.run(dataset, tmp_path / "run", begun_with(dataset / "dataset.json"))
    assert not (tmp_path / "run" / "fingerprint.json").exists()
    assert not (tmp_path / "run" / "facts").exists()


def test_the_state_of_a_training_is_no_weights_to_begin_with(run, tmp_path):
    plan, state = tiny_plan(), tmp_path / "state.safetensors"
    network = build_network(plan, plan.configurations[0])
    write_state(state, network, make_optimizer(network, plan.recipe), State(), plan_sha256="p")
    before = files_of(run)
    with pytest.raises(SettingsError, match=r"state of a training[\s\S]*expected: weights, like best\.safetensors"):
        decide(run, begun_with(state))
    assert files_of(run) == before
    with pytest.raises(SettingsError, match="state of a training"):
        take_weights(network, state)


def test_weights_of_another_network_are_refused_before_the_plan_is_written(run, tmp_path):
    plan, weights = tiny_plan(), tmp_path / "last.safetensors"
    write_weights(weights, build_network(plan, plan.configurations[0]), plan_sha256="p")
    before = files_of(run)
    for refused in (decide, lambda *asked: draft_plan(*asked, Silent())):
        with pytest.raises(SettingsError, match="tensors of another network"):
            refused(run, begun_with(weights))
        assert files_of(run) == before
    decide(run)
    write_weights(weights, build_network(run.plan(), run.plan().configurations[0]), plan_sha256="p")
    run.settings_file.unlink()
    decide(run, begun_with(weights))
    weights.unlink()
    decide(run, run.settings())


def test_a_run_that_needs_no_weights_to_begin_with_does_not_look_for_them(run):
    plan = decide(run)
    gone = SETTINGS.model_copy(update={"init": "/absent", "init_sha256": "0"})
    assert find_starts(plan, gone, [], Silent()) == {}
    with pytest.raises(SettingsError, match="absent, or another content"):
        find_starts(plan, gone, [(plan.configurations[0], 0)], Silent())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_training_without_the_planned_gpu_is_told(run):
    decide(run)
    write_model(run.settings_file, SETTINGS.model_copy(update={"device": "cuda"}))
    with pytest.raises(ResourceError, match="cuda"):
        train(run.path)


def test_too_few_patients_leave_the_folder_as_it_was(tmp_path):
    folder = RunFolder(tmp_path / "run")
    fingerprint_stage(folder, index_dataset(write_cohort(tmp_path / "Few", cases=4)), Silent())
    before = files_of(folder)
    with pytest.raises(InputError, match="4 patients"):
        decide(folder)
    assert files_of(folder) == before


@pytest.mark.parametrize("name", ["fingerprint", "settings", "device", "plan", "splits"])
def test_to_delete_a_damaged_file_and_plan_again_brings_it_back(run, dataset, name):
    decide(run)
    before = files_of(run)
    path = run.path / f"{name}.json"
    assert path.is_file()
    path.write_text('{"version": 1')
    with pytest.raises(ArtifactError, match=r"try: delete it, then run `hemoseg (plan|fingerprint)"):
        getattr(run, name)()
    path.unlink()
    fingerprint_stage(run, index_dataset(dataset), Silent())
    decide(run)
    assert files_of(run) == before
