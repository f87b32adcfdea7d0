"""nnU-Net's real planners behind two pipes: one JSON request per line in, one JSON answer per line out.

Run by the interpreter of .venv-peers; `tools/make_goldens.py` and the differential tests start it. Folders of
nnU-Net are temporary, whatever the environment names. Networks, which nnU-Net builds to count their feature maps,
are built without weights on torch's meta device, and once for all patches and numbers of labels.

A request: {"planner": class, "memory_gb": number or null, "dataset_name", "dataset_json", "fingerprint"}.
An answer: {"plans": content of the file that nnU-Net wrote} or {"error": "Type: text"}.
"""

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

TIME_LIMIT_S = 120
"""A plan takes at most this long; nnU-Net itself can need many seconds."""

NETWORKS_KEPT = 200
"""Networks that are kept at a time."""


class TooLongError(Exception):
    """A planner did not come to an end."""


def main() -> None:
    """Serve until the pipe closes."""
    answers, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ[name] = str(Path(folder) / name)
        planners = _load(Path(folder))
        signal.signal(signal.SIGALRM, _stop)
        for line in sys.stdin:
            answers.write(json.dumps(_answer(planners, json.loads(line), Path(folder))) + "\n")
            answers.flush()


def _load(folder: Path) -> dict:
    """The planners by name, changed in what needs images or time."""
    import torch
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
        residual_encoder_unet_planners as residual,
    )
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    networks = {}

    def estimate(patch_size, inputs, outputs, class_name, kwargs, imports):
        key = json.dumps([class_name, kwargs["conv_op"], kwargs["strides"], kwargs["features_per_stage"]])
        if key not in networks:
            if len(networks) >= NETWORKS_KEPT:
                networks.clear()
            with torch.device("meta"):
                networks[key] = get_network_from_plans(class_name, kwargs, imports, inputs, outputs, allow_init=False)
        networks[key].decoder.num_classes = outputs
        return networks[key].compute_conv_feature_map_size(patch_size)

    ExperimentPlanner.static_estimate_VRAM_usage = staticmethod(estimate)
    ExperimentPlanner.determine_reader_writer = lambda self: determine_reader_writer_from_dataset_json(
        self.dataset_json, _example_image(self.dataset_json, self.dataset_fingerprint, folder), verbose=False
    )
    names = ("nnUNetPlannerResEncM", "nnUNetPlannerResEncL", "nnUNetPlannerResEncXL")
    return {"ExperimentPlanner": ExperimentPlanner} | {name: getattr(residual, name) for name in names}


def _example_image(dataset: dict, fingerprint: dict, folder: Path) -> str | None:
    """An image for the one ending that nnU-Net must open: a picture, or a stack if the first case is one."""
    if dataset["file_ending"].lower() != ".tif":
        return None
    import numpy as np
    import tifffile

    slices = fingerprint["shapes_after_crop"][0][0]
    path = folder / "example.tif"
    tifffile.imwrite(path, np.zeros((8, 8) if slices == 1 else (slices, 8, 8), dtype=np.uint8))
    return str(path)


def _answer(planners: dict, request: dict, folder: Path) -> dict:
    raw, preprocessed = (folder / name / request["dataset_name"] for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    for data in (raw, preprocessed):
        data.mkdir(parents=True, exist_ok=True)
        for file in data.glob("*.json"):
            file.unlink()
    (raw / "dataset.json").write_text(json.dumps(request["dataset_json"] | {"dataset": {}}))
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(request["fingerprint"]))
    memory = {} if request["memory_gb"] is None else {"gpu_memory_target_in_gb": request["memory_gb"]}
    signal.alarm(TIME_LIMIT_S)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            planner = planners[request["planner"]](request["dataset_name"], **memory)
            planner.plan_experiment()
        return {"plans": json.loads((preprocessed / f"{planner.plans_identifier}.json").read_text())}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)


def _stop(*_: object) -> None:
    raise TooLongError(f"no plan within {TIME_LIMIT_S} s")


if __name__ == "__main__":
    main()
