"""The page of a run, from the run's own files."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from hemoseg.artifacts import whole_file
from hemoseg.datasets import index_dataset, read_case
from hemoseg.errors import ArtifactError
from hemoseg.evaluation import brief
from hemoseg.io import read_labels
from hemoseg.models import Selection
from hemoseg.pipeline.card import model_warnings
from hemoseg.pipeline.conclude import read_evaluation
from hemoseg.pipeline.folder import RunFolder, digest_of
from hemoseg.pipeline.select import read_selection, selected_file
from hemoseg.plan import Plan
from hemoseg.planning import Fingerprint
from hemoseg.report import RunPage, curves_png, montage_png, versions, write_run_report
from hemoseg.settings import FOLDS, Settings


def report_stage(folder: RunFolder, plan: Plan) -> Path:
    """Write `report.html` and the curves of each fold; needs `evaluation.json`."""
    selection = read_selection(folder)
    result = brief(read_evaluation(folder))
    settings = folder.settings()
    splits = folder.splits()
    fingerprint = folder.fingerprint()
    held_out = {name for fold in settings.folds for name in splits.held_out[fold]}
    trained = {name for fold in settings.folds for name in splits.train[fold]}
    page = RunPage(
        title=f"hemoseg run: {plan.dataset_name}",
        dataset_name=plan.dataset_name,
        cases=len(fingerprint.cases),
        train_cases=len(trained),
        held_out_cases=len(held_out),
        plan_rows=_plan_rows(plan, selection),
        mean=result["mean"],
        per_case={case["case"]: case["classes"] for case in result["cases"]},
        notes=_notes(folder, settings),
        sources=[(source.name, source.license, source.citation) for source in fingerprint.sources],
        curves=_curves(folder, selection),
        montages=_montages(folder, plan, result),
        methods=_read_text(folder.methods_file, remedy="run `hemoseg plan --run DIR` again: it writes what is absent"),
        provenance={
            **versions(),
            "plan SHA-256": digest_of(plan),
            "data set digest": fingerprint.digest,
            **settings.model_dump(mode="json", exclude={"version"}),
        },
    )
    target = folder.path / "report.html"
    write_run_report(target, page)
    return target


def _plan_rows(plan: Plan, selection: Selection) -> list[tuple[str, str, str]]:
    """(name, value, reason) of each decision."""
    rows = [(reason.name, reason.value, f"{reason.why} ({reason.basis})") for reason in plan.reasons]
    for chosen in map(plan.configuration, selection.configurations):
        size = " x ".join(map(str, chosen.patch_size))
        rows.append(("patch", f"{size} voxels (z, y, x), {chosen.batch_size} per step", "voxel budget of one patch"))
        rows.append(("network", " → ".join(map(str, chosen.features)), "channels double at each stage, at most 320"))
    rows.append(("selection", selection.title, selection.reason))
    return [*rows, *(("rule after the networks", str(rule), "helps") for rule in selection.postprocessing)]


def _notes(folder: RunFolder, settings: Settings) -> list[str]:
    """What limits the result."""
    fingerprint = folder.fingerprint()
    found = sorted({warning for case in fingerprint.cases for warning in case.warnings})
    return [
        *model_warnings(fingerprint),
        *fingerprint.warnings,
        *_ignored(fingerprint),
        f"The figures are those of fold {', '.join(map(str, settings.folds))} of {FOLDS}: each case was predicted by "
        "networks that never saw its patient.",
        "Held-out cases come from the same source as the training cases; other scanners were not seen.",
        *(f"The reader says of cases: {text}" for text in found[:8]),
    ]


def _read_text(path: Path, *, remedy: str) -> str:
    """A text of an earlier stage.

    Raises:
        ArtifactError: it is absent or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"cannot be read: {error}", where=path, expected="the file as the run wrote it", remedy=remedy
        ) from error


def _log_rows(log: Path) -> list[dict[str, Any]]:
    """The lines of a training's log.

    Raises:
        ArtifactError: it is absent or damaged.
    """
    remedy = "delete the fold's folder to train it anew"
    try:
        return [json.loads(line) for line in _read_text(log, remedy=remedy).splitlines()]
    except ValueError as error:
        raise ArtifactError(f"no JSON: {error}", where=log, expected="one object a line", remedy=remedy) from error


def _ignored(fingerprint: Fingerprint) -> list[str]:
    """What is said of voxels that nobody labeled."""
    count = sum(case.ignored_share > 0 for case in fingerprint.cases)
    return [f"{count} cases have voxels that nobody labeled: these count in no figure."] if count else []


def _curves(folder: RunFolder, selection: Selection) -> list[tuple[str, bytes]]:
    """The curves of each fold, also written as `curves.png` beside its log."""
    pictures = []
    for name, folds in selection.folds.items():
        for fold in folds:
            log = folder.fold(name, fold) / "train.jsonl"
            rows = _log_rows(log)
            png = curves_png(rows, f"{name}, fold {fold}")
            with whole_file(folder.fold(name, fold) / "curves.png") as temporary:
                temporary.write_bytes(png)
            pictures.append((f"{name}, fold {fold}", png))
    return pictures


def _montages(folder: RunFolder, plan: Plan, result: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Best, median and worst held-out case by mean Dice, prediction over reference."""
    scored = [(_mean_dice(case["classes"]), case["case"]) for case in result["cases"]]
    ranked = sorted((score, name) for score, name in scored if score is not None)
    if not ranked:
        return []
    dataset = index_dataset(Path(folder.fingerprint().dataset))
    cases = {case.name: case for case in dataset.cases}
    places = {"worst": 0, "median": len(ranked) // 2, "best": len(ranked) - 1}
    pictures = []
    for title, place in sorted(places.items(), key=lambda item: -item[1]):
        score, name = ranked[place]
        volume, reference = read_case(cases[name], dataset.table)
        labels, _ = read_labels(selected_file(folder, name))
        reference = dataset.table.without_ignored(reference)
        png = montage_png(volume, plan.table.check(labels, where=name), reference=reference, table=plan.table)
        pictures.append((f"{title}: {name}, mean Dice {score:.3f}", png))
    return pictures


def _mean_dice(classes: dict[str, dict[str, Any]]) -> float | None:
    values = [metrics["dice"] for metrics in classes.values() if metrics["dice"] is not None]
    return fmean(values) if values else None
