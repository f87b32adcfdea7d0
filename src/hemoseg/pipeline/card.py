"""The card of a model, from the run's own files."""

from datetime import date
from typing import Any

from hemoseg import __version__
from hemoseg.models import Selection
from hemoseg.plan import Plan
from hemoseg.planning import Fingerprint
from hemoseg.settings import FOLDS, Settings

NOTICE = (
    "Research use only. Not a medical device. Not for diagnosis. "
    "The terms of the data it was trained on apply to this model."
)
UNTESTED_TERMS = """\
Terms of these weights
======================
The weights were trained on data that hemoseg did not bring. The terms of those data, and of their labels, apply
to what may be done with the weights; whoever trained them has to know them. Research use only. Not a medical
device.
"""


def model_card(
    plan: Plan,
    fingerprint: Fingerprint,
    selection: Selection,
    result: dict[str, Any],
    settings: Settings,
    *,
    today: date,
) -> str:
    """The card in Markdown: what it is, what it was trained on, how good it was, what it has never seen."""
    configuration = plan.configuration(selection.configuration)
    patients = len({case.patient for case in fingerprint.cases})
    spacing = " x ".join(f"{value:g}" for value in fingerprint.spacing_mm)
    folds = ", ".join(map(str, selection.folds[selection.configuration]))
    limit = f"--budget {settings.budget_s:.0f}s" if settings.budget_s else f"--iterations {configuration.iterations}"
    clipped = fingerprint.clipped_hu
    notes = [] if clipped is None else [f"- HU outside [{clipped[0]:g}, {clipped[1]:g}]: the data were clipped."]
    return "\n".join(
        [
            f"# {fingerprint.dataset_name}",
            "",
            f"**{NOTICE}**",
            "",
            "## What it is",
            "",
            f"{configuration.name}, {len(configuration.features)} stages from {configuration.features[0]} to "
            f"{configuration.features[-1]} channels, {configuration.iterations} steps in "
            f"{configuration.precision}; classes {', '.join(plan.labels[1:])}. Trained with hemoseg {__version__}.",
            "",
            "## Data",
            "",
            f"{len(fingerprint.cases)} scans of {patients} patients, median spacing {spacing} mm (z, y, x); fold "
            f"{folds} of {FOLDS}, by patient: the scans below were held out.",
            "",
            "## Figures",
            "",
            *table_lines(result),
            "",
            f"Mean over held-out scans with 95 % bootstrap interval, {today.isoformat()}; written by "
            f"`hemoseg run DATASET --run DIR --folds {','.join(map(str, settings.folds))} {limit}`.",
            "",
            "## What it has never seen",
            "",
            *notes,
            "- Scans from any other source. Nothing is known of its errors there.",
            "",
        ]
    )


def table_lines(result: dict[str, Any]) -> list[str]:
    """The means of an evaluation as a Markdown table, one line per class and metric."""
    lines = ["| class | metric | mean | 95 % interval | n |", "|---|---|--:|---|--:|"]
    for name, metrics in result["mean"].items():
        for metric, mean in metrics.items():
            if mean["value"] is None:
                lines.append(f"| {name} | {metric} | – | – | 0 |")
            else:
                low, high = mean["low"], mean["high"]
                lines.append(f"| {name} | {metric} | {mean['value']:.3f} | {low:.3f} to {high:.3f} | {mean['n']} |")
    return lines
