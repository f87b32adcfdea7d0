"""Exported networks in ONNX Runtime against ours in torch."""

import json
from functools import partial

import numpy as np
import pytest

import nnunet_models as small
from bundles import write_tiny_bundle
from hemoseg.artifacts import sha256_of
from hemoseg.errors import InputError
from hemoseg.inference import load_model
from hemoseg.inference.predictor import Model, Stage
from hemoseg.interop import export_onnx, import_model
from hemoseg.io import read_scan
from plans import head_volume

onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install 'hemoseg[onnx]'")


def networks_of(folder, stage):
    """The stage's networks, run by ONNX Runtime, in the contract's order."""
    contract = json.loads((folder / "contract.json").read_text())
    files = [one["file"] for one in contract["networks"] if one["configuration"] == stage.configuration.name]
    sessions = [onnxruntime.InferenceSession(str(folder / file), providers=["CPUExecutionProvider"]) for file in files]
    return tuple(partial(run, session) for session in sessions)


def run(session, patches):
    """Logits of patches."""
    return session.run(["logits"], {"patches": patches})[0]


def as_onnx(model, folder):
    """The same model with ONNX Runtime in torch's place."""
    stages = tuple(Stage(configuration=s.configuration, networks=networks_of(folder, s)) for s in model.stages)
    return Model(model.plan, stages, model.identity, mirror=model.mirror)


@pytest.mark.parametrize("kind", ["plain", "residual", "plane", "region-cascade"])
def test_a_model_in_onnx_runtime_gives_the_same_mask(kind, tmp_path):
    import_model(small.write_results(tmp_path / "results", kind), tmp_path / "bundle")
    contract = export_onnx(tmp_path / "bundle", tmp_path / "onnx")
    assert len(contract.networks) == sum(len(folds) for folds in contract.selection.folds.values())
    assert all(one.largest_difference < 1e-4 for one in contract.networks)
    assert all(sha256_of(tmp_path / "onnx" / one.file) == one.sha256 for one in contract.networks)
    small.write_small_scan(tmp_path / "scan.nii.gz")
    volume, model = read_scan(tmp_path / "scan.nii.gz"), load_model(tmp_path / "bundle", engine="torch")
    expected, found = model.segment(volume).labels, as_onnx(model, tmp_path / "onnx").segment(volume).labels
    assert len(np.unique(expected)) > 1
    assert (found != expected).mean() < 1e-3


def test_the_contract_holds_plan_and_padding(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    contract = export_onnx(bundle, tmp_path / "onnx")
    assert contract.outside == (-1.0, -1.0)
    assert contract.networks[0].input_channels == ("brain", "wide")
    assert contract.plan == load_model(bundle).plan
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {
        "3d_fullres_fold_0.onnx",
        "LICENSE",
        "card.md",
        "contract.json",
    }
    model = load_model(bundle)
    volume = head_volume()
    assert (as_onnx(model, tmp_path / "onnx").segment(volume).labels != model.segment(volume).labels).mean() < 1e-3
    with pytest.raises(InputError, match="is there already"):
        export_onnx(bundle, tmp_path / "onnx")
