"""How far an engine's logits are from those of torch in float32, on a patch that is drawn by a program."""

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.artifacts import sha256_of
from hemoseg.errors import ArtifactError, HemosegError, SettingsError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.inference.engines.choice import REVISION, Engine, has_native_bf16, load_network
from hemoseg.inference.inputs import network_input, what_is_outside
from hemoseg.inference.sliding import cut_tile
from hemoseg.models import Agreement, EngineAgreement, Measured, TestPatch, open_bundle, sampled
from hemoseg.plan import Configuration, Plan
from hemoseg.types import LabelMap

REFERENCE = Engine(kind="torch", precision="fp32")
"""What all are held against."""
ENGINES = "engines"
"""Name of our engines' revision among versions."""
SLICE_MM = 5.0
"""Slice interval of the patch where a configuration keeps the scan's own."""
NOISE_HU = 4.0
AIR_HU, SKULL_HU, BRAIN_HU, EDEMA_HU, BLOOD_HU = -1000.0, 600.0, 30.0, 18.0, 65.0
AXES_LPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def measure_agreement(plan: Plan, weights: dict[str, Path]) -> Measured:
    """Measure the engines that are there on one network of each configuration.

    Args:
        plan: the plan.
        weights: {configuration: a file of weights of its network}.

    Raises:
        SettingsError: torch is not installed.
        ArtifactError: weights are damaged, of another network, or give no numbers.
    """
    engines, patches = [], {}
    for name, path in weights.items():
        configuration = plan.configuration(name)
        most = np.finfo(np.float16).max  # an intensity that hardly varies makes numbers beyond it
        channels = np.clip(draw_patch(plan, configuration), -most, most).astype(np.float16)
        patch = channels[np.newaxis].astype(np.float32)
        expected = load_network(plan, configuration, path, engine=REFERENCE)(patch)[0]
        if not np.isfinite(expected).all():
            raise ArtifactError(
                "the logits of a simulated head are not finite",
                where=path,
                expected="weights that give numbers",
                remedy="take a network whose training did not diverge",
            )
        patches[name] = TestPatch(channels=channels, logits=sampled(expected))
        has_regions = bool(plan.regions)
        asked = telling(expected, has_regions=has_regions)
        for engine in _measured_engines(configuration):
            found = load_network(plan, configuration, path, engine=engine)(patch)[0]
            given = telling(found, has_regions=has_regions)
            engines.append(
                EngineAgreement(
                    configuration=name,
                    engine=engine.name,
                    deviation=_rounded(deviation(given, asked)),
                    largest=_rounded(float(np.abs(given - asked).max())),
                    other_labels=_rounded(_other_labels(found, expected, has_regions=has_regions)),
                )
            )
    agreement = Agreement(
        software={ENGINES: REVISION} | {name: version(name) for name in ("openvino", "torch")},
        processor=processor(),
        weights={name: sha256_of(path) for name, path in weights.items()},
        engines=tuple(engines),
    )
    return agreement, patches


def measure_anew(*earlier: Path) -> Callable[[Plan, dict[str, Path]], Measured | None]:
    """How `write_bundle` comes to the agreement: from an earlier bundle of the same networks, or by measuring.

    Without torch it cannot be measured; a bundle of other networks is then written without.

    Args:
        earlier: folders in which such a bundle may lie.
    """

    def measure(plan: Plan, weights: dict[str, Path]) -> Measured | None:
        digests = {name: sha256_of(path) for name, path in weights.items()}
        for folder in earlier:
            known = _known(folder, plan, digests)
            if known is not None:
                return known
        try:
            return measure_agreement(plan, weights)
        except SettingsError:
            return None

    return measure


def deviation(found: Float32[np.ndarray, "..."], expected: Float32[np.ndarray, "..."]) -> float:
    """Root mean square of the differences over the standard deviation of what was expected; infinite for no numbers.

    Example:
        >>> round(deviation(np.float32([1.1, -1.1]), np.float32([1, -1])), 4)
        0.1
    """
    difference = found.astype(np.float64) - expected
    value = float(np.sqrt(np.mean(difference**2)) / max(float(expected.std()), 1e-6))
    return value if np.isfinite(value) else float("inf")


def telling(logits: Float32[np.ndarray, "..."], *, has_regions: bool) -> Float32[np.ndarray, "..."]:
    """What labels and probabilities depend on: the logits of regions; of classes how far each is over the background.

    What all classes of a voxel have in common, and so an error that they share, changes neither.

    Args:
        logits: axes (class, ...).
        has_regions: whether each has its own sigmoid.

    Example:
        >>> telling(np.float32([[3], [5], [2]]), has_regions=False).tolist()
        [[2.0], [-1.0]]
    """
    return logits if has_regions else logits[1:] - logits[:1]


def draw_patch(plan: Plan, configuration: Configuration) -> Float32[np.ndarray, "c z y x"]:
    """A head of the patch's size with a bleed and edema, prepared as scans are; the same each time."""
    z, y, x = configuration.patch_size
    own_z, own_y, own_x = configuration.spacing_mm
    spacing_mm = (SLICE_MM if own_z is None else own_z, own_y, own_x)
    grid = Grid(shape=(z, y, x), spacing_mm=spacing_mm, origin_lps_mm=(0.0, 0.0, 0.0), direction=AXES_LPS)
    hu, labels = _draw_head(grid.shape)
    volume = Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name="test patch")
    _, channels = network_input(plan, configuration, volume, labels)
    deep, high, wide = channels.shape[1:]
    corner = ((deep - z) // 2, (high - y) // 2, (wide - x) // 2)
    return cut_tile(channels, corner, configuration.patch_size, what_is_outside(plan, configuration))


def processor() -> str:
    """Name of the CPU as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _draw_head(shape: tuple[int, int, int]) -> tuple[Float32[np.ndarray, "z y x"], LabelMap]:
    """HU, and a label map with 1 for the bleed."""
    z, y, x = np.meshgrid(*((np.arange(n) + 0.5) * 2 / n - 1 for n in shape), indexing="ij")
    head = np.sqrt((z / 1.3) ** 2 + (y / 0.95) ** 2 + (x / 0.9) ** 2)
    bleed = np.sqrt(((z - 0.1) / 0.6) ** 2 + ((y + 0.2) / 0.3) ** 2 + ((x - 0.25) / 0.22) ** 2)
    hu = np.select([bleed < 1, bleed < 1.3, head < 0.88, head < 1], [BLOOD_HU, EDEMA_HU, BRAIN_HU, SKULL_HU], AIR_HU)
    noise = np.random.default_rng(0).normal(0, NOISE_HU, shape)
    return np.rint(hu + noise).astype(np.float32), (bleed < 1).astype(np.uint8)


def _measured_engines(configuration: Configuration) -> list[Engine]:
    engines = [Engine(kind="openvino", precision="fp32")]
    if has_native_bf16():
        engines.append(Engine(kind="openvino", precision="bf16"))
    if configuration.precision == "bf16":
        engines.append(Engine(kind="torch", precision="bf16"))
    return engines


def _other_labels(
    found: Float32[np.ndarray, "k z y x"], expected: Float32[np.ndarray, "k z y x"], *, has_regions: bool
) -> float:
    if has_regions:
        return float(((found > 0) != (expected > 0)).any(axis=0).mean())
    return float((found.argmax(axis=0) != expected.argmax(axis=0)).mean())


def _known(folder: Path, plan: Plan, weights: dict[str, str]) -> Measured | None:
    """What an older bundle of the same networks says; None if there is none that is whole."""
    try:
        bundle = open_bundle(folder)
        known = bundle.agreement
        if known is None or known.weights != weights or bundle.plan != plan or known.software.get(ENGINES) != REVISION:
            return None
        return known, {name: bundle.test_patch(name) for name in weights}
    except HemosegError:
        return None


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
