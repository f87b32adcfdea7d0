"""nnU-Net's own choice of a configuration, and its post-processing, for folders of predictions.

Run by the interpreter of .venv-peers: `nnunet_select_peer.py ROOT`. Each folder in ROOT/requests has `request.json`
({"configurations", "folds", "labels", "order"}; the order is empty without regions), `references/CASE.nii.gz` and
`CONFIG/fold_K/CASE.{nii.gz,npy}`, where the npy are probabilities (c, z, y, x). Prints a list of {"results", "best",
"after", "rules"} as JSON, in the order of the folders' names. nnU-Net's process pools are threads here: each would
import torch anew.
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace


def main() -> None:
    """Lay every request out as nnU-Net wants it, and ask."""
    root = Path(sys.argv[1])
    places = {name: root / "nnunet" / name for name in ("raw", "preprocessed", "results")}
    for name, place in places.items():
        os.environ[f"nnUNet_{name}"] = str(place)
    multiprocessing.get_context = lambda _method=None: SimpleNamespace(Pool=ThreadPool)
    answers = []
    for number, folder in enumerate(sorted((root / "requests").iterdir()), start=1):
        request = json.loads((folder / "request.json").read_text())
        _lay_out(folder, request, f"Dataset{number:03d}_Peer", places)
        with contextlib.redirect_stdout(sys.stderr):
            answers.append(_ask(number, request))
    print(json.dumps(answers))


def _lay_out(folder: Path, request: dict, dataset_name: str, places: dict[str, Path]) -> None:
    """References, and trained models' folders without models."""
    shutil.copytree(folder / "references", places["raw"] / dataset_name / "labelsTr")
    shutil.copytree(folder / "references", places["preprocessed"] / dataset_name / "gt_segmentations")
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": request["labels"],
        "numTraining": len(list((folder / "references").iterdir())),
        "file_ending": ".nii.gz",
    }
    if request["order"]:
        dataset["regions_class_order"] = request["order"]
    plans = {
        "dataset_name": dataset_name,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "NibabelIO",
        "label_manager": "LabelManager",
        "configurations": {name: {"architecture": {}} for name in request["configurations"]},
    }
    (places["preprocessed"] / dataset_name / "nnUNetPlans.json").write_text(json.dumps(plans))
    for name in request["configurations"]:
        model = places["results"] / dataset_name / f"nnUNetTrainer__nnUNetPlans__{name}"
        model.mkdir(parents=True)
        (model / "dataset.json").write_text(json.dumps(dataset))
        (model / "plans.json").write_text(json.dumps(plans))
        for fold in (folder / name).iterdir():
            _copy_fold(fold, model / fold.name / "validation")


def _copy_fold(source: Path, target: Path) -> None:
    """Predictions of a fold, with what nnU-Net needs to write a segmentation."""
    import nibabel
    import numpy as np
    from batchgenerators.utilities.file_and_folder_operations import save_pickle

    target.mkdir(parents=True)
    for mask in source.glob("*.nii.gz"):
        case = mask.name.removesuffix(".nii.gz")
        shutil.copy(mask, target / mask.name)
        np.savez(target / f"{case}.npz", probabilities=np.load(source / f"{case}.npy"))
        stuff = {"original_affine": nibabel.load(mask).affine}
        save_pickle({"nibabel_stuff": stuff, "spacing": [1.0, 1.0, 1.0]}, str(target / f"{case}.pkl"))


def _ask(number: int, request: dict) -> dict:
    import numpy as np
    from batchgenerators.utilities.file_and_folder_operations import load_pickle
    from nnunetv2.evaluation.find_best_configuration import find_best_configuration

    models = [
        {"plans": "nnUNetPlans", "configuration": name, "trainer": "nnUNetTrainer"}
        for name in request["configurations"]
    ]
    found = find_best_configuration(number, models, folds=tuple(request["folds"]), num_processes=1)
    best = found["best_model_or_ensemble"]
    _, kwargs = load_pickle(best["postprocessing_file"])
    return {
        "results": list(found["all_results"].values()),
        "best": [model["configuration"] for model in best["selected_model_or_models"]],
        "after": best["result_on_crossval_post_pp"],
        "rules": [[int(label) for label in np.atleast_1d(one["labels_or_regions"])] for one in kwargs],
    }


if __name__ == "__main__":
    main()
