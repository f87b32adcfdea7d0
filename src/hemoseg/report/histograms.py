"""Pictures of a data set: how its lesions, slices, pixels and intensities are distributed."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import cycle
from typing import Any

import numpy as np

from hemoseg.arrays import Float64
from hemoseg.datasets import Histogram
from hemoseg.report.curves import COLORS, STYLES, tidy

BINS = 24
"""Bins over the range of a panel: as many as a hand's breadth of paper shows apart."""
OUTSIDE_PERCENT = 0.5
"""Share of voxels beyond each end of the panel of HU: a few voxels of bone would press all others together."""
BAR = "#0072b2"
"""Color of bars."""


def dataset_png(
    lesions_ml: Mapping[str, Sequence[float]],
    slice_mm: Sequence[float],
    pixel_mm: Sequence[float],
    foreground: Sequence[Histogram] | None,
) -> bytes:
    """Histograms of a data set as PNG.

    Args:
        lesions_ml: {class: volume of each lesion}.
        slice_mm: thickness that a slice stands for, one value per case.
        pixel_mm: distance between pixels of a slice, one value per case.
        foreground: HU of labeled voxels, one histogram per case; None if they are not known.

    Returns:
        Panels of lesion volumes, slices, pixels, and of HU where they are known.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = [one for one in foreground or () if one.total]
    figure = Figure(figsize=(9.6, 5.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).ravel()
    _draw_lesions(panels[0], {name: volumes for name, volumes in lesions_ml.items() if len(volumes)})
    _draw_cases(panels[2], slice_mm, "thickness of a slice, mm")
    _draw_cases(panels[3], pixel_mm, "pixel, mm")
    if known:
        _draw_hu(panels[1], known)
    else:
        panels[1].set_axis_off()
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def log_edges(values: Sequence[float]) -> Float64[np.ndarray, " b"]:
    """Edges of bins of equal width on a logarithmic axis that hold all values, which are above 0."""
    low, high = min(values), max(values)
    edges: Float64[np.ndarray, " b"] = np.geomspace(low / 1.05, high * 1.05, BINS + 1)
    return edges


def _draw_lesions(panel: Any, lesions_ml: Mapping[str, Sequence[float]]) -> None:
    panel.set(xlabel="volume of a lesion, ml", ylabel="lesions")
    if lesions_ml:
        edges = log_edges([value for volumes in lesions_ml.values() for value in volumes])
        for (name, volumes), color, style in zip(lesions_ml.items(), cycle(COLORS), cycle(STYLES), strict=False):
            panel.hist(volumes, edges, histtype="step", color=color, linestyle=style, linewidth=1.6, label=name)
        panel.set_xscale("log")
        panel.yaxis.get_major_locator().set_params(integer=True)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.legend(fontsize=8, frameon=False)
    tidy(panel)


def _draw_cases(panel: Any, values: Sequence[float], label: str) -> None:
    low, high = min(values), max(values)
    margin = max((high - low) * 0.02, high * 0.05)
    panel.hist(values, np.linspace(low - margin, high + margin, BINS + 1), color=BAR)
    panel.set(xlabel=label, ylabel="cases")
    panel.yaxis.get_major_locator().set_params(integer=True)
    tidy(panel)


def _draw_hu(panel: Any, foreground: Sequence[Histogram]) -> None:
    """Every case weighs the same, as in the statistics that planning takes."""
    values = np.concatenate([one.values for one in foreground])
    weights = np.concatenate([one.counts / (one.total * len(foreground)) for one in foreground])
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order])
    ends = np.searchsorted(share, (OUTSIDE_PERCENT / 100, 1 - OUTSIDE_PERCENT / 100))
    low, high = values[order][np.minimum(ends, len(values) - 1)]
    width = max(1.0, np.ceil((high - low) / (2 * BINS)))
    edges = np.arange(np.floor(low) - width / 2, high + 2 * width, width)
    panel.hist(values, edges, weights=100 * weights, color=BAR)
    panel.set(xlabel="HU of labeled voxels", ylabel="% of voxels")
    tidy(panel)
