"""`hemoseg demo`: simulated heads with bleeds of exactly known volume, segmented and measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hemoseg.artifacts import write_json, write_text
from hemoseg.evaluation import evaluate_pair
from hemoseg.inference import Model, load_model
from hemoseg.phantom import TABLE, Phantom, PhantomSpec, demo_specs, make_phantom
from hemoseg.report import BRAIN_WINDOW, data_uri, montage_png, render, versions
from hemoseg.report.findings import RESEARCH_USE_ONLY
from hemoseg.report.html import format_metric, format_ml
from hemoseg.segmentation import Segmentation, measure_ml
from hemoseg.types import LabelMap

NEVER_TRAINED = (
    "No model was ever trained on these phantoms, and results on phantoms say nothing about patients: "
    "a phantom is far simpler than a head."
)
"""Stands on the page and in results.json, since a good or bad figure here is easily misread."""
SHOWN_FROM_ML = 0.005
"""Edema gets a row where there is any to two decimals; hemorrhage always has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One class of one phantom: what is there and what was found."""

    phantom: str
    """Name of the phantom."""
    site: str
    """Site of its bleed."""
    class_name: str
    """`hemorrhage` or `edema`."""
    truth_ml: float
    """Exact volume in ml, from the closed form."""
    measured_ml: float
    """Volume of the segmented voxels in ml."""
    dice: float | None
    """Overlap with the reference label map; None where both are empty."""

    @property
    def error_ml(self) -> float:
        """Measured minus exact volume in ml; on a head without bleed, all of it is false."""
        return self.measured_ml - self.truth_ml


def run_demo(
    out: Path,
    *,
    console: Console,
    specs: Sequence[PhantomSpec] | None = None,
    model: str | Path | None = None,
) -> Path:
    """Make phantoms, segment them, measure the result against the truth, and show it as it is.

    Args:
        out: folder for index.html and results.json; older ones are replaced.
        console: where progress and the table go.
        specs: the phantoms; None for `demo_specs()`.
        model: name or folder of the model; None for the one that comes with hemoseg.

    Returns:
        Path of index.html.

    Raises:
        ArtifactError: a file of the model is damaged.
        InputError: there is no such model, or a phantom that cannot be.
        ResourceError: the folder cannot be written.
    """
    loaded = load_model(model)
    wanted = demo_specs() if specs is None else tuple(specs)
    results, parts = [], []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("phantoms", total=len(wanted))
        for spec in wanted:
            progress.update(task, description=spec.name)
            phantom = make_phantom(spec)
            result, part = _measure(phantom, loaded)
            results.append(result)
            parts.append(part)
            progress.advance(task)
    console.print(_table([row for part in parts for row in part["rows"]]))
    console.print(NEVER_TRAINED)
    return _write(out, asdict(loaded.identity), results, parts)


def _write(out: Path, identity: dict[str, Any], results: list[dict[str, Any]], parts: list[dict[str, Any]]) -> Path:
    """Write results.json and the page; the page's path."""
    write_json(
        out / "results.json",
        {
            "research_use_only": RESEARCH_USE_ONLY,
            "note": NEVER_TRAINED,
            "model": identity,
            "software": versions(),
            "phantoms": results,
        },
    )
    page = out / "index.html"
    write_text(
        page,
        render(
            "demo.html.j2",
            research_use_only=RESEARCH_USE_ONLY,
            never_trained=NEVER_TRAINED,
            model=identity,
            rows=[row for part in parts for row in part["rows"]],
            phantoms=parts,
            window=BRAIN_WINDOW,
            versions=versions(),
        ),
    )
    return page


def _measure(phantom: Phantom, model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """The phantom's entry of results.json, and what the page shows of it."""
    segmentation = model.segment(phantom.volume)
    labels = _in_phantom_classes(segmentation)
    grid = phantom.volume.grid
    scores = evaluate_pair(phantom.reference, labels, grid, TABLE)
    rows = []
    for name, number in TABLE.foreground.items():
        dice = scores[name]["dice"]
        assert not isinstance(dice, str)
        rows.append(
            Row(
                phantom=phantom.spec.name,
                site=phantom.spec.site,
                class_name=name,
                truth_ml=phantom.truth_ml[name],
                measured_ml=measure_ml(labels == number, phantom.volume),
                dice=dice,
            )
        )
    result = {
        "phantom": phantom.spec.name,
        "spec": asdict(phantom.spec),
        "truth_ml": {row.class_name: round(row.truth_ml, 3) for row in rows},
        "measured_ml": {row.class_name: round(row.measured_ml, 3) for row in rows},
        "error_ml": {row.class_name: round(row.error_ml, 3) for row in rows},
        "metrics": scores,
        "seconds": {stage: round(value, 3) for stage, value in segmentation.seconds.items()},
    }
    montage = montage_png(phantom.volume, labels, reference=phantom.reference, table=TABLE)
    shown = [row for row in rows if row.class_name != "edema" or max(row.truth_ml, row.measured_ml) >= SHOWN_FROM_ML]
    return result, {"spec": phantom.spec, "rows": shown, "montage": data_uri(montage)}


def _in_phantom_classes(segmentation: Segmentation) -> LabelMap:
    """The label map with every bleeding class as hemorrhage: models may tell kinds of bleeds apart."""
    table = segmentation.table
    labels = np.zeros(segmentation.labels.shape, dtype=np.uint8)
    for name in sorted(table.members, key=lambda name: name in table.bleeding):  # blood over edema
        number = TABLE.foreground["hemorrhage" if name in table.bleeding else "edema"]
        labels[table.mask(segmentation.labels, name)] = number
    return labels


def _table(rows: Sequence[Row]) -> Table:
    """The table for the terminal: 80 columns, so the site is read off the phantom's name."""
    table = Table(title="Simulated bleeds: exact volume and what was measured, in ml", box=SIMPLE_HEAD)
    table.add_column("phantom", no_wrap=True)
    table.add_column("class", no_wrap=True)
    for heading in ("truth", "measured", "error", "Dice"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.phantom.removeprefix("phantom-"),
            row.class_name,
            format_ml(row.truth_ml),
            format_ml(row.measured_ml),
            f"{row.error_ml:+.2f}",
            format_metric(row.dice),
        )
    return table
