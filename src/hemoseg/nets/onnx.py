"""Networks as ONNX files, and how far ONNX Runtime's logits are from torch's."""

import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from hemoseg.errors import SettingsError
from hemoseg.nets.build import build_network
from hemoseg.nets.weights import load_weights, read_weights
from hemoseg.plan import Configuration, Plan

OPSET = 17
"""ONNX operators from 2022, which every runtime in use knows."""
INPUT, OUTPUT = "patches", "logits"
"""Names of the graph's input and output."""
SEED = 7
"""Of the patch that both sides are given."""


def write_onnx(path: Path, plan: Plan, configuration: Configuration, weights: Path) -> float:
    """Write a network as ONNX: float32 patches (b, c, z, y, x) of the plan's size to logits (b, k, z, y, x), any b.

    Returns:
        The largest difference between ONNX Runtime's and torch's logits of a patch of noise.

    Raises:
        SettingsError: the packages onnx and onnxruntime are not there.
        ArtifactError: the weights are damaged or not the network's.
    """
    runtime = _runtime()
    network = build_network(plan, configuration)
    load_weights(network, read_weights(weights), where=weights)
    network.decoder.deep_supervision = False
    network.eval()
    shape = (1, plan.input_channels(configuration), *configuration.patch_size)
    patch = torch.from_numpy(np.random.default_rng(SEED).standard_normal(shape).astype(np.float32))
    with warnings.catch_warnings():
        # The exporter's own: it is the older one, traces branches of shapes that are fixed here, and takes instance
        # norm, which has no running mean, for training.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (patch,),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "b"}, OUTPUT: {0: "b"}},
            opset_version=OPSET,
            dynamo=False,
        )
    with torch.inference_mode():
        expected = network(patch).numpy()
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run([OUTPUT], {INPUT: patch.numpy()})[0]
    return float(np.abs(found - expected).max())


def _runtime() -> ModuleType:
    try:
        import onnx  # noqa: F401  # the exporter needs it
        import onnxruntime
    except ImportError as error:
        raise SettingsError(
            f"the package {error.name} is not installed",
            where="export-onnx",
            expected="onnx, which writes the files, and onnxruntime, which they are checked with",
            remedy="pip install 'hemoseg[onnx]'",
        ) from error
    runtime: ModuleType = onnxruntime
    return runtime
