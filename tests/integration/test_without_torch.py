"""Where torch is not installed: a scan is segmented and results are judged, what trains says what it needs."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from cohort import hemoseg_without_torch, write_cohort
from hemoseg.evaluation.overlap import dice
from hemoseg.io import read_labels, write_scan
from hemoseg.phantom import PhantomSpec, make_phantom
from plans import head_volume


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("data") / "Heads", cases=5)


def test_the_embedded_model_finds_a_bleed(tmp_path):
    phantom = make_phantom(
        PhantomSpec(
            site="deep",
            side="left",
            volume_ml=25.0,
            edema_ml=0.0,
            seed=1,
            shape=(14, 64, 64),
            spacing_mm=(8.0, 3.2, 3.2),
        )
    )
    write_scan(tmp_path / "head.nii", phantom.volume)
    hemoseg_without_torch("segment", tmp_path / "head.nii", "--out", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "head" / "report.json").read_text())
    assert report["model"]["engine"].startswith("openvino-")
    assert report["provenance"]["software"]["openvino"][:2] == "20"
    found, _ = read_labels(tmp_path / "out" / "head" / "mask.nii.gz")
    assert dice(phantom.reference == 1, found == 1, both_empty="nan") > 0.6


def test_evaluate_and_check_work(dataset, tmp_path):
    labels = dataset / "labelsTr"
    hemoseg_without_torch("evaluate", labels, labels, "--out", tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text())["mean"]["hemorrhage"]["dice"]["value"] == 1
    assert "5 cases, 0 errors" in hemoseg_without_torch("check", dataset).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("segment", "HERE/head.nii", "--out", "HERE/out", "--engine", "torch"),
        ("segment", "HERE/head.nii", "--out", "HERE/out", "--device", "cuda"),
        ("run", "DATA", "--run", "HERE/run", "--iterations", "3"),
        ("train", "--run", "HERE"),
        ("nnunet", "import-model", "HERE", "HERE/out"),
    ],
    ids=["engine", "cuda", "run", "train", "import-model"],
)
def test_what_needs_torch_says_how_to_get_it(arguments, dataset, tmp_path):
    write_scan(tmp_path / "head.nii", head_volume())
    places = {"HERE": str(tmp_path), "DATA": str(dataset)}
    words = [places.get(first, first) + slash + rest for first, slash, rest in (w.partition("/") for w in arguments)]
    done = hemoseg_without_torch(*words, code=2)
    assert "the package torch is not installed" in done.stderr
    assert 'pip install "hemoseg[train]"' in done.stderr
    assert not (tmp_path / "run" / "plan.json").exists()


def test_another_package_that_is_absent_is_no_matter_of_training():
    """Only what the extra adds is excused; anything else is a fault of ours."""
    from hemoseg.errors import lacks_extra

    with pytest.raises(ModuleNotFoundError, match="elsewhere"):
        lacks_extra(ModuleNotFoundError("elsewhere", name="elsewhere.part"), where="here")


WATCHED = """
import sys

def watch(event, arguments):
    if event.startswith("socket.") or event == "subprocess.Popen":
        sys.exit(f"{event} {arguments}")

sys.addaudithook(watch)
from hemoseg import load_model
print(load_model(engine="openvino").identity.engine)
"""


def test_openvino_reports_to_nobody(tmp_path):
    """Its telemetry package is there, and would open a connection and write into the home folder."""
    assert find_spec("openvino_telemetry") is not None
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("openvino-")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
