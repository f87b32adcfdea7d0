"""One side of benchmarks/surface.py, or the floor: all surface metrics of pairs of masks, timed or weighed.

Run: python benchmarks/surface_side.py ours|peer|floor time|memory MASKS OUT

MASKS holds NAME-reference.npy and NAME-prediction.npy, and spacing.json. The peer's own environment runs this too, so
nothing of hemoseg is imported unless it is measured. Prints nothing; OUT gets what was measured by pair.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

REPEATS = 5
TOLERANCES_MM = (0.42, 1.0, 2.0)
Metrics = Callable[[np.ndarray, np.ndarray], list[float]]


def ours(spacing_mm: tuple[float, float, float]) -> Metrics:
    """Both mean distances, Hausdorff distance and its 95th percentile, surface Dice at three tolerances."""
    from hemoseg.evaluation.surface import hausdorff_mm, measure_surface_distances, nsd

    def measure(reference: np.ndarray, prediction: np.ndarray) -> list[float]:
        found = measure_surface_distances(reference, prediction, spacing_mm=spacing_mm)
        means = [float((mm * mm2).sum() / mm2.sum()) for mm, mm2 in found.sides]
        ends = [hausdorff_mm(found, percent=percent) for percent in (95.0, 100.0)]
        return [*means, *ends, *(nsd(found, tolerance_mm=value, both_empty="nan") for value in TOLERANCES_MM)]

    return measure


def peer(spacing_mm: tuple[float, float, float]) -> Metrics:
    """The same by the package surface-distance, each with the function that it has for it."""
    setattr(np, "Inf", np.inf)  # noqa: B010 - the package is older than NumPy 2
    import surface_distance as package

    def measure(reference: np.ndarray, prediction: np.ndarray) -> list[float]:
        found = package.compute_surface_distances(reference, prediction, spacing_mm)
        means = package.compute_average_surface_distance(found)
        ends = [package.compute_robust_hausdorff(found, percent) for percent in (95, 100)]
        near = [package.compute_surface_dice_at_tolerance(found, value) for value in TOLERANCES_MM]
        return [float(value) for value in (*means, *ends, *near)]

    return measure


def floor(_: tuple[float, float, float]) -> Metrics:
    """Every byte of both masks read once, as fast as NumPy can: no program may know a mask without."""
    return lambda reference, prediction: [float(mask.view(np.uint8).max()) for mask in (reference, prediction)]


def time_all(measure: Metrics, pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """{name: {seconds, values}}: the median of five calls, each after a call for every other pair."""
    seconds: dict[str, list[float]] = {name: [] for name in pairs}
    values = {}
    for _ in range(REPEATS):
        for name, pair in pairs.items():
            began = time.perf_counter()
            values[name] = measure(*pair)
            seconds[name].append(time.perf_counter() - began)
    return {name: {"seconds": median(seconds[name]), "values": values[name]} for name in pairs}


def weigh_all(measure: Metrics, pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """{name: bytes} at the peak of a call above what the process held before, masks included (Linux).

    One call before loads what is loaded on first use. What is freed has to go back to the system at once, for else
    later calls live in it unseen: MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ see to that.
    """
    results = {}
    for name, pair in pairs.items():
        measure(*pair)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        measure(*pair)
        results[name] = max(0, _status("VmHWM") - before)
    return results


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Parse, measure, write."""
    side, what, folder, out = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    spacing_mm = tuple(json.loads((folder / "spacing.json").read_text()))
    measure = {"ours": ours, "peer": peer, "floor": floor}[side](spacing_mm)
    pairs = {
        path.name.removesuffix("-reference.npy"): (
            np.load(path),
            np.load(path.with_name(path.name.replace("-reference", "-prediction"))),
        )
        for path in sorted(folder.glob("*-reference.npy"))
    }
    measure(*next(iter(pairs.values())))
    out.write_text(json.dumps({"time": time_all, "memory": weigh_all}[what](measure, pairs)))


if __name__ == "__main__":
    main()
