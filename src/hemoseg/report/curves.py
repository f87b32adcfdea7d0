"""Curves of a training as a picture."""

from io import BytesIO
from itertools import cycle
from typing import Any

import numpy as np

from hemoseg.arrays import Float64

SMOOTH_SHARE = 0.05
"""Curves are averaged over this share of the log."""
COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
"""Okabe and Ito's, for lines on white."""
STYLES = ("-", "--", "-.", ":")
"""Lines differ in style as well as in color."""

Curve = Float64[np.ndarray, " n"]


def curves_png(log: list[dict[str, Any]], title: str, epochs: list[dict[str, Any]] | None = None) -> bytes:
    """Loss, learning rate and pseudo-Dice over the iterations, as PNG.

    Args:
        log: rows of `train.jsonl`: `iteration`, `loss`, `learning_rate` and, per class, `dice`.
        title: stands above.
        epochs: rows of `epochs.jsonl`: `iteration` and, where epochs were validated, `validation_loss` and `dice`.

    Returns:
        Two panels side by side: loss (as logged, smoothed, and of validation patches) with the learning rate;
        pseudo-Dice, of validation patches in each epoch, or else of training patches, smoothed. The second is left out
        if no row has `dice`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    validated = [row for row in epochs or [] if "dice" in row]
    classes = list(dict.fromkeys(name for row in log for name in row.get("dice", {})))
    layout = ConstrainedLayoutEngine(wspace=0.08)
    figure = Figure(figsize=(9.6, 3.2) if classes else (6.4, 3.2), dpi=120, layout=layout)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if classes else 1, squeeze=False)[0]
    figure.suptitle(title, fontsize=11)
    _draw_loss(panels[0], log, validated)
    if classes and validated:
        _draw_validation(panels[1], validated, classes)
    elif classes:
        _draw_dice(panels[1], log, classes)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def smooth(values: Curve) -> Curve:
    """Running mean over a window of `SMOOTH_SHARE` of the curve; shorter at both ends."""
    if values.size == 0:
        return values
    half = int(len(values) * SMOOTH_SHARE / 2)
    kernel = np.ones(2 * half + 1)
    # "full", then cut: "same" would return the kernel's length where it is the longer one
    counts = np.convolve(np.ones(len(values)), kernel)[half : half + len(values)]
    means: Curve = np.convolve(values, kernel)[half : half + len(values)] / counts
    return means


def _draw_loss(panel: Any, log: list[dict[str, Any]], validated: list[dict[str, Any]]) -> None:
    iterations = [row["iteration"] for row in log]
    loss = np.array([row["loss"] for row in log], dtype=np.float64)
    panel.plot(iterations, loss, color="#bbbbbb", linewidth=0.8, label="loss")
    panel.plot(iterations, smooth(loss), color=COLORS[0], linewidth=1.8, label="loss, smoothed")
    if validated:
        at, values = [row["iteration"] for row in validated], [row["validation_loss"] for row in validated]
        panel.plot(at, values, color=COLORS[2], marker=".", linewidth=1.2, label="validation loss")
    panel.set(xlabel="iteration", ylabel="loss")
    rate = panel.twinx()
    rate.plot(iterations, [row["learning_rate"] for row in log], color=COLORS[1], linestyle="--", label="learning rate")
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    lines = [*panel.get_lines(), *rate.get_lines()]
    rate.legend(lines, [line.get_label() for line in lines], fontsize=8, frameon=False, loc="upper right")
    tidy(panel)


def _draw_dice(panel: Any, log: list[dict[str, Any]], classes: list[str]) -> None:
    for name, color, style in zip(classes, cycle(COLORS), cycle(STYLES), strict=False):
        rows = [(row["iteration"], row["dice"][name]) for row in log if row.get("dice", {}).get(name) is not None]
        values = smooth(np.array([value for _, value in rows], dtype=np.float64))
        panel.plot([at for at, _ in rows], values, color=color, linestyle=style, linewidth=1.8, label=name)
    panel.set(xlabel="iteration", ylabel="pseudo-Dice of training patches", ylim=(0, 1))
    panel.legend(fontsize=8, frameon=False)
    tidy(panel)


def _draw_validation(panel: Any, validated: list[dict[str, Any]], classes: list[str]) -> None:
    for name, color, style in zip(classes, cycle(COLORS), cycle(STYLES), strict=False):
        rows = [(row["iteration"], row["dice"][name]) for row in validated if row["dice"].get(name) is not None]
        panel.plot(
            [at for at, _ in rows],
            [value for _, value in rows],
            color=color,
            linestyle=style,
            marker=".",
            linewidth=1.8,
            label=name,
        )
    panel.set(xlabel="iteration", ylabel="pseudo-Dice of validation patches", ylim=(0, 1))
    panel.legend(fontsize=8, frameon=False)
    tidy(panel)


def tidy(panel: Any) -> None:
    """A light grid behind the lines, and no frame above."""
    panel.grid(True, color="#e6e6e6", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines["top"].set_visible(False)
