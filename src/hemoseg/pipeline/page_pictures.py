"""Pictures of the page of a run."""

from collections.abc import Sequence
from statistics import fmean

from hemoseg.datasets import Dataset, read_case, read_record
from hemoseg.io import read_labels
from hemoseg.models import Selection
from hemoseg.pipeline.curves import write_curves
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.select import selected_file
from hemoseg.planning import Fingerprint
from hemoseg.report import CaseRow, Overlay, dataset_png, montage_png


def data_picture(folder: RunFolder, fingerprint: Fingerprint) -> bytes:
    """Histograms of the data set; that of HU needs `facts/`, which a user may have deleted."""
    names = [case.name for case in fingerprint.cases]
    is_there = all((folder.facts / f"{name}.npy").is_file() for name in names)
    png: bytes = dataset_png(
        {name: [ml for case in fingerprint.cases for ml in case.lesions_ml[name]] for name in fingerprint.labels[1:]},
        [case.slice_interval_mm[1] for case in fingerprint.cases],
        [case.spacing_mm[2] for case in fingerprint.cases],
        [read_record(folder.facts, name)[1][0] for name in names] if is_there else None,
    )
    return png


def training_curves(folder: RunFolder, selection: Selection) -> list[tuple[str, bytes]]:
    """The curves of each fold, also written as `curves.png` beside its log."""
    networks = [(name, fold) for name, folds in selection.folds.items() for fold in folds]
    return [(f"{name}, fold {fold}", write_curves(folder, name, fold)) for name, fold in networks]


def extreme_cases(cases: Sequence[CaseRow]) -> dict[str, str]:
    """{case: `best`, `median` or `worst` by mean Dice over its classes}, the best first; each case once."""
    scored = [(_mean_dice(case), case.case) for case in cases]
    ranked = sorted((score, name) for score, name in scored if score is not None)
    if not ranked:
        return {}
    places = {len(ranked) // 2: "median", 0: "worst", len(ranked) - 1: "best"}
    return {ranked[place][1]: places[place] for place in sorted(places, reverse=True)}


def overlays(folder: RunFolder, dataset: Dataset, cases: Sequence[CaseRow]) -> list[Overlay]:
    """Predictions over references of the cases that are shown, in the order of `extreme_cases`."""
    files, table = {case.name: case for case in dataset.cases}, dataset.table.of_predictions
    rows = {case.case: case for case in cases}
    pictures = []
    for name, role in extreme_cases(cases).items():
        volume, reference = read_case(files[name], dataset.table)
        path = selected_file(folder, name)
        labels, _ = read_labels(path)
        png = montage_png(
            volume,
            table.check(labels, where=str(path)),
            reference=dataset.table.without_ignored(reference),
            table=table,
        )
        caption = f"{role}: {name}, mean Dice {_mean_dice(rows[name]):.3f}"
        pictures.append(Overlay(case=name, caption=caption, png=png))
    return pictures


def _mean_dice(case: CaseRow) -> float | None:
    values = [metrics["dice"] for metrics in case.classes.values()]
    numbers = [value for value in values if isinstance(value, float)]
    return fmean(numbers) if numbers else None
