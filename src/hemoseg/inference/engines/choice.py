"""Which engine runs a network, and the network on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hemoseg.errors import SettingsError, lacks_extra
from hemoseg.inference.sliding import Network
from hemoseg.plan import Configuration, Plan, Precision

EngineChoice = Literal["auto", "openvino", "torch"]
"""What can be asked for; auto is OpenVINO on a CPU and torch on CUDA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What runs networks, and in which arithmetic."""

    kind: Literal["openvino", "torch"]
    """The library."""
    precision: Precision
    """Arithmetic of its convolutions."""
    device: str = "cpu"
    """`cpu` or `cuda`."""

    @property
    def name(self) -> str:
        """Its name in results and files, like `openvino-bf16` or `torch-fp32-cuda`."""
        return f"{self.kind}-{self.precision}" + ("" if self.device == "cpu" else f"-{self.device}")


def choose_engine(configuration: Configuration, choice: EngineChoice, *, device: str, exact: bool) -> Engine:
    """The engine for a configuration: bf16 where the plan has it and, for OpenVINO, the CPU too.

    Args:
        configuration: what it is to run.
        choice: what was asked for.
        device: `cpu` or `cuda`.
        exact: whether logits must be nnU-Net's, which torch in float32 gives.

    Raises:
        SettingsError: OpenVINO was asked for together with CUDA or exactness.
    """
    if choice == "openvino" and (exact or device != "cpu"):
        raise SettingsError(
            f"OpenVINO with {'exact results' if exact else f'device {device}'}",
            where="--engine openvino",
            expected="OpenVINO on a CPU, or torch",
            remedy="leave out --engine",
        )
    if exact:
        return Engine(kind="torch", precision="fp32", device=device)
    if choice == "torch" or device != "cpu":
        return Engine(kind="torch", precision=configuration.precision, device=device)
    return Engine(kind="openvino", precision=_native(configuration.precision))


def load_network(plan: Plan, configuration: Configuration, weights: Path, *, engine: Engine) -> Network:
    """A trained network on an engine.

    Raises:
        ArtifactError: the weights are damaged or of another network.
        SettingsError: torch is needed and not installed.
        ResourceError: the device is not there.
    """
    if engine.kind == "openvino":
        from hemoseg.inference.engines.openvino_engine import OpenVinoNetwork

        return OpenVinoNetwork(plan, configuration, weights, precision=engine.precision)
    try:
        from hemoseg.inference.engines.torch_engine import TorchNetwork, check_device
    except ModuleNotFoundError as error:
        raise lacks_extra(error, where=f"engine {engine.name}") from error
    check_device(engine.device)
    return TorchNetwork(plan, configuration, weights, precision=engine.precision, device=engine.device)


def _native(precision: Precision) -> Precision:
    """The precision, or fp32 where the CPU would have to emulate bf16."""
    if precision == "fp32":
        return "fp32"
    from hemoseg.inference.engines.openvino_engine import has_bf16

    return "bf16" if has_bf16() else "fp32"
