"""nnU-Net's side of the agreement; runs in the peer's environment.

Run: python benchmarks/agreement_peer.py JOB.json

JOB.json is {"model": a results folder, "fold", "trainer", "scans", "out"}. OUT/results is the same model under the
name of nnU-Net's own trainer, which `nnUNetv2_predict` knows: its trainers need not be there to predict. OUT/NAME.npz
has, of the middle tile of each scan, `patch` and nnU-Net's `logits`, axes (c, z, y, x), without mirroring.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch


def main() -> None:
    """Make the model's copy, and the logits."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ.setdefault(name, folder)
        source = Path(job["model"])
        _, plans, configuration = source.name.split("__")
        copy = Path(job["out"]) / "results" / source.parent.name / f"{job['trainer']}__{plans}__{configuration}"
        _adopt(source, copy, job["fold"], job["trainer"])
        _run_patches(copy, job["fold"], job["scans"], Path(job["out"]))


def _adopt(source: Path, copy: Path, fold: int, trainer: str) -> None:
    target = copy / f"fold_{fold}"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(source / name, copy / name)
    # ours to trust: this machine's own training wrote it
    content = torch.load(source / f"fold_{fold}" / "checkpoint_final.pth", map_location="cpu", weights_only=False)
    torch.save({**content, "trainer_name": trainer}, target / "checkpoint_final.pth")


def _run_patches(folder: Path, fold: int, scans: list[str], out: Path) -> None:
    from acvl_utils.cropping_and_padding.padding import pad_nd_image
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), (fold,))
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    predictor.network.load_state_dict(predictor.list_of_parameters[0])
    predictor.network.eval()
    for scan in scans:
        preprocessor = configuration.preprocessor_class(verbose=False)
        image, _, _ = preprocessor.run_case([scan], None, plans, configuration, predictor.dataset_json)
        padded = pad_nd_image(image, list(configuration.patch_size), "constant", {"constant_values": 0})
        tiles = predictor._internal_get_sliding_window_slicers(padded.shape[1:])
        patch = torch.from_numpy(np.ascontiguousarray(padded[tiles[len(tiles) // 2]]))[None].float()
        with torch.inference_mode():
            logits = predictor._internal_maybe_mirror_and_predict(patch)
        name = Path(scan).name.removesuffix("_0000.nii.gz")
        np.savez(out / f"{name}.npz", patch=patch[0].numpy(), logits=logits[0].numpy())


if __name__ == "__main__":
    main()
