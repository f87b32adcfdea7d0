"""The stage that puts every case on the grid of each configuration, several cases at a time."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from hemoseg.data import CaseRecord, check_format, is_current, write_case
from hemoseg.datasets import Case, read_case, source_of
from hemoseg.labels import LabelTable
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measured import changed, measured_dataset
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Configuration, Plan, Preparation
from hemoseg.preprocess import prepare_case
from hemoseg.scale import Job, default_workers, make_executor

ALGORITHM = 3
"""Version of what `preprocess` computes: a change of its numbers makes stored cases stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one grid of a case is stored, and which grid it is."""

    store: Path
    """Folder of all cases on this grid."""
    spacing_mm: tuple[float | None, float, float]
    """Spacing (z, y, x) of the grid."""
    record: CaseRecord
    """What the stored case has to say of itself, its shape aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One case to prepare."""

    case: Case
    """Its files."""
    table: LabelTable
    """The data set's classes."""
    preparation: Preparation
    """The plan's steps."""
    seed: int
    """Seed of pooling by chance."""
    targets: tuple[Target, ...]
    """The grids."""
    run: Path
    """The run's fingerprint file, for errors."""


def preprocess_stage(folder: RunFolder, plan: Plan, watch: Watch, *, cluster: str | None = None) -> None:
    """Put every case on the grid of each configuration; what is there and current stays.

    Args:
        folder: the run.
        plan: its plan.
        watch: told each case.
        cluster: address of a dask scheduler whose workers do it; None for processes of this machine.

    Raises:
        SettingsError: the data set changed since the fingerprint.
        ResourceError: a worker failed twice on a case, or ran out of time or disk; names the case.
    """
    folder = RunFolder(folder.path.resolve())  # other machines know no folder that paths begin in
    dataset = measured_dataset(folder)
    check_format(folder.settings().store)
    sources = {case.name: case.source_sha256 for case in folder.fingerprint().cases}
    grids = {folder.store(item): item for item in plan.trained_configurations}
    watch.begin("preprocess", len(dataset.cases))
    done = 0

    def tell(name: str, _result: None) -> None:
        nonlocal done
        done += 1
        watch.advance(done, name)

    jobs = []
    for case in dataset.cases:
        targets = tuple(
            Target(
                store=store,
                spacing_mm=item.spacing_mm,
                record=CaseRecord(
                    case=case.name,
                    source_sha256=sources[case.name],
                    plan_sha256=grid_digest(plan, item),
                    format=folder.settings().store,
                    shape=(1, 1, 1, 1),
                ),
            )
            for store, item in grids.items()
        )
        work = Work(
            case=case,
            table=dataset.table,
            preparation=plan.preparation,
            seed=plan.seed,
            targets=targets,
            run=folder.fingerprint_file,
        )
        jobs.append(Job(name=case.name, argument=work))
    make_executor(default_workers(), log=folder.workers_log, cluster=cluster).run(prepare_one, jobs, done=tell)


def prepare_one(work: Work) -> None:
    """Prepare one case on every grid where it is not current yet. Done twice, it ends the same.

    Raises:
        SettingsError: its files changed since they were measured.
    """
    source = work.targets[0].record.source_sha256
    if source_of(work.case) != source:
        raise changed(work.case.name, work.run)
    missing = [target for target in work.targets if not is_current(target.store / work.case.name, target.record)]
    if not missing:
        return
    volume, labels = read_case(work.case, work.table)
    for target in missing:
        prepared, there = prepare_case(
            volume, labels, work.preparation, target.spacing_mm, seed=work.seed, ignore=work.table.ignore
        )
        properties = prepared.properties.model_dump(mode="json")
        record = target.record.model_copy(update={"shape": prepared.image.shape, "properties": properties})
        write_case(target.store / work.case.name, record, prepared.image, there)


def grid_digest(plan: Plan, configuration: Configuration) -> str:
    """SHA-256 of what a prepared case depends on: the preparation, the spacing, and the seed where chance is in it."""
    pooling = plan.preparation.pooling
    needed = {
        "algorithm": ALGORITHM,
        "labels": plan.labels,
        "preparation": plan.preparation.model_dump(mode="json"),
        "spacing_mm": configuration.spacing_mm,
        "seed": plan.seed if pooling is not None and pooling.kind == "random-area" else None,
    }
    return hashlib.sha256(json.dumps(needed, sort_keys=True).encode()).hexdigest()
