"""The whole story on small heads: once, stage by stage, killed and resumed, and refused."""

import hashlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from cohort import command, hemoseg, hemoseg_without_torch, write_cohort
from hemoseg.data import write_previous
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import _source
from hemoseg.training.augment.cascade import Morphology, RemovedComponent

ITERATIONS = "12"
SMALL = ("--folds", "0", "--memory-gb", "0.6")
SETTINGS = (*SMALL, "--iterations", ITERATIONS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("data") / "Heads")


@pytest.fixture(scope="module")
def unbroken(dataset, tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    hemoseg("run", dataset, "--run", folder, *SETTINGS)
    return folder


def trained(folder):
    return (folder / "3d_fullres" / "fold_0" / "last.safetensors").read_bytes()


def predictions(folder):
    return {p.name: p.read_bytes() for p in sorted((folder / "3d_fullres" / "fold_0" / "validation").iterdir())}


def test_it_leaves_all_that_it_promises(unbroken):
    for name in (
        *(
            f"{stem}.json"
            for stem in ("settings", "device", "fingerprint", "plan", "splits", "selection", "evaluation")
        ),
        *("methods.md", "report.html", "report.json", "model/manifest.json", "model/card.md", "model/LICENSE"),
        *(f"3d_fullres/fold_0/{file}" for file in ("train.jsonl", "curves.png", "last.safetensors")),
    ):
        assert (unbroken / name).stat().st_size > 0, name
    result = json.loads((unbroken / "evaluation.json").read_text())
    held_out = json.loads((unbroken / "splits.json").read_text())["held_out"][0]
    assert sorted(case["case"] for case in result["cases"]) == sorted(held_out)
    assert json.loads((unbroken / "device.json").read_text())["steps"] == []


def test_its_model_segments(unbroken, dataset, tmp_path):
    scan = dataset / "imagesTr" / "head0_0000.nii.gz"
    done = hemoseg("segment", scan, "--out", tmp_path, "--model", unbroken / "model", "--json")
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "head0_0000" / "report.json").read_text())
    assert report["model"]["name"] == "Heads"


def test_its_report_says_what_the_evaluation_says(unbroken):
    report = json.loads((unbroken / "report.json").read_text())
    result = json.loads((unbroken / "evaluation.json").read_text())
    assert [row["case"] for row in report["cases"]] == sorted(case["case"] for case in result["cases"])
    assert report["mean"]["hemorrhage"]["dice"] == result["mean"]["hemorrhage"]["dice"]
    assert report["data"]["cases"] == 6
    assert report["selection"]["configurations"] == ["3d_fullres"]
    missed = sum(row["missed"] for row in report["failures"]["by_place"] if row["by"] == "side")
    assert missed == sum(len(found["missed_ml"]) for case in result["cases"] for found in lesions(case).values())
    weights = report["provenance"]["weights SHA-256"]["3d_fullres fold 0"]
    assert weights == hashlib.sha256(trained(unbroken)).hexdigest()


def test_its_report_needs_no_torch(unbroken, tmp_path):
    copy = shutil.copytree(unbroken, tmp_path / "copy")
    (copy / "report.html").unlink()
    hemoseg_without_torch("report", "--run", copy)
    assert (copy / "report.html").is_file()
    whole = digests(unbroken / "model")
    assert digests(copy / "model") == whole
    shutil.rmtree(copy / "model")
    hemoseg_without_torch("report", "--run", copy)
    assert set(whole) - set(digests(copy / "model")) == {"agreement.json", "agreement.npz"}, "torch measures them"


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def lesions(case):
    """What became of the lesions of the classes; `any` is hemorrhage alone."""
    return {name: found for name, found in case["lesions"].items() if name != "any"}


def test_its_bundle_under_a_name_segments_and_is_verified(unbroken, dataset, tmp_path):
    target = tmp_path / "models" / "mine"
    said = hemoseg("bundle", "--run", unbroken, "--name", "mine-1.0", "--out", target).stdout
    manifest = json.loads((target / "manifest.json").read_text())
    assert manifest["name"] == "mine-1.0"
    assert hashlib.sha256((target / "manifest.json").read_bytes()).hexdigest() in said
    assert "| hemorrhage | dice |" in (target / "card.md").read_text()
    scan = dataset / "imagesTr" / "head0_0000.nii.gz"
    done = hemoseg("segment", scan, "--out", tmp_path / "out", "--model", target, "--json")
    assert json.loads(done.stdout)["model"]["name"] == "mine-1.0"
    said = hemoseg("models", "--verify", "--models", tmp_path / "models").stdout
    assert f"{target}: every file is what the manifest says" in said
    assert "phe-sich-3d: every file" in said
    (target / "card.md").write_text("# better\n")
    (target / "labels.json").unlink()
    said = hemoseg("models", "--verify", "--models", tmp_path / "models", code=2).stdout
    assert f"{target}: card.md has SHA-256" in said
    assert f"{target}: labels.json is absent" in said


def test_its_bundle_carries_the_calibration_and_every_report_speaks_of_it(unbroken, dataset, tmp_path):
    """Two held-out scans are too few, and that is said everywhere."""
    found = json.loads((unbroken / "model" / "calibration.json").read_text())
    assert (found["version"], found["scans"], found["patients"], found["networks"]) == (1, 2, 2, "same")
    assert found["classes"]["edema"]["high"] is None
    assert json.loads((unbroken / "report.json").read_text())["calibration"] == found
    scan = dataset / "imagesTr" / "head0_0000.nii.gz"
    done = hemoseg("segment", scan, "--out", tmp_path, "--model", unbroken / "model", "--json")
    note = "2 held-out patients are too few for intervals of 90 %: 9 are needed"
    assert json.loads(done.stdout)["interval"]["note"] == note
    for page in ("report.html", "model/card.md"):
        assert f"None: {note}" in (unbroken / page).read_text()


def test_the_tool_that_embeds_a_model_takes_the_calibration_along(unbroken, tmp_path, monkeypatch):
    path = Path(__file__).parents[2] / "tools" / "embed_model.py"
    spec = importlib.util.spec_from_file_location("embed_model", path)
    tool = importlib.util.module_from_spec(spec)
    monkeypatch.syspath_prepend(path.parent)  # as for a script: it stands on another of its folder
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "embedded_folder", lambda: tmp_path)
    monkeypatch.setattr(sys, "argv", ["embed_model.py", str(unbroken), "--fold", "0"])
    tool.main()
    written = (tmp_path / tool.NAME / "calibration.json").read_bytes()
    assert written == (unbroken / "model" / "calibration.json").read_bytes()


def test_a_bundle_replaces_nothing_but_a_bundle(unbroken, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "in the way" in hemoseg("bundle", "--run", unbroken, "--name", "a", "--out", tmp_path, code=2).stderr
    assert (tmp_path / "notes.txt").read_text() == "mine"
    done = hemoseg("bundle", "--run", unbroken, "--name", "a b/c", "--out", tmp_path / "new", code=2)
    assert "is no name of a model" in done.stderr
    assert "no model bundle" in hemoseg("models", "--verify", "--models", tmp_path, code=2).stderr


def test_the_same_command_has_nothing_left_to_do(unbroken, dataset):
    before = {p: p.stat().st_mtime_ns for p in unbroken.rglob("*.safetensors") if "model" not in p.parts}
    hemoseg("run", dataset, "--run", unbroken, *SETTINGS)
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_the_same_seed_gives_the_same_plan_and_bits_in_a_fresh_folder(unbroken, dataset, tmp_path):
    hemoseg("run", dataset, "--run", tmp_path / "again", *SETTINGS)
    assert (tmp_path / "again" / "plan.json").read_bytes() == (unbroken / "plan.json").read_bytes()
    assert trained(tmp_path / "again") == trained(unbroken)
    states = [run / "3d_fullres" / "fold_0" / "state.safetensors" for run in (tmp_path / "again", unbroken)]
    assert states[0].read_bytes() == states[1].read_bytes()
    assert predictions(tmp_path / "again") == predictions(unbroken)


@pytest.mark.parametrize(
    "mark",
    ["cases/*/case.json", "3d_fullres/fold_0/train.jsonl", "3d_fullres/fold_0/validation/*.nii.gz"],
    ids=["preprocess", "train", "validate"],
)
def test_killed_and_resumed_ends_with_the_same_bits(unbroken, dataset, tmp_path, mark):
    """SIGKILL as soon as a stage has left its first file."""
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        command("run", dataset, "--run", folder, *SETTINGS), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(folder.glob(mark)):
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    hemoseg("run", dataset, "--run", folder, *SETTINGS)
    assert trained(folder) == trained(unbroken)
    assert predictions(folder) == predictions(unbroken)
    assert (folder / "evaluation.json").read_bytes() == (unbroken / "evaluation.json").read_bytes()


def test_killed_in_the_middle_of_training_resumes_from_its_state(unbroken, dataset, tmp_path):
    """SIGKILL after a state was saved: here after each step, else once a minute."""
    folder = tmp_path / "killed"
    arguments = ["hemoseg", *map(str, ("run", dataset, "--run", folder, *SETTINGS))]
    script = (
        f"import sys; sys.argv = {arguments!r}; import hemoseg.training.loop as loop; loop.SAVE_EVERY_S = 0.0; "
        "from hemoseg.cli import main; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = folder / "3d_fullres" / "fold_0" / "state.safetensors"
    while process.poll() is None and not state.is_file():
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "3d_fullres" / "fold_0" / "last.safetensors").exists(), "killed too late to prove anything"
    hemoseg("run", dataset, "--run", folder, *SETTINGS)
    assert trained(folder) == trained(unbroken)


def test_weights_of_another_plan_are_not_taken_for_done(unbroken, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(unbroken, folder)
    plan = json.loads((folder / "plan.json").read_text())
    plan["seed"] = 1
    (folder / "plan.json").write_text(json.dumps(plan))
    for stage in ("train", "validate"):
        assert "made to another plan" in hemoseg(stage, "--run", folder, code=2).stderr


@pytest.mark.parametrize("name", ["splits.json", "methods.md", "cases/head0/label.npy", "evaluation.json"])
def test_a_lost_file_comes_back(unbroken, dataset, tmp_path, name):
    folder = tmp_path / "lost"
    shutil.copytree(unbroken, folder)
    before = (folder / name).read_bytes()
    (folder / name).unlink()
    hemoseg("run", dataset, "--run", folder, *SETTINGS)
    assert (folder / name).read_bytes() == before


def test_a_case_that_changed_is_noticed(tmp_path):
    """The same name and size, other content: uncompressed files hide no change in their size."""
    root = write_cohort(tmp_path / "Heads", cases=5)
    hemoseg("fingerprint", root, "--run", tmp_path / "run")
    hemoseg("plan", "--run", tmp_path / "run", *SETTINGS)
    label = root / "labelsTr" / "head1.nii.gz"
    content = bytearray(label.read_bytes())
    content[4] ^= 1  # a byte of the time in the gzip header
    label.write_bytes(content)
    assert "head1 changed" in hemoseg("preprocess", "--run", tmp_path / "run", code=2).stderr


def test_damaged_cases_are_refused_by_train_and_made_again_by_preprocess(unbroken, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(unbroken, folder)
    (folder / "3d_fullres" / "fold_0" / "last.safetensors").unlink()
    first, second = (
        folder / "cases" / name for name in sorted(json.loads((folder / "splits.json").read_text())["train"][0])[:2]
    )
    before = {path: path.read_bytes() for case in (first, second) for path in case.iterdir()}
    content = bytearray(before[first / "image.npy"])
    content[-3] ^= 1
    (first / "image.npy").write_bytes(content)
    np.save(second / "label.npy", np.load(second / "label.npy").astype(np.float32))
    refused = hemoseg("train", "--run", folder, code=2).stderr
    assert "try: run `hemoseg preprocess --run DIR` again" in refused
    assert f"{first.name}/image.npy" in refused
    hemoseg("preprocess", "--run", folder)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_during_training_saves_and_ends_with_its_code(dataset, tmp_path, number, code):
    folder = tmp_path / "stopped"
    process = subprocess.Popen(
        command("run", dataset, "--run", folder, *SMALL, "--iterations", "100000"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = folder / "3d_fullres" / "fold_0" / "train.jsonl"
    while process.poll() is None and not (log.is_file() and log.stat().st_size):
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == code
    assert "the state of the training is saved" in errors
    assert "Traceback" not in errors
    assert (folder / "3d_fullres" / "fold_0" / "state.safetensors").is_file()


def test_other_settings_on_the_folder_are_refused(unbroken, dataset):
    done = hemoseg("run", dataset, "--run", unbroken, *SMALL, "--iterations", "13", code=2)
    assert "iterations: 12 → 13" in done.stderr


def test_another_data_set_on_the_folder_is_refused(unbroken, tmp_path):
    other = write_cohort(tmp_path / "Other", cases=5)
    assert "was begun on" in hemoseg("run", other, "--run", unbroken, *SETTINGS, code=2).stderr


def test_each_stage_alone_gives_the_same_model(unbroken, dataset, tmp_path):
    folder = tmp_path / "stages"
    hemoseg("check", dataset)
    hemoseg("fingerprint", dataset, "--run", folder)
    hemoseg("plan", "--run", folder, *SETTINGS)
    for stage in ("preprocess", "train", "validate", "select", "evaluate", "report"):
        hemoseg(stage, "--run", folder)
    assert trained(folder) == trained(unbroken)
    assert predictions(folder) == predictions(unbroken)
    assert (folder / "report.html").is_file()
    assert (folder / "model" / "manifest.json").is_file()


@pytest.mark.parametrize("stage", ["plan", "preprocess", "train", "validate", "select", "evaluate", "report"])
def test_a_stage_too_early_says_what_to_run_first(tmp_path, stage):
    (tmp_path / "empty").mkdir()
    done = hemoseg(stage, "--run", tmp_path / "empty", code=2)
    assert "try: run `hemoseg" in done.stderr


@pytest.mark.parametrize("config", ["2d", "3d_lowres", "cascade"])
def test_every_configuration_runs_and_segments(dataset, tmp_path, config):
    folder = tmp_path / config
    hemoseg("run", dataset, "--run", folder, *SMALL, "--iterations", "2", "--config", config)
    scan = dataset / "imagesTr" / "head1_0000.nii.gz"
    hemoseg("segment", scan, "--out", tmp_path / "out", "--model", folder / "model")
    assert (tmp_path / "out" / "head1_0000" / "mask.nii.gz").is_file()


def run_quickly(dataset, folder, *options):
    """A run whose plan is made small between planning and training."""
    hemoseg("fingerprint", dataset, "--run", folder)
    hemoseg("plan", "--run", folder, *SMALL, *options)
    change_plan(folder, quick)
    hemoseg("run", dataset, "--run", folder, *SMALL, *options)


def test_a_residual_network_runs_and_segments(dataset, tmp_path):
    folder = tmp_path / "residual"
    run_quickly(dataset, folder, "--iterations", "2", "--planner", "nnunet-resenc-m", "--config", "3d_fullres")
    plan = RunFolder(folder).plan()
    assert {item.encoder for item in plan.trained_configurations} == {"residual"}
    with safe_open(folder / "3d_fullres" / "fold_0" / "last.safetensors", framework="np") as weights:
        assert len(list(weights.keys())) > 50
    scan = dataset / "imagesTr" / "head1_0000.nii.gz"
    hemoseg("segment", scan, "--out", tmp_path / "out", "--model", folder / "model")
    assert (tmp_path / "out" / "head1_0000" / "mask.nii.gz").is_file()


def test_a_cascade_by_nnunets_recipe_runs_and_doubts_its_first_stage(dataset, tmp_path, monkeypatch):
    folder = tmp_path / "nnunet"
    run_quickly(dataset, folder, "--iterations", "1", "--config", "cascade", "--recipe", "nnunet")
    assert (folder / "model" / "manifest.json").is_file()
    check_doubts(RunFolder(folder), monkeypatch)


def check_doubts(folder, monkeypatch):
    """A cascade's second stage is fed with labels of the first that are altered, and nothing else is."""
    plan = folder.plan()
    cascade = plan.configuration("3d_cascade_fullres")
    for case in folder.store(cascade).iterdir():
        shape = np.load(case / "previous.npy").shape
        write_previous(case, np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8))
    source = _source(folder, plan, cascade, 0)
    fed = [source.batch(number).inputs for number in range(16)]
    for kind in (Morphology, RemovedComponent):
        monkeypatch.setattr(kind, "apply", lambda self, data_dict, **_: data_dict)
    plain = [source.batch(number).inputs for number in range(16)]
    assert all(np.array_equal(a[:, :-2], b[:, :-2]) for a, b in zip(fed, plain, strict=True))
    assert sum(not np.array_equal(a[:, -2:], b[:, -2:]) for a, b in zip(fed, plain, strict=True)) > 2


def change_plan(folder, change):
    """Write a plan's configurations as `change` wants them."""
    plan = json.loads((folder / "plan.json").read_text())
    for item in plan["configurations"]:
        change(item)
    plan["recipe"]["validation_batches"] = 1
    (folder / "plan.json").write_text(json.dumps(plan))


def quick(item):
    """A narrow network, in float32 so that nothing is tried before."""
    item |= {"batch_size": 2, "features": [4 for _ in item["features"]], "precision": "fp32"}


def test_stages_of_a_cascade_wait_for_each_other(dataset, tmp_path, monkeypatch):
    """Train and validate are given twice; neither fails where it has done what it can."""
    folder = tmp_path / "cascade"
    hemoseg("fingerprint", dataset, "--run", folder)
    hemoseg("plan", "--run", folder, "--folds", "0", "--iterations", "1", "--config", "cascade")
    plan = json.loads((folder / "plan.json").read_text())
    for item in plan["configurations"]:
        item |= {"batch_size": 1, "features": [4 for _ in item["features"]]}
    (folder / "plan.json").write_text(json.dumps(plan))
    hemoseg("preprocess", "--run", folder)
    assert "3d_cascade_fullres waits for predictions of 3d_lowres" in hemoseg("train", "--run", folder).stderr
    assert "3d_cascade_fullres fold 0 waits" in hemoseg("validate", "--run", folder).stderr
    hemoseg("select", "--run", folder, code=2)
    for stage in ("train", "validate"):
        assert "waits" not in hemoseg(stage, "--run", folder).stderr
    held_out = json.loads((folder / "splits.json").read_text())["held_out"][0]
    assert all((folder / f"3d_cascade_fullres/fold_0/validation/{name}.nii.gz").is_file() for name in held_out)
    check_doubts(RunFolder(folder), monkeypatch)
