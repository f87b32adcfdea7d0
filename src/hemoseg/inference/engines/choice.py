"""Which engine runs a network, and the network on it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hemoseg.errors import SettingsError, lacks_extra
from hemoseg.inference.sliding import Network
from hemoseg.plan import Configuration, Plan, Precision

EngineChoice = Literal["auto", "openvino", "torch"]
"""What can be asked for; auto is OpenVINO on a CPU and torch on CUDA."""

TOLERANCE = 0.05
"""Largest root mean square of the differences from torch's float32 logits, over the standard deviation of these, with
which an engine may be used; of classes, logits without the background's. Rounding gives 2e-4 in float32 and 0.007 to
0.014 in bf16, in networks that were hardly or not trained 0.012 and 0.030; a wrong layer gives about 1."""
REVISION = "2"
"""Goes up whenever an engine of ours computes other numbers from the same weights, by more than float32 rounds: what
was measured before is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What runs networks, and in which arithmetic."""

    kind: Literal["openvino", "torch"]
    """The library."""
    precision: Precision
    """Arithmetic of its convolutions."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    threads: int | None = None
    """Threads that it computes with on a CPU; None leaves that to the library, which takes all."""
    lean: bool = False
    """Whether of several networks on OpenVINO one at a time holds memory to work in."""

    @property
    def name(self) -> str:
        """Its name in results and files, like `openvino-bf16` or `torch-fp32-cuda`."""
        return f"{self.kind}-{self.precision}" + ("" if self.device == "cpu" else f"-{self.device}")


def candidates(
    configuration: Configuration,
    choice: EngineChoice,
    *,
    device: str,
    exact: bool,
    measured: Callable[[str], float | None],
) -> list[Engine]:
    """The engines that may run a configuration, the one to be preferred first.

    bf16 comes in where the CPU has it, and either the plan has it too or it was measured to agree when the bundle was
    made. There it takes half of float32's time, or nearly twice as long, by the kind of CPU: `trust` times both.

    Args:
        configuration: what is to be run.
        choice: what was asked for.
        device: `cpu` or `cuda`.
        exact: whether logits must be nnU-Net's, which torch in float32 gives.
        measured: takes an engine's name to its deviation when the bundle was made, or None.

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
        return [Engine(kind="torch", precision="fp32", device=device)]
    if device != "cpu":
        return [Engine(kind="torch", precision=configuration.precision, device=device)]
    kind: Literal["openvino", "torch"] = "torch" if choice == "torch" else "openvino"
    full, half = (Engine(kind=kind, precision=precision) for precision in ("fp32", "bf16"))
    known = measured(half.name)
    is_meant = configuration.precision == "bf16" or (known is not None and known <= TOLERANCE)
    found = [half, full] if is_meant and has_native_bf16() else [full]
    return [*found, Engine(kind="torch", precision="fp32")] if choice == "auto" else found


def has_native_bf16() -> bool:
    """Whether OpenVINO is there and the CPU multiplies bf16 natively; that it is faster so is not said."""
    try:
        from hemoseg.inference.engines.openvino_engine import has_bf16
    except ImportError:  # its libraries do not load; the fallback tells
        return False
    try:
        return has_bf16()
    except RuntimeError:  # it has no CPU here; the fallback tells
        return False


def load_network(plan: Plan, configuration: Configuration, weights: Path, *, engine: Engine) -> Network:
    """A trained network on an engine.

    Raises:
        ArtifactError: the weights are damaged or of another network.
        SettingsError: torch is needed and not installed.
        ResourceError: the device is not there.
    """
    if engine.kind == "openvino":
        from hemoseg.inference.engines.openvino_engine import OpenVinoNetwork

        return OpenVinoNetwork(
            plan, configuration, weights, precision=engine.precision, threads=engine.threads, lean=engine.lean
        )
    try:
        from hemoseg.inference.engines.torch_engine import TorchNetwork, check_device
        from hemoseg.nets import use_threads
    except ModuleNotFoundError as error:
        raise lacks_extra(error, where=f"engine {engine.name}") from error
    check_device(engine.device)
    if engine.threads is not None:
        use_threads(engine.threads)
    return TorchNetwork(plan, configuration, weights, precision=engine.precision, device=engine.device)
