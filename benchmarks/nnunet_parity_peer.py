"""nnU-Net's side of nnunet_parity.py; runs in .venv-peers: python nnunet_parity_peer.py FOLDER."""

import json
import sys
from pathlib import Path

import numpy as np
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


def main() -> None:
    """Prepare every case of jobs.json, and lead random logits back."""
    folder = Path(sys.argv[1])
    for job in json.loads((folder / "jobs.json").read_text()):
        plans = PlansManager(job["plans"])
        configuration = plans.get_configuration(job["configuration"])
        preprocessor = DefaultPreprocessor(verbose=False)
        data, seg, properties = preprocessor.run_case(
            [job["image"]], job["label"], plans, configuration, job["dataset"]
        )
        logits = np.random.default_rng(0).standard_normal((3, *data.shape[1:])).astype(np.float32)
        mask = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits.copy(), plans, configuration, plans.get_label_manager(job["dataset"]), properties
        )
        for kind, array in {"image": data, "label": seg, "logits": logits, "mask": mask}.items():
            np.save(folder / f"{job['name']}.{kind}.npy", np.asarray(array))


if __name__ == "__main__":
    main()
