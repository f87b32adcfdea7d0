"""nnU-Net's real predictor, and real results folders of untrained networks: python nnunet_model_peer.py JOBS.json.

Run by the interpreter of .venv-peers; the differential tests start it. Folders of nnU-Net are temporary, whatever the
environment names. JOBS.json is a list of jobs, done in order:

  {"do": "train", "plans", "dataset", "configuration", "folds", "out"}
      A results folder by nnU-Net's own trainer.
  {"do": "predict", "folder", "folds", "scan", "previous", "out"}
      OUT.nii.gz, the mask; OUT.npz: `image`, what networks see; `corners` and `weights` of the tiles; `patch` of a
      tile in the middle and its mean `logits` over folds and mirrorings.
  {"do": "ensemble", "members", "scan", "out"}
      OUT.nii.gz, what nnUNetv2_ensemble makes of the probabilities of several {"folder", "folds"}.
"""

import json
import os
import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

EPOCHS = 2
"""Epochs that the log of a training pretends to have."""


def main() -> None:
    """Do all jobs."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ[name] = str(Path(folder) / name)
        for job in json.loads(Path(sys.argv[1]).read_text()):
            {"train": _train, "predict": _predict, "ensemble": _ensemble}[job.pop("do")](**job)


def _train(plans: dict[str, Any], dataset: dict[str, Any], configuration: str, folds: list[Any], out: str) -> None:
    """Checkpoints as the trainer writes them after some epochs; its weights are as drawn, but for the outputs'."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    for fold in folds:
        torch.manual_seed(10 if fold == "all" else fold)
        given = {**deepcopy(plans), "continue_training": False}
        trainer = nnUNetTrainer(given, configuration, fold, dataset, device=torch.device("cpu"))
        data = Path(trainer.preprocessed_dataset_folder)
        data.mkdir(parents=True, exist_ok=True)
        (data / "case.b2nd").touch()  # looked at by its name alone
        trainer.initialize()
        trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()  # which axes prediction mirrors
        network = getattr(trainer.network, "_orig_mod", trainer.network)
        with torch.no_grad():
            for layer in network.decoder.seg_layers:  # drawn ones give all classes nearly the same
                layer.weight *= 30
        for epoch in range(EPOCHS):
            for key in ("train_losses", "val_losses", "mean_fg_dice", "lrs"):
                trainer.logger.log(key, np.float64(0.5), epoch)
        trainer._best_ema = np.float64(0.5)
        target = Path(out) / f"fold_{fold}"
        target.mkdir(parents=True)
        trainer.save_checkpoint(str(target / "checkpoint_final.pth"))
    (Path(out) / "plans.json").write_text(json.dumps(plans))
    (Path(out) / "dataset.json").write_text(json.dumps(dataset))


def _predict(folder: str, folds: list[Any], scan: str, previous: str | None, out: str) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian
    from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(folder, tuple(folds))
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    preprocessor = configuration.preprocessor_class(verbose=False)
    image, seg, _ = preprocessor.run_case([scan], previous, plans, configuration, predictor.dataset_json)
    if previous is not None:
        labels = predictor.label_manager.foreground_labels
        image = np.vstack((image, convert_labelmap_to_one_hot(seg[0], labels, image.dtype)))
    size = list(configuration.patch_size)
    padded = _padded(image, [1] * (3 - len(size)) + size)
    tiles = predictor._internal_get_sliding_window_slicers(padded.shape[1:])
    corners = [[part if isinstance(part, int) else part.start for part in tile[1:]] for tile in tiles]
    patch = torch.from_numpy(np.ascontiguousarray(padded[tiles[len(tiles) // 2]]))[None].float()
    logits = []
    with torch.inference_mode():
        for weights in predictor.list_of_parameters:
            predictor.network.load_state_dict(weights)
            predictor.network.eval()
            logits.append(predictor._internal_maybe_mirror_and_predict(patch)[0].numpy())
    gaussian = compute_gaussian(tuple(size), dtype=torch.float32, device=torch.device("cpu"))
    np.savez(
        out + ".npz",
        image=image,
        corners=np.array(corners),
        weights=gaussian.numpy(),
        patch=patch[0].numpy(),
        logits=np.mean(logits, axis=0),
    )
    stages = None if previous is None else str(Path(previous).parent)
    predictor.predict_from_files_sequential([[scan]], [out], folder_with_segs_from_prev_stage=stages)


def _ensemble(members: list[dict[str, Any]], scan: str, out: str) -> None:
    from nnunetv2.ensembling.ensemble import ensemble_folders
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    target = Path(out)
    with tempfile.TemporaryDirectory() as temporary:
        folders = [str(Path(temporary) / str(index)) for index in range(len(members))]
        for member, folder in zip(members, folders, strict=True):
            Path(folder).mkdir()
            predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
            predictor.initialize_from_trained_model_folder(member["folder"], tuple(member["folds"]))
            predictor.predict_from_files_sequential([[scan]], [str(Path(folder) / target.name)], True)
        files = [str(Path(members[0]["folder"]) / name) for name in ("dataset.json", "plans.json")]
        ensemble_folders(folders, str(target.parent), False, 1, *files)


def _padded(image: np.ndarray, size: list[int]) -> np.ndarray:
    from acvl_utils.cropping_and_padding.padding import pad_nd_image

    return pad_nd_image(image, size, "constant", {"constant_values": 0})


if __name__ == "__main__":
    main()
