"""The card of a model, from the run's own files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import stdev
from typing import Any

from hemoseg import __version__
from hemoseg.datasets import pseudo_hu_text, source_text
from hemoseg.evaluation import brief
from hemoseg.models import NOTICE, SHOWN_ML, TERMS, Calibration, Selection, VolumeCalibration
from hemoseg.plan import Plan
from hemoseg.planning import Fingerprint
from hemoseg.report.html import format_ml
from hemoseg.settings import FOLDS, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What a run wrote, as far as a card tells it."""

    plan: Plan
    """The plan."""
    fingerprint: Fingerprint
    """The data set in numbers."""
    selection: Selection
    """Which networks make the result."""
    settings: Settings
    """What the user decided."""
    result: dict[str, Any]
    """Content of `evaluation.json`."""
    calibration: Calibration
    """Intervals around its volumes."""
    train_cases: tuple[int, ...]
    """Scans that the networks of each fold were trained on."""
    held_out_cases: int
    """Scans that the figures stand for."""
    precisions: dict[str, str]
    """{configuration: what its networks were computed in}."""
    steps: dict[str, tuple[int, ...]]
    """{configuration: optimizer steps that each of its networks was trained for}."""


UNSEEN = "Scans from any other source. Nothing is known of its errors there."


def model_warnings(fingerprint: Fingerprint) -> tuple[str, ...]:
    """What every result of a model has to say of the data that it was trained on."""
    if fingerprint.pseudo_hu is None:
        return ()
    return (f"the model was trained on {pseudo_hu_text(fingerprint.pseudo_hu)}",)


def terms(fingerprint: Fingerprint) -> str:
    """Terms of a model that a user trained, with the sources that the data set names."""
    if not fingerprint.sources:
        return TERMS
    return f"{TERMS}\nSources of the data:\n" + "".join(f"- {source_text(one)}\n" for one in fingerprint.sources)


def model_card(
    run: RunFiles,
    *,
    name: str,
    notice: str = NOTICE,
    about_data: Sequence[str] = (),
    unseen: Sequence[str] = (UNSEEN,),
    today: date,
) -> str:
    """The card in Markdown: what the model is, what it was trained on, how good it was, what it has never seen.

    Args:
        run: what the run wrote.
        name: name of the model.
        notice: what its users must know.
        about_data: sentences about the data's source, labels and terms.
        unseen: what the model has never seen, one entry each.
        today: date of the card.
    """
    fingerprint = run.fingerprint
    patients = len({case.patient for case in fingerprint.cases})
    spacing = " x ".join(f"{value:g}" for value in fingerprint.spacing_mm)
    return "\n".join(
        [
            f"# {name}",
            "",
            f"**{notice}**",
            "",
            "## What it is",
            "",
            *[_network(run, item) for item in run.selection.configurations],
            *_after_networks(run.selection),
            f"Classes {', '.join(run.plan.labels[1:])}. Trained with hemoseg {__version__}.",
            "",
            "## Data",
            "",
            f"{len(fingerprint.cases)} scans of {patients} patients, median spacing {spacing} mm (z, y, x); "
            f"{folds_text(run.settings.folds, run.train_cases, run.held_out_cases)}.",
            "",
            *about_data,
            *_sources(fingerprint),
            "",
            "## Figures",
            "",
            *_figures(run, today),
            *_evidence(run.selection),
            "",
            "## Intervals of volumes",
            "",
            *calibration_lines(run.calibration),
            "",
            "## What it has never seen",
            "",
            *[f"- {line}" for line in (*_unseen_hu(fingerprint), *unseen)],
            "",
        ]
    )


def _unseen_hu(fingerprint: Fingerprint) -> list[str]:
    """What HU the data did not have."""
    lines = []
    if fingerprint.pseudo_hu is not None:
        lines.append(f"HU of a scanner: the data were {pseudo_hu_text(fingerprint.pseudo_hu)}.")
    if (held := fingerprint.held_hu) is not None:
        lines.append(f"HU outside [{held[0]:g}, {held[1]:g}]: the data were clipped.")
    return lines


def folds_text(folds: Sequence[int], trained: Sequence[int], measured: int) -> str:
    """What networks were trained and measured on; each fold is measured on scans that its networks had not seen.

    Args:
        folds: numbers of the folds.
        trained: scans that the networks of each were trained on.
        measured: scans held out of any of them.

    Example:
        >>> folds_text((1,), (64,), 16)
        'fold 1 of 5 by patient: trained on 64 scans, measured on 16 held-out scans of the same source'
        >>> folds_text((0, 2), (64, 63), 33).split(', all ')[0]
        'folds 0, 2 of 5 by patient: each network trained on 63 to 64 scans'
    """
    count = " to ".join(map(str, sorted({min(trained), max(trained)})))
    held = f"measured on {measured} held-out scans of the same source"
    if len(folds) == 1:
        return f"fold {folds[0]} of {FOLDS} by patient: trained on {count} scans, {held}"
    numbers = ", ".join(map(str, folds))
    return f"folds {numbers} of {FOLDS} by patient: each network trained on {count} scans, all {held}"


def _sources(fingerprint: Fingerprint) -> list[str]:
    """The data set's sources as a list, and what is not labeled."""
    lines = [f"- {source_text(source)}" for source in fingerprint.sources]
    if fingerprint.ignore is not None:
        lines += ["", "Voxels that nobody labeled had no part in training and figures."]
    return [*(["Sources:", ""] if fingerprint.sources else []), *lines]


def _network(run: RunFiles, name: str) -> str:
    item = run.plan.configuration(name)
    return (
        f"{item.name}: {len(item.features)} stages from {item.features[0]} to {item.features[-1]} channels, "
        f"{steps_text(run.steps[name], item.iterations)} in {run.precisions[name]}."
    )


def steps_text(done: Sequence[int], planned: int) -> str:
    """Optimizer steps that networks were trained for; those planned too, where a training stopped early.

    Example:
        >>> steps_text((1000, 1000), 1000)
        '1000 steps'
        >>> steps_text((750, 1000, 500), 1000)
        '500 to 1000 of 1000 steps (stopped early)'
    """
    if min(done) == planned:
        return f"{planned} steps"
    count = " to ".join(map(str, sorted({min(done), max(done)})))
    return f"{count} of {planned} steps (stopped early)"


def _after_networks(selection: Selection) -> list[str]:
    """What happens to what networks say."""
    lines = ["Their probabilities are averaged."] if len(selection.configurations) > 1 else []
    rules = "; ".join(map(str, selection.postprocessing))
    return [*lines, f"Rules after them: {rules}."] if rules else lines


def _figures(run: RunFiles, today: date) -> list[str]:
    """The table, and what was measured how and when."""
    return [
        *table_lines(run.result),
        "",
        f"Mean over held-out scans, 95 % bootstrap interval, standard deviation over scans; {today.isoformat()}; "
        f"`hemoseg run DATASET --run DIR {run.settings.options()}`. Measured with float32 weights; float16 ones are "
        "shipped.",
    ]


def _evidence(selection: Selection) -> list[str]:
    """What the selection compared, and what the adopted rules gained; nothing where one network stood alone."""
    evidence = selection.evidence
    if evidence is None or (len(evidence.candidates) < 2 and not evidence.trials):
        return []
    scores = [f"{' + '.join(one.configurations)} {_figure(one.score)}" for one in evidence.candidates]
    gains = [f"{one.rule} {_figure(one.gain.value)}" for one in evidence.trials if one.adopted]
    return [
        "",
        f"Compared by the {evidence.metric}: {'; '.join(scores)}.",
        f"{len(evidence.trials)} rules after the networks were tried; adopted, with their gain on these same scans: "
        f"{'; '.join(gains) or 'none'}.",
    ]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def calibration_lines(calibration: Calibration) -> list[str]:
    """The intervals as a Markdown table with their coverage, and what they mean."""
    if calibration.too_few is not None:
        return [f"None: {calibration.too_few}."]
    heads = [f"at {ml:g} ml" for ml in SHOWN_ML]
    lines = [f"| volume | {' | '.join(heads)} | median width | covered |", f"|---|{'---|' * len(heads)}--:|--:|"]
    for name, one in calibration.rows.items():
        cells = [_bounds(one, ml) for ml in SHOWN_ML]
        width = "–" if one.median_width_ml is None else f"{format_ml(one.median_width_ml)} ml"
        covered = "–" if one.covered is None else f"{one.covered * 100:.1f} %"
        lines.append(f"| {name} | {' | '.join(cells)} | {width} | {covered} |")
    return [
        *lines,
        "",
        f"Nominal coverage {calibration.level * 100:g} %; {calibration.calibrated_on}. {calibration.method[0].upper()}"
        f"{calibration.method[1:]}. Covered: share of these scans inside bounds that were made without their patient. "
        f"{calibration.caveat}.",
    ]


def _bounds(one: VolumeCalibration, ml: float) -> str:
    found = one.interval(ml)
    return "–" if found is None else f"{format_ml(found.low_ml)} to {format_ml(found.high_ml)}"


def table_lines(result: dict[str, Any]) -> list[str]:
    """The means of an evaluation as a Markdown table, one line per class and metric, with the cases' spread."""
    lines = ["| class | metric | mean | 95 % interval | sd | n |", "|---|---|--:|---|--:|--:|"]
    shown = brief(result)
    for name, metrics in shown["mean"].items():
        for metric, mean in metrics.items():
            values = [case["classes"][name][metric] for case in shown["cases"]]
            finite = [value for value in values if value is not None]
            if mean["value"] is None:
                lines.append(f"| {name} | {metric} | – | – | – | 0 |")
                continue
            interval = f"{mean['low']:.3f} to {mean['high']:.3f}"
            lines.append(f"| {name} | {metric} | {mean['value']:.3f} | {interval} | {_spread(finite)} | {mean['n']} |")
    return lines


def _spread(values: list[float]) -> str:
    return f"{stdev(values):.3f}" if len(values) > 1 else "–"
