"""One scan through nnunetv2's own predictor with given weights. Runs in `.venv-peers`; see segment.py.

Run: .venv-peers/bin/python benchmarks/peer_segment.py WORLD OUT CHANNEL...
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


def main() -> None:
    """Read the channels, predict, write the mask."""
    world, out, channels = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    description = json.loads((world / "world.json").read_text())
    plans = PlansManager(description["plans"])
    configuration = plans.get_configuration("3d_fullres")
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        len(channels),
        len(description["dataset"]["labels"]),
        deep_supervision=False,
    )
    with np.load(world / "weights.npz", allow_pickle=False) as stored:
        weights = {name: torch.from_numpy(stored[name]) for name in stored.files}
    result = network.load_state_dict(weights, strict=False)
    repeated = ("decoder.encoder.", ".all_modules.")
    unset = [name for name in result.missing_keys if not any(part in name for part in repeated)]
    assert not unset, f"weights were not given: {unset}"
    assert not result.unexpected_keys, f"weights of another network: {result.unexpected_keys}"
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=True,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        network,
        plans,
        configuration,
        [network.state_dict()],
        description["dataset"],
        "none",
        tuple(description["mirror_axes"]),
    )
    images, properties = SimpleITKIO().read_images(channels)
    mask = predictor.predict_single_npy_array(images, properties)
    SimpleITKIO().write_seg(mask, str(out), properties)


if __name__ == "__main__":
    main()
