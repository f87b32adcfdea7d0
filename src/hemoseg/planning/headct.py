"""The head-CT planner: nnU-Net's topology on a grid and in a size that a compute budget can train."""

from collections.abc import Sequence
from math import ceil, prod

from hemoseg.plan import (
    AverageResampling,
    Basis,
    Channel,
    Configuration,
    ConfigurationName,
    Plan,
    Precision,
    Preparation,
    Reason,
    Recipe,
    Window,
)
from hemoseg.planning.device import DeviceTiming
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.topology import make_topology, stage_features
from hemoseg.settings import DEFAULT_ITERATIONS, FOLDS, Settings
from hemoseg.types import FloatZYX, IntZYX

WINDOWS = (
    Window(name="brain", low_hu=0.0, high_hu=80.0),
    Window(name="edema", low_hu=5.0, high_hu=45.0),
    Window(name="tissue", low_hu=-20.0, high_hu=100.0),
)
"""Input channels: where blood stands out, where edema does, and the range between air and bone."""
FINEST_MM = 0.9
"""In-plane spacing is not finer than this: at 0.45 mm a patch of equal extent costs four times as much."""
FINEST_SLICE_MM = 2.5
"""Slices are averaged to at least this: thin ones are noisy, and most data sets are of 5 mm."""
PATCH_VOXELS = 16 * 96 * 96
"""Voxels of one patch: at 5 x 0.9 x 0.9 mm, half a head's width, all a lesion's neighborhood."""
PATCH_SLICES = 16
"""Slices of a 3-D patch."""
LOWRES_FACTOR = 2.0
"""In-plane coarsening of the low-resolution configuration."""
BASE_FEATURES = (8, 16, 24, 32)
"""Channels of the finest stage: the candidates, the smallest first; 32 is nnU-Net's."""
DEFAULT_MEMORY_GB = 8.0
"""Memory of a training process where the user names none: what most machines have to spare."""
NNUNET = "nnU-Net v2; Isensee et al. 2021, doi:10.1038/s41592-020-01008-z"
OURS = "hemoseg, docs/explanation/planning.md"
DEFAULT_BASE = 16
"""Base features where no clock may decide."""
ENOUGH_ITERATIONS = 3500
"""A larger network is chosen only if the budget gives it this many steps: a judgment, not yet measured."""
MOMENTUM = 0.95
"""Nesterov momentum. nnU-Net's 0.99 averages over 100 steps, slow where there are a few thousand in all;
`benchmarks/momentum.py` compares the two."""


def make_headct_plan(fingerprint: Fingerprint, settings: Settings, device: DeviceTiming) -> Plan:
    """The plan of a run. Pure: the same inputs give the same plan.

    Args:
        fingerprint: the data set in numbers.
        settings: what the user decided.
        device: what was measured of the machine; its timings matter only with a budget.
    """
    names = configuration_names(fingerprint, settings)
    base, iterations, size_reason = _fit_budget(names, fingerprint, settings, device)
    configurations = tuple(
        _configuration(name, names, fingerprint, base, precision=_precision(device), iterations=iterations)
        for name in names
    )
    windows, window_reason = _windows(fingerprint)
    spacing = configurations[-1].spacing_mm
    return Plan(
        dataset_name=fingerprint.dataset_name,
        labels=fingerprint.labels,
        preparation=Preparation(
            orientation="canonical",
            channels=tuple(Channel(name=window.name, window=window) for window in windows),
            windowed="last",
            head_crop=True,
            nonzero_crop=False,
            resampling=AverageResampling(),
        ),
        recipe=Recipe(momentum=MOMENTUM),
        configurations=configurations,
        trained=names,
        memory_gb=settings.memory_gb or DEFAULT_MEMORY_GB,
        seed=settings.seed,
        reasons=(
            _reason("configuration", ", ".join(names), _choice_reason(settings)),
            _reason(
                "spacing_mm",
                _text(spacing),
                f"the median {_text(fingerprint.spacing_mm)}, but not finer than {FINEST_SLICE_MM} mm along z and "
                f"{FINEST_MM} mm in plane",
            ),
            window_reason,
            size_reason,
            _reason(
                "precision",
                _precision(device),
                f"the device {'computes' if device.bf16 else 'does not compute'} bf16 natively",
                basis="measured",
            ),
            _reason(
                "topology",
                f"{len(configurations[-1].strides)} stages",
                "axes within a factor 2 are pooled, none below 4 voxels",
                source=NNUNET,
                basis="rule",
            ),
        ),
    )


def configuration_names(fingerprint: Fingerprint, settings: Settings) -> tuple[ConfigurationName, ...]:
    """The networks to train, a previous stage before the one that needs it."""
    if settings.config == "auto":
        slices = fingerprint.head_mm[0] / _target_spacing(fingerprint)[0]
        return ("3d_fullres",) if slices >= PATCH_SLICES / 2 else ("2d",)
    if settings.config == "cascade":
        return ("3d_lowres", "3d_cascade_fullres")
    return (settings.config,)


def candidates(
    fingerprint: Fingerprint, settings: Settings, *, precision: Precision
) -> list[tuple[Configuration, ...]]:
    """For each rung of `BASE_FEATURES`, all configurations of the run with one iteration: to be timed."""
    names = configuration_names(fingerprint, settings)
    return [
        tuple(_configuration(name, names, fingerprint, base, precision=precision, iterations=1) for name in names)
        for base in BASE_FEATURES
    ]


def folds_of(configuration: Configuration, names: Sequence[str], settings: Settings) -> tuple[int, ...]:
    """Folds to train: a cascade's previous stage needs all, for its predictions must be out-of-fold."""
    if configuration.name == "3d_lowres" and "3d_cascade_fullres" in names:
        return tuple(range(FOLDS))
    return settings.folds


def _fit_budget(
    names: tuple[ConfigurationName, ...],
    fingerprint: Fingerprint,
    settings: Settings,
    device: DeviceTiming,
) -> tuple[int, int, Reason]:
    """Base features, iterations per network, and why."""
    if settings.budget_s is None:
        iterations = settings.iterations or DEFAULT_ITERATIONS
        origin = "given" if settings.iterations else "nnU-Net's 1000 x 250, as no budget is given"
        value = f"{DEFAULT_BASE} base features, {iterations} iterations"
        return (
            DEFAULT_BASE,
            iterations,
            _reason("size", value, origin, basis="given" if settings.iterations else "rule"),
        )
    fitting = []
    for base, rung in zip(BASE_FEATURES, candidates(fingerprint, settings, precision=_precision(device)), strict=True):
        seconds = [device.seconds(configuration) for configuration in rung]
        if all(value is not None for value in seconds):
            folds = [len(folds_of(configuration, names, settings)) for configuration in rung]
            cost = sum((value or 0.0) * count for value, count in zip(seconds, folds, strict=True))
            fitting.append((base, max(1, int(settings.budget_s / cost))))
    enough = [pair for pair in fitting if pair[1] >= ENOUGH_ITERATIONS] or fitting[:1]
    base, iterations = enough[-1]
    why = (
        f"the largest of {BASE_FEATURES} that gets at least {ENOUGH_ITERATIONS} steps from {settings.budget_s:.0f} s "
        f"on {device.threads} {device.device} threads"
    )
    if iterations < ENOUGH_ITERATIONS:
        why += "; the budget is too small for a network that can be relied on"
    value = f"{base} base features, {iterations} iterations"
    return base, iterations, _reason("size", value, why, basis="measured")


def _configuration(
    name: ConfigurationName,
    names: tuple[ConfigurationName, ...],
    fingerprint: Fingerprint,
    base: int,
    *,
    precision: Precision,
    iterations: int,
) -> Configuration:
    spacing = _target_spacing(fingerprint)
    if name == "3d_lowres":
        spacing = (spacing[0], spacing[1] * LOWRES_FACTOR, spacing[2] * LOWRES_FACTOR)
    wanted = _patch(fingerprint, spacing, slices=1 if name == "2d" else PATCH_SLICES)
    topology = make_topology(spacing if name != "2d" else (1e6, *spacing[1:]), wanted)
    kernels = tuple((1, k[1], k[2]) for k in topology.kernels) if name == "2d" else topology.kernels
    return Configuration(
        name=name,
        dimensions=2 if name == "2d" else 3,
        previous_stage="3d_lowres" if name == "3d_cascade_fullres" and "3d_lowres" in names else None,
        spacing_mm=spacing,
        median_shape=_median_shape(fingerprint, spacing, is_2d=name == "2d"),
        patch_size=topology.patch_size,
        batch_size=max(2, round(2 * PATCH_VOXELS / prod(topology.patch_size))),
        features=stage_features(base, len(topology.strides)),
        strides=topology.strides,
        kernels=kernels,
        blocks=(2,) * len(topology.strides),
        decoder_blocks=(2,) * (len(topology.strides) - 1),
        batch_dice=True,
        mirror_axes=(2,),
        precision=precision,
        iterations=iterations,
    )


def _target_spacing(fingerprint: Fingerprint) -> FloatZYX:
    z, y, x = fingerprint.spacing_mm
    return max(z, FINEST_SLICE_MM), max(y, FINEST_MM), max(x, FINEST_MM)


def _patch(fingerprint: Fingerprint, spacing_mm: FloatZYX, *, slices: int) -> IntZYX:
    """A patch of `slices` slices, square in millimeters, within the voxel budget and the head."""
    head = [max(1, ceil(extent / step)) for extent, step in zip(fingerprint.head_mm, spacing_mm, strict=True)]
    depth = min(slices, _even(head[0]))
    edge = (PATCH_VOXELS / depth) ** 0.5 if depth > 1 else 192.0
    mean = (spacing_mm[1] * spacing_mm[2]) ** 0.5
    y, x = (min(_multiple(edge * mean / spacing_mm[axis]), _multiple(head[axis] + 8.0)) for axis in (1, 2))
    return depth, y, x


def _even(size: int) -> int:
    return size if size == 1 else size - size % 2


def _multiple(size: float) -> int:
    """The nearest multiple of 16, at least 16."""
    return max(16, round(size / 16) * 16)


def _median_shape(fingerprint: Fingerprint, spacing_mm: FloatZYX, *, is_2d: bool) -> FloatZYX:
    z, y, x = (
        float(max(1, round(extent / step))) for extent, step in zip(fingerprint.head_mm, spacing_mm, strict=True)
    )
    return (1.0 if is_2d else z), y, x


def _windows(fingerprint: Fingerprint) -> tuple[tuple[Window, ...], Reason]:
    """The windows, cut to what clipped data hold, so that true-HU scans look alike to the network."""
    clipped = fingerprint.clipped_hu
    if clipped is None:
        return WINDOWS, _reason("windows", _listed(WINDOWS), "the data hold true HU")
    low, high = clipped
    cut = tuple(w.model_copy(update={"low_hu": max(w.low_hu, low), "high_hu": min(w.high_hu, high)}) for w in WINDOWS)
    return cut, _reason("windows", _listed(cut), f"within [{low:g}, {high:g}] HU, to which data are clipped")


def _listed(windows: tuple[Window, ...]) -> str:
    return ", ".join(f"{w.name} [{w.low_hu:g}, {w.high_hu:g}]" for w in windows) + " HU"


def _reason(name: str, value: str, why: str, *, source: str = OURS, basis: Basis = "judgment") -> Reason:
    return Reason(name=name, value=value, why=why, source=source, basis=basis)


def _precision(device: DeviceTiming) -> Precision:
    return "bf16" if device.bf16 else "fp32"


def _choice_reason(settings: Settings) -> str:
    if settings.config != "auto":
        return "given"
    return "auto takes 3d_fullres where the head has at least 8 slices at the target spacing, else 2d"


def _text(spacing_mm: tuple[float | None, float, float]) -> str:
    return " x ".join("as scanned" if value is None else f"{value:g}" for value in spacing_mm) + " mm"
