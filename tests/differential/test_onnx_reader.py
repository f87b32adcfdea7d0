"""Programs that know the page of the ONNX contract and no hemoseg, against hemoseg."""

import nibabel
import numpy as np
import pytest

import nnunet_models as small
from bundles import write_tiny_bundle
from hemoseg.inference import load_model, predictor
from hemoseg.interop import export_onnx, import_model
from hemoseg.io import read_scan, write_scan
from hemoseg.postprocess import MinimumConfidence
from plans import head_volume

pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install 'hemoseg[onnx]'")
onnx_reader = pytest.importorskip("onnx_reader")
onnx_reader_nnunet = pytest.importorskip("onnx_reader_nnunet")


@pytest.fixture(autouse=True)
def whole_field(monkeypatch):
    """Every tile is looked at, as the contract has it, and sums and rules are those of every day."""
    monkeypatch.setattr(predictor, "find_brain", lambda volume: None)


@pytest.mark.parametrize(
    ("axes", "spacing_mm", "slices"),
    [("RAS", (4.0, 1.6, 2.5), 11), ("PIR", (7.0, 2.0, 2.0), 11), ("LPS", (5.0, 2.0, 2.0), 2)],
    ids=["both ways", "turned", "few slices"],
)
def test_a_plan_for_head_ct(axes, spacing_mm, slices, tmp_path):
    rule = MinimumConfidence(class_name="hemorrhage", probability=0.4)
    bundle = write_tiny_bundle(tmp_path / "bundle", folds=(0, 1), rules=(rule,))
    write_scan(tmp_path / "stored.nii.gz", head_volume((slices, 36, 40), spacing_mm))
    stored = nibabel.load(tmp_path / "stored.nii.gz")
    turn = nibabel.orientations.axcodes2ornt(axes)
    nibabel.save(stored.as_reoriented(turn), tmp_path / "scan.nii.gz")
    export_onnx(bundle, tmp_path / "onnx")
    found = onnx_reader.segment(tmp_path / "onnx", tmp_path / "scan.nii.gz").T
    model, volume = load_model(bundle, engine="torch"), read_scan(tmp_path / "scan.nii.gz")
    expected = model.segment(volume).labels
    assert len(np.unique(expected)) > 1
    assert not np.array_equal(expected, model.predict(volume).labels), "the rule has nothing to do"
    assert (found != expected).mean() < 1e-3


@pytest.mark.parametrize("kind", ["plain", "plane", "transposed", "region-cascade"])
def test_a_plan_of_nnunets(kind, tmp_path):
    import_model(small.write_results(tmp_path / "results", kind), tmp_path / "bundle")
    small.write_small_scan(tmp_path / "scan.nii.gz")
    export_onnx(tmp_path / "bundle", tmp_path / "onnx")
    found = onnx_reader_nnunet.segment(tmp_path / "onnx", tmp_path / "scan.nii.gz").T
    expected = load_model(tmp_path / "bundle", engine="torch").segment(read_scan(tmp_path / "scan.nii.gz")).labels
    assert len(np.unique(expected)) > 1
    assert (found != expected).mean() < 1e-3
