"""`plan`: every planner on one data set, dry, explained, and from nnU-Net's files alone."""

import json

import pytest

from cohort import hemoseg, write_cohort


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run folder that holds a fingerprint."""
    folder = tmp_path_factory.mktemp("plan")
    dataset = write_cohort(folder / "Heads")
    hemoseg("fingerprint", dataset, "--run", folder / "run")
    return folder / "run"


def files_of(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "options",
    [
        ("--planner", "headct"),
        ("--planner", "nnunet", "--memory-gb", "11"),
        ("--planner", "nnunet-resenc-m"),
        ("--planner", "nnunet-v1"),
        ("--preset", "paper"),
        ("--window", "96/59", "--window", "brain", "--pool", "average:2", "--slab", "1"),
    ],
    ids=lambda options: options[1],
)
def test_a_dry_run_explains_and_leaves_no_trace(measured, options):
    before = files_of(measured)
    done = hemoseg("plan", "--run", measured, "--iterations", "5", "--dry-run", "--explain", *options)
    assert files_of(measured) == before
    assert "nothing was written" in done.stdout
    for word in ("batch_size", "memory", "voxels", "rule"):
        assert word in done.stdout
    if "paper" in options:
        assert "assumed" in done.stdout
        assert "66.5" in done.stdout


def test_it_plans_from_nnunets_files_as_from_the_data(measured, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "fingerprint.json").write_bytes((measured / "fingerprint.json").read_bytes())
    hemoseg("plan", "--run", run, "--planner", "nnunet", "--iterations", "5")
    written = json.loads((run / "nnunet" / "plans.json").read_text())
    options = ("--from-fingerprint", run / "nnunet" / "dataset_fingerprint.json")
    options += ("--dataset-json", run / "nnunet" / "dataset.json", "--dataset-name", "Heads")
    hemoseg("plan", *options, "--planner", "nnunet", "--out", tmp_path / "plans.json")
    assert json.loads((tmp_path / "plans.json").read_text()) == written


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--preset", "paper", "--planner", "nnunet"), "--preset"),
        (("--preset", "paper", "--window", "brain"), "--preset"),
        (("--window", "brian"), "no window 'brian'"),
        (("--window", "brain", "--window", "brain"), "twice"),
        (("--pool", "average"), "KIND:FACTOR"),
        (("--pool", "median:2"), "KIND:FACTOR"),
        (("--slab-range", "label"), "--slab"),
        (("--slice-spacing", "0"), "0.1 to 100 mm"),
        (("--memory-gb", "0"), "above 0"),
        (("--memory-gb", "0.001"), "memory"),
        (("--budget", "1h", "--iterations", "3"), "exclude"),
        (("--planner", "nnunet", "--memory-gb", "0.0000001"), "memory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_is_refused_and_nothing_is_written(measured, options, text):
    before = files_of(measured)
    done = hemoseg("plan", "--run", measured, "--dry-run", *options, code=2)
    assert text in done.stderr
    assert files_of(measured) == before


@pytest.mark.parametrize("damage", ["no JSON", "no file", "negative spacing", "headct", "run too"])
def test_bad_files_are_refused_and_nothing_is_written(measured, tmp_path, damage):
    fingerprint, dataset, out = tmp_path / "f.json", tmp_path / "dataset.json", tmp_path / "plans.json"
    shapes = {
        "spacings": [[-5.0 if damage == "negative spacing" else 5.0, 0.5, 0.5]],
        "shapes_after_crop": [[30, 512, 512]],
    }
    statistics = dict.fromkeys(("mean", "median", "std", "min", "max", "percentile_00_5", "percentile_99_5"), 1.0)
    text = json.dumps(
        shapes
        | {"median_relative_size_after_cropping": 1.0, "foreground_intensity_properties_per_channel": {"0": statistics}}
    )
    fingerprint.write_text("{" if damage == "no JSON" else text)
    if damage == "no file":
        fingerprint.unlink()
    dataset.write_text(
        json.dumps(
            {
                "channel_names": {"0": "CT"},
                "labels": {"background": 0, "ich": 1},
                "numTraining": 1,
                "file_ending": ".nii.gz",
            }
        )
    )
    options = ["--planner", "headct" if damage == "headct" else "nnunet"]
    options += ["--run", str(measured)] if damage == "run too" else []
    done = hemoseg("plan", "--from-fingerprint", fingerprint, "--dataset-json", dataset, "--out", out, *options, code=2)
    assert done.stderr
    assert not out.exists()
