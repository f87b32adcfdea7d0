"""A challenge rehearsed: INSTANCE 2022's layout, a model, masks as it wants them, its numbers; and the image."""

import csv
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from cohort import hemoseg, hemoseg_without_torch
from hemoseg.io import write_mask, write_scan
from hemoseg.phantom import PhantomSpec, make_phantom

ROOT = Path(__file__).parents[2]
HOSTS = ("pypi", "docker.io", "ghcr", "quay", "index-url", "find-links", "http")
"""What would tie the image to a registry."""


@pytest.fixture(scope="module")
def train_2(tmp_path_factory):
    """Six simulated heads: `train_2/data/NNN.nii.gz`, `train_2/label/NNN.nii.gz` with 0 and 1."""
    root = tmp_path_factory.mktemp("instance") / "train_2"
    for kind in ("data", "label"):
        (root / kind).mkdir(parents=True)
    for number in range(1, 7):
        spec = PhantomSpec(
            site="deep",
            side="left" if number % 2 else "right",
            volume_ml=20.0 + 5 * number,
            edema_ml=0.0,
            seed=number,
            shape=(12, 36, 32),
            spacing_mm=(9.0, 5.8, 5.8),
        )
        phantom = make_phantom(spec)
        name = f"{number:03}.nii.gz"
        write_scan(root / "data" / name, phantom.volume)
        write_mask(root / "label" / name, (phantom.reference == 1).astype(np.uint8), phantom.volume)
    return root


def test_from_the_organizers_folder_to_their_numbers(train_2, tmp_path):
    dataset, run, masks, metrics = (tmp_path / name for name in ("Dataset001", "run", "masks", "metrics.json"))
    hemoseg("import", "instance22", train_2.parent, dataset)
    assert "6 cases, 0 errors" in hemoseg("check", dataset).stdout
    hemoseg("run", dataset, "--run", run, "--folds", "0", "--iterations", "1")
    done = hemoseg("segment", train_2 / "data", "--out", masks, "--layout", "flat", "--model", run / "model")
    assert done.stdout.count("ml hemorrhage") == 6
    names = [f"{number:03}.nii.gz" for number in range(1, 7)]
    assert sorted(path.name for path in masks.glob("*.nii.gz")) == names
    for name in names:
        mask, scan = nibabel.load(masks / name), nibabel.load(train_2 / "data" / name)
        assert mask.get_data_dtype() == np.uint8
        assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}
        assert mask.shape == scan.shape
        assert np.array_equal(mask.affine, scan.affine)
        assert np.array_equal(mask.header["pixdim"], scan.header["pixdim"])
    hemoseg("evaluate", masks, train_2 / "label", "--protocol", "instance2022", "--out", metrics)
    found = json.loads(metrics.read_text())
    assert [case["case"] for case in found["cases"]] == [name.removesuffix(".nii.gz") for name in names]


def steps():
    """(instruction, words) of the Dockerfile, in their order."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [line.split(maxsplit=1) for line in lines]
    return [(name, json.loads(rest) if rest.startswith("[") else shlex.split(rest)) for name, rest in found]


def test_the_image_names_no_registry_and_installs_no_torch():
    text = (ROOT / "Dockerfile").read_text()
    assert not any(host in text.lower() for host in HOSTS)
    assert [name for name, _ in steps()] == ["FROM", "COPY", "COPY", "RUN", "ENTRYPOINT"]
    base = next(words for name, words in steps() if name == "FROM")
    assert re.fullmatch(r"python:3\.1[123]-slim", base[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [re.split(r"[<>=\[ ]", need)[0] for need in project["dependencies"]]
    assert "openvino" in required
    assert "torch" not in required


def test_the_image_s_steps_work_without_docker(train_2, tmp_path):
    """Its files are copied elsewhere, and from there the entry point's command segments a folder without torch."""
    image, scans, masks = tmp_path / "image", tmp_path / "input", tmp_path / "predict"
    for name, words in steps():
        if name == "COPY":
            *sources, target = words
            place = image / target.strip("/")
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, place)
    install = next(words for name, words in steps() if name == "RUN")
    assert install[:2] == ["pip", "install"]
    assert all((image / word.strip("/")).exists() for word in install if word.startswith("/"))
    built = image / install[-1].strip("/")
    project = tomllib.loads((built / "pyproject.toml").read_text())
    assert all((built / name).exists() for name in (project["project"]["readme"], *project["project"]["license-files"]))
    assert all((built / name).is_dir() for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    scans.mkdir()
    for name in ("001.nii.gz", "002.nii.gz"):
        shutil.copy(train_2 / "data" / name, scans)
    program, *arguments = next(words for name, words in steps() if name == "ENTRYPOINT")
    assert program in project["project"]["scripts"]
    places = {"/input": str(scans), "/predict": str(masks)}
    assert set(places) <= set(arguments)
    hemoseg_without_torch(*(places.get(word, word) for word in arguments), source=built / "src")
    assert sorted(path.name for path in masks.glob("*.nii.gz")) == ["001.nii.gz", "002.nii.gz"]
    with (masks / "summary.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    bleeds = [row for row in rows if row["class"] == "hemorrhage"]
    assert [(row["scan"], row["status"]) for row in bleeds] == [("001", "done"), ("002", "done")]
    assert all(float(row["ml"]) > 0 for row in bleeds)
