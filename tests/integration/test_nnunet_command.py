"""`hemoseg nnunet` and `segment --exact` as a user gives them."""

import json

import numpy as np
import pytest
import torch

import nnunet_models as small
from cohort import hemoseg
from hemoseg.io import read_labels


def test_a_model_of_nnunets_is_imported_segments_and_goes_back(tmp_path):
    folder = small.write_results(tmp_path / "results", "regions")
    scan, bundle = tmp_path / "scan_0000.nii.gz", tmp_path / "my bundle"
    small.write_small_scan(scan)
    done = hemoseg("nnunet", "import-model", folder, bundle, "--name", "mine")
    assert "3d_fullres: folds 0" in done.stdout
    assert f"--model '{bundle}' --out DIR" in done.stdout
    hemoseg("segment", scan, "--out", tmp_path / "out", "--model", bundle, "--exact")
    mask, _ = read_labels(tmp_path / "out" / "scan_0000" / "mask.nii.gz")
    with np.load(small.ROOT / "tests" / "golden" / "nnunet-models.npz") as golden:
        assert (mask != golden["regions/3d_fullres/mask"]).mean() < 5e-4
    hemoseg("nnunet", "export-model", bundle, tmp_path / "back")
    assert (tmp_path / "back" / folder.name / "fold_0" / "checkpoint_final.pth").is_file()


def test_a_malicious_checkpoint_ends_with_exit_code_2(tmp_path):
    folder = small.write_results(tmp_path / "results", "plain")
    path = folder / "fold_1" / "checkpoint_final.pth"
    torch.save({"network_weights": small.Payload(tmp_path / "made")}, path)
    done = hemoseg("nnunet", "import-model", folder, tmp_path / "bundle", code=2)
    assert "fold_1/checkpoint_final.pth" in done.stderr.replace("\n", "")
    assert "nothing of it was run" in done.stderr
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "bundle").exists()


def test_doubts_are_said_at_the_import(tmp_path):
    folder = small.write_results(tmp_path / "results", "plain")
    described = folder / "dataset.json"
    content = json.loads(described.read_text())
    content["labels"] = {name: number * 2 for name, number in content["labels"].items()}
    described.write_text(json.dumps(content))
    done = hemoseg("nnunet", "import-model", folder, tmp_path / "bundle")
    assert "doubt: label numbers [0, 2, 4] are not 0, 1, 2, … without a gap" in done.stderr
    assert "predictions are numbered 0, 1, 2, … in their order" in done.stderr


@pytest.mark.parametrize("words", [("export-onnx",), ("nnunet", "export-model")], ids=" ".join)
def test_a_model_that_is_not_there_is_said_of_the_argument(tmp_path, words):
    """These commands have no option --model."""
    done = hemoseg(*words, "absent", tmp_path / "out", code=2)
    assert "error: BUNDLE: no model 'absent'" in done.stderr
