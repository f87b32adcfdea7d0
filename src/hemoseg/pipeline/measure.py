"""Stages before training: fingerprint, device, plan, prepared cases."""

import hashlib
import json
from pathlib import Path

from hemoseg.artifacts import sha256_of, write_model, write_text
from hemoseg.data import CaseRecord, is_current, write_case
from hemoseg.datasets import Case, Dataset, index_dataset, make_splits, read_case
from hemoseg.errors import SettingsError
from hemoseg.pipeline.folder import RunFolder, Splits
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Configuration, Plan
from hemoseg.planning import (
    CaseFacts,
    DeviceTiming,
    Fingerprint,
    StepTiming,
    candidates,
    make_plan,
    measure_case,
    methods_text,
)
from hemoseg.preprocess import prepare, prepare_labels
from hemoseg.settings import FOLDS, Settings

TIMED_STEPS = 3
"""Steps timed per candidate; their median counts."""
HOPELESS = 20
"""A candidate so slow that it would get fewer than this many steps ends the timing."""


def fingerprint_stage(folder: RunFolder, dataset: Dataset, watch: Watch) -> Fingerprint:
    """Measure every case and write `fingerprint.json`; read back if it is there.

    Raises:
        SettingsError: the folder belongs to another data set.
    """
    if folder.fingerprint_file.is_file():
        found = folder.fingerprint()
        if found.digest != dataset.digest:
            raise SettingsError(
                f"the run was begun on {found.dataset} ({found.digest[:12]}), "
                f"this is {dataset.root} ({dataset.digest[:12]})",
                where=folder.fingerprint_file,
                expected="the same data set with the same files",
                remedy="use a new --run folder for another or changed data set",
            )
        return found
    watch.begin("fingerprint", len(dataset.cases))
    facts = []
    for number, case in enumerate(dataset.cases, start=1):
        volume, labels = read_case(case, dataset.table)
        facts.append(
            measure_case(
                volume,
                labels,
                dataset.table,
                name=case.name,
                patient=case.patient,
                source_sha256=_source(case),
            )
        )
        watch.advance(number, case.name)
    fingerprint = Fingerprint(
        dataset=str(dataset.root.resolve()),
        dataset_name=dataset.name,
        digest=dataset.digest,
        labels=dataset.table.names,
        cases=tuple(facts),
    )
    write_model(folder.fingerprint_file, fingerprint)
    return fingerprint


def settings_stage(folder: RunFolder, settings: Settings) -> None:
    """Write `settings.json`, or compare with the one that is there.

    Raises:
        SettingsError: the folder's settings are others; names each difference.
    """
    if not folder.settings_file.is_file():
        write_model(folder.settings_file, settings)
        return
    difference = folder.settings().difference(settings)
    if difference:
        raise SettingsError(
            f"the run was begun with other settings: {'; '.join(difference)}",
            where=folder.settings_file,
            expected="the same settings, to resume",
            remedy="give the earlier settings to go on, or use a new --run folder",
        )


def check_device(settings: Settings) -> None:
    """Make sure that the device is there, before anything is written for it.

    Raises:
        ResourceError: it is not.
    """
    from hemoseg.inference.engines import torch_engine

    torch_engine.check_device(settings.device)


def device_stage(folder: RunFolder, fingerprint: Fingerprint, settings: Settings, watch: Watch) -> DeviceTiming:
    """Time the candidate networks and write `device.json`; read back if it is there, never measured again.

    With fixed iterations nothing is timed: the file then holds facts of the machine alone.
    """
    if folder.device_file.is_file():
        return folder.device()
    from hemoseg.training import compute_threads, supports_bf16

    bf16 = supports_bf16(settings.device)
    facts = DeviceTiming(device=settings.device, threads=compute_threads(), bf16=bf16)
    steps: list[StepTiming] = []
    if settings.budget_s is not None:
        rungs = candidates(fingerprint, settings, precision="bf16" if bf16 else "fp32")
        draft = make_plan(fingerprint, settings.model_copy(update={"budget_s": None, "iterations": 1}), facts)
        watch.begin("device", len(rungs))
        for number, rung in enumerate(rungs, start=1):
            timed = [_time(draft, item, settings.device) for item in rung]
            steps += timed
            watch.advance(number, ", ".join(f"{t.seconds:.2f} s a step" for t in timed))
            if sum(t.seconds for t in timed) * HOPELESS > settings.budget_s:
                break
    timing = facts.model_copy(update={"steps": tuple(steps)})
    write_model(folder.device_file, timing)
    return timing


def plan_stage(folder: RunFolder, settings: Settings, watch: Watch) -> Plan:
    """Decide everything: writes `device.json`, `plan.json`, `splits.json` and `methods.md`, those that are absent."""
    fingerprint = folder.fingerprint()
    dataset = index_dataset(Path(fingerprint.dataset))
    _check_unchanged(folder, dataset, fingerprint)
    if not folder.plan_file.is_file():
        device = device_stage(folder, fingerprint, settings, watch)
        write_model(folder.plan_file, make_plan(fingerprint, settings, device))
    plan = folder.plan()
    if not folder.splits_file.is_file():
        write_model(folder.splits_file, Splits.of(make_splits(dataset.cases, folds=FOLDS, seed=settings.seed)))
    if not folder.methods_file.is_file():
        write_text(folder.methods_file, methods_text(plan, fingerprint, settings))
    return plan


def preprocess_stage(folder: RunFolder, plan: Plan, watch: Watch) -> None:
    """Put every case on the grid of each configuration; what is there and current stays.

    Raises:
        SettingsError: the data set changed since the fingerprint.
    """
    fingerprint = folder.fingerprint()
    dataset = index_dataset(Path(fingerprint.dataset))
    _check_unchanged(folder, dataset, fingerprint)
    facts = {case.name: case for case in fingerprint.cases}
    stores = {folder.store(item): item for item in plan.trained_configurations}
    watch.begin("preprocess", len(dataset.cases))
    for number, case in enumerate(dataset.cases, start=1):
        _check_same_bytes(folder, case, facts[case.name])
        for store, configuration in stores.items():
            record = CaseRecord(
                case=case.name,
                source_sha256=facts[case.name].source_sha256,
                plan_sha256=grid_digest(plan, configuration),
                format=folder.settings().store,
                shape=(1, 1, 1, 1),
            )
            if not is_current(store / case.name, record):
                _prepare_one(store, plan, configuration, case, dataset, record)
        watch.advance(number, case.name)


def grid_digest(plan: Plan, configuration: Configuration) -> str:
    """SHA-256 of what a prepared case depends on: the preparation and the spacing of the configuration."""
    needed = {
        "labels": plan.labels,
        "preparation": plan.preparation.model_dump(mode="json"),
        "spacing_mm": configuration.spacing_mm,
        "seed": plan.seed if plan.preparation.pooling is not None else None,
    }
    return hashlib.sha256(json.dumps(needed, sort_keys=True).encode()).hexdigest()


def _prepare_one(
    store: Path,
    plan: Plan,
    configuration: Configuration,
    case: Case,
    dataset: Dataset,
    record: CaseRecord,
) -> None:
    volume, labels = read_case(case, dataset.table)
    prepared = prepare(volume, plan.preparation, configuration.spacing_mm)
    write_case(
        store / case.name,
        record.model_copy(update={"shape": prepared.image.shape}),
        prepared.image,
        prepare_labels(labels, prepared),
    )


def _time(draft: Plan, item: Configuration, device: str) -> StepTiming:
    from hemoseg.training import measure_step_seconds

    return StepTiming(
        configuration=item.name,
        features=item.features,
        precision=item.precision,
        seconds=measure_step_seconds(draft, item, device=device, steps=TIMED_STEPS),
    )


def _source(case: Case) -> str:
    """SHA-256 over the hashes of image and label file."""
    return hashlib.sha256((sha256_of(case.image) + sha256_of(case.label)).encode()).hexdigest()


def _check_same_bytes(folder: RunFolder, case: Case, facts: CaseFacts) -> None:
    if _source(case) != facts.source_sha256:
        raise SettingsError(
            f"image or label of {case.name} changed since it was measured",
            where=folder.fingerprint_file,
            expected="the files that the fingerprint was made from",
            remedy="use a new --run folder for a changed data set",
        )


def _check_unchanged(folder: RunFolder, dataset: Dataset, fingerprint: Fingerprint) -> None:
    if dataset.digest != fingerprint.digest:
        raise SettingsError(
            f"the data set {dataset.root} changed since it was measured",
            where=folder.fingerprint_file,
            expected=f"the files with digest {fingerprint.digest[:12]}, found {dataset.digest[:12]}",
            remedy="use a new --run folder for a changed data set",
        )
