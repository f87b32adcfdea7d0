"""The page of a run, from the run's own files."""

from pathlib import Path
from typing import Any

from hemoseg.artifacts import sha256_of
from hemoseg.errors import ArtifactError
from hemoseg.evaluation import brief
from hemoseg.models import Selection
from hemoseg.pipeline.calibrate import calibrate_run
from hemoseg.pipeline.card import model_warnings
from hemoseg.pipeline.conclude import read_evaluation, selected_pairs
from hemoseg.pipeline.curves import read_text
from hemoseg.pipeline.folder import RunFolder, digest_of
from hemoseg.pipeline.measured import measured_dataset
from hemoseg.pipeline.page_data import data_facts, fold_parts
from hemoseg.pipeline.page_failures import find_failures
from hemoseg.pipeline.page_pictures import data_picture, extreme_cases, overlays, training_curves
from hemoseg.pipeline.select import read_selection
from hemoseg.pipeline.splits import named
from hemoseg.plan import Plan
from hemoseg.planning import Fingerprint
from hemoseg.report import CaseRow, PlanRow, RunPictures, RunReport, versions, write_run_report
from hemoseg.settings import FOLDS, Settings


def report_stage(folder: RunFolder, plan: Plan) -> Path:
    """Write `report.html`, `report.json` and the curves of each fold; needs `evaluation.json`.

    Returns:
        The page.
    """
    selection, result = read_selection(folder), _read_extended(folder)
    settings, splits = folder.settings(), folder.splits()
    fingerprint = named(folder.fingerprint(), settings)
    dataset = measured_dataset(folder)
    cases = _case_rows(result, folder, fingerprint)
    report = RunReport(
        title=f"hemoseg run: {plan.dataset_name}",
        folds=settings.folds,
        train_cases=len({name for fold in settings.folds for name in splits.train[fold]}),
        held_out_cases=len({name for fold in settings.folds for name in splits.held_out[fold]}),
        warnings=_warnings(fingerprint, settings),
        mean=brief(result)["mean"],
        cases=cases,
        calibration=calibrate_run(result, plan.table, folds=settings.folds, dataset_name=plan.dataset_name),
        failures=find_failures(brief(result), cases, selected_pairs(folder, dataset), dataset.table, fingerprint),
        data=data_facts(folder),
        splits=fold_parts(folder),
        plan=_plan_rows(plan, selection),
        selection=selection,
        methods=read_text(folder.methods_file, remedy="run `hemoseg plan --run DIR` again: it writes what is absent"),
        provenance=_provenance(folder, plan, selection, settings),
    )
    pictures = RunPictures(
        data=data_picture(folder, fingerprint),
        overlays=overlays(folder, dataset, cases),
        curves=training_curves(folder, selection),
    )
    page: Path = write_run_report(folder.path, report, pictures)
    return page


def _read_extended(folder: RunFolder) -> dict[str, Any]:
    """The evaluation of a run.

    Raises:
        ArtifactError: it is absent, damaged, or of a version that did not look at lesions.
    """
    result = read_evaluation(folder)
    lacking = {"mean", "cases", "lesions", "empty", "definitions"} - set(result)
    if lacking:
        raise ArtifactError(
            f"lacks {', '.join(sorted(lacking))}",
            where=folder.evaluation_file,
            expected="an evaluation as this version of hemoseg writes it",
            remedy="run `hemoseg evaluate --run DIR` again",
        )
    return result


def _case_rows(result: dict[str, Any], folder: RunFolder, fingerprint: Fingerprint) -> tuple[CaseRow, ...]:
    """The held-out cases with their volumes and key metrics."""
    patients = {case.name: case.patient for case in fingerprint.cases}
    fold_of = {name: fold for fold, names in enumerate(folder.splits().held_out) for name in names}
    full = {case["case"]: case["classes"] for case in result["cases"]}
    rows = [
        CaseRow(
            case=case["case"],
            patient=patients[case["case"]],
            fold=fold_of[case["case"]],
            classes={
                name: {**{key: full[case["case"]][name][key] for key in ("reference_ml", "volume_ml")}, **metrics}
                for name, metrics in case["classes"].items()
            },
        )
        for case in sorted(brief(result)["cases"], key=lambda case: str(case["case"]))
    ]
    roles = extreme_cases(rows)
    return tuple(row.model_copy(update={"shown_as": roles.get(row.case)}) for row in rows)


def _plan_rows(plan: Plan, selection: Selection) -> tuple[PlanRow, ...]:
    """Each decision with its reason."""
    rows = [
        PlanRow(name=reason.name, value=reason.value, reason=f"{reason.why} ({reason.basis})")
        for reason in plan.reasons
    ]
    for chosen in map(plan.configuration, selection.configurations):
        size = f"{' x '.join(map(str, chosen.patch_size))} voxels (z, y, x), {chosen.batch_size} per step"
        rows.append(PlanRow(name=f"patch of {chosen.name}", value=size, reason="voxel budget of one patch"))
        features = " → ".join(map(str, chosen.features))
        why = "channels double at each stage, at most 320"
        rows.append(PlanRow(name=f"network of {chosen.name}", value=features, reason=why))
    return tuple(rows)


def _warnings(fingerprint: Fingerprint, settings: Settings) -> tuple[str, ...]:
    """What limits the result."""
    found = sorted({warning for case in fingerprint.cases for warning in case.warnings})
    ignored = sum(case.ignored_share > 0 for case in fingerprint.cases)
    return (
        *model_warnings(fingerprint),
        *fingerprint.warnings,
        *([f"{ignored} cases have voxels that nobody labeled: these count in no figure."] if ignored else []),
        f"The figures are those of fold {', '.join(map(str, settings.folds))} of {FOLDS}: each case was predicted by "
        "networks that never saw its patient.",
        *(
            [f"Each network learned from {settings.train_cases} patients, not from all that the folds have."]
            if settings.train_cases is not None
            else []
        ),
        "Held-out cases come from the same source as the training cases; other scanners were not seen.",
        *(f"The reader says of cases: {text}" for text in found[:8]),
    )


def _provenance(folder: RunFolder, plan: Plan, selection: Selection, settings: Settings) -> dict[str, Any]:
    """Versions, hashes and settings."""
    weights = {
        f"{name} fold {fold}": sha256_of(folder.weights(name, fold))
        for name, folds in selection.folds.items()
        for fold in folds
    }
    manifest = folder.model / "manifest.json"
    return {
        **versions(),
        "command": f"hemoseg run DATASET --run DIR {settings.options()}",
        "plan SHA-256": digest_of(plan),
        "data set digest": folder.fingerprint().digest,
        "weights SHA-256": weights,
        "bundle SHA-256": sha256_of(manifest) if manifest.is_file() else None,
        **settings.model_dump(mode="json", exclude={"version"}),
    }
