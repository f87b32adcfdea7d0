"""The page of an evaluation: means with intervals, agreement, lesions, detection, cases, and what each number means."""

from io import BytesIO
from typing import Any

from hemoseg.report.findings import RESEARCH_USE_ONLY
from hemoseg.report.html import render


def metrics_page(result: dict[str, Any], *, title: str) -> str:
    """A self-contained HTML page of the content of a metrics.json.

    Args:
        result: what `hemoseg evaluate` writes, of any protocol.
        title: title of the page.
    """
    names = list(dict.fromkeys(metric for metrics in result["mean"].values() for metric in metrics))
    columns: dict[str, dict[str, None]] = {}
    for case in result["cases"]:
        for name, scores in case["classes"].items():
            columns.setdefault(name, {}).update(dict.fromkeys(metric for metric in scores if metric != "note"))
    return render(
        "metrics.html.j2",
        research_use_only=RESEARCH_USE_ONLY,
        title=title,
        result=result,
        metrics=names,
        columns={name: list(found) for name, found in columns.items()},
        pictures=_pictures(result),
    )


def _pictures(result: dict[str, Any]) -> list[tuple[str, bytes]]:
    """(caption, PNG): volumes against each other, and ROC curves, as far as the result has them."""
    pictures = []
    for name, agreement in result.get("agreement", {}).items():
        scores = [case["classes"][name] for case in result["cases"]]
        volumes = [(score["reference_ml"], score["volume_ml"]) for score in scores]
        if any(expected or found for expected, found in volumes):
            pictures.append((f"{name}: agreement of volumes (Bland and Altman)", _bland_altman(volumes, agreement)))
    for name, levels in result.get("detection", {}).items():
        curves = {level: found["roc"] for level, found in levels.items() if found["roc"]}
        if curves:
            pictures.append((f"{name}: ROC by {' and '.join(curves)}", _roc(curves)))
    return pictures


def _bland_altman(volumes: list[tuple[float, float]], agreement: dict[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([(a + b) / 2 for a, b in volumes], [b - a for a, b in volumes], s=14, color="#14507f", alpha=0.7)
    lines = [agreement["bias_ml"]["value"], *(agreement["limits_ml"] or ())]
    for value, style in zip(lines, ("-", "--", "--"), strict=False):
        axes.axhline(value, color="#525e6d", linestyle=style, linewidth=1)
    axes.set_xlabel("mean of reference and prediction, ml")
    axes.set_ylabel("prediction − reference, ml")
    return _png(figure)


def _roc(curves: dict[str, list[list[float]]]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for (level, points), color in zip(curves.items(), ("#14507f", "#c77700"), strict=False):
        axes.plot([0.0, *(p[0] for p in points)], [0.0, *(p[1] for p in points)], color=color, label=level)
    axes.plot([0, 1], [0, 1], color="#dbe0e6", linewidth=1)
    axes.set_xlabel("1 − specificity")
    axes.set_ylabel("sensitivity")
    axes.legend(loc="lower right", frameon=False)
    return _png(figure)


def _png(figure: Any) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
