"""Networks on torch, CPU or CUDA."""

from pathlib import Path

import numpy as np
import torch

from hemoseg.arrays import Float32
from hemoseg.errors import ResourceError
from hemoseg.nets import build_network, keep_freed_memory, memory_errors
from hemoseg.nets.weights import load_weights, read_weights
from hemoseg.nets.winograd import quicken
from hemoseg.plan import Configuration, Plan, Precision


class TorchNetwork:
    """One trained network: patches to logits.

    On a CPU channels come last in memory: in the plain layout each convolution copies its input and its output. In
    float32 wide convolutions then take a fourth of the multiplications, and logits change by less than 1e-4.
    """

    def __init__(
        self, plan: Plan, configuration: Configuration, weights: Path, *, precision: Precision, device: str
    ) -> None:
        network = build_network(plan, configuration)
        load_weights(network, read_weights(weights), where=weights)
        network.decoder.deep_supervision = False
        self.device = device
        self.layout = torch.channels_last_3d if device == "cpu" else torch.contiguous_format
        self.network = network.eval().to(device, memory_format=self.layout)
        self.bf16 = precision == "bf16"
        if device == "cpu" and not self.bf16:
            quicken(self.network)

    def __call__(self, patches: Float32[np.ndarray, "b c z y x"]) -> Float32[np.ndarray, "b k z y x"]:
        """Logits of patches, float32."""
        inputs = torch.from_numpy(patches).to(self.device, memory_format=self.layout)
        with (
            memory_errors(where="network"),
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, enabled=self.bf16),
        ):
            logits = self.network(inputs)
        array: np.ndarray = logits.float().cpu().contiguous().numpy()
        return array


def check_device(device: str) -> None:
    """Make sure that a device is there, and prepare the process for it.

    Raises:
        ResourceError: CUDA was asked for and is not to be had.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "no CUDA device",
            where="--device cuda",
            expected="an NVIDIA GPU and a CUDA build of torch",
            remedy="use --device cpu",
        )
    keep_freed_memory()
