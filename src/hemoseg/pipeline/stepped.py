"""The pass over the data that plans with steps before nnU-Net need: what those steps make of every case."""

from dataclasses import dataclass
from pathlib import Path

from hemoseg.artifacts import read_model, write_model
from hemoseg.datasets import Case, index_dataset, read_case, source_of
from hemoseg.errors import ArtifactError
from hemoseg.labels import LabelTable
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measured import changed
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Preparation
from hemoseg.planning import Fingerprint, SteppedCase, SteppedFacts, needs_pass, preparation_digest, stepped_preparation
from hemoseg.preprocess import pre_steps
from hemoseg.scale import Job, default_workers, make_executor
from hemoseg.settings import Settings

REMEDY = "delete it, and run `hemoseg plan --run DIR` again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One case to take through the steps."""

    case: Case
    """Its files."""
    source_sha256: str
    """SHA-256 of its files, as measured."""
    table: LabelTable
    """The data set's classes."""
    preparation: Preparation
    """The steps."""
    seed: int
    """Seed of pooling by chance."""
    record: Path
    """File of its result."""


def stepped_stage(folder: RunFolder, settings: Settings, watch: Watch) -> SteppedFacts | None:
    """Take every case through the steps before nnU-Net and write `stepped.json`; None where the plan needs none.

    Cases that were done before a kill are not done again.

    Raises:
        InputError: steps that the data do not allow, or a case that changed since it was measured.
        ResourceError: a worker failed twice on a case, or ran out of time or disk; names the case.
    """
    if not needs_pass(settings):
        return None
    fingerprint = folder.fingerprint()
    preparation = stepped_preparation(fingerprint, settings)
    digest = preparation_digest(preparation)
    path = folder.path / "stepped.json"
    if path.exists():
        found = read_model(path, SteppedFacts, remedy=REMEDY)
        if found.preparation_sha256 == digest:
            return found
    cases = _measure(folder, fingerprint, preparation, settings.seed, watch)
    facts = SteppedFacts(preparation_sha256=digest, cases=cases)
    write_model(path, facts)
    return facts


def _measure(
    folder: RunFolder, fingerprint: Fingerprint, preparation: Preparation, seed: int, watch: Watch
) -> tuple[SteppedCase, ...]:
    """Every case after the steps, in the fingerprint's order."""
    dataset = index_dataset(Path(fingerprint.dataset))
    sources = {case.name: case.source_sha256 for case in fingerprint.cases}
    watch.begin("steps", len(dataset.cases))
    found: dict[str, SteppedCase] = {}

    def tell(name: str, result: SteppedCase) -> None:
        found[name] = result
        watch.advance(len(found), name)

    jobs = [
        Job(
            name=case.name,
            argument=Work(
                case=case,
                source_sha256=sources[case.name],
                table=dataset.table,
                preparation=preparation,
                seed=seed,
                record=folder.path / "stepped" / f"{case.name}.json",
            ),
        )
        for case in dataset.cases
    ]
    make_executor(default_workers(), log=folder.workers_log).run(step_one, jobs, done=tell)
    return tuple(found[case.name] for case in fingerprint.cases)


def step_one(work: Work) -> SteppedCase:
    """Take one case through the steps and keep the result; read back if it is there and current.

    Raises:
        SettingsError: its files changed since they were measured.
    """
    digest = preparation_digest(work.preparation)
    done = _current(work, digest)
    if done is not None:
        return done
    if source_of(work.case) != work.source_sha256:
        raise changed(work.case.name, work.record)
    volume, labels = read_case(work.case, work.table)
    stepped = pre_steps(volume, labels, work.preparation, seed=work.seed, ignore=work.table.ignore)
    result = SteppedCase(
        name=work.case.name,
        source_sha256=work.source_sha256,
        preparation_sha256=digest,
        spacing_mm=stepped.spacing_mm,
        shape=stepped.shape,
        relative_size=stepped.cropped_share,
    )
    write_model(work.record, result)
    return result


def _current(work: Work, digest: str) -> SteppedCase | None:
    """The result of an earlier run, if it is of these steps and files."""
    if not work.record.is_file():
        return None
    try:
        found = read_model(work.record, SteppedCase, remedy=REMEDY)
    except ArtifactError:
        return None
    return found if (found.preparation_sha256, found.source_sha256) == (digest, work.source_sha256) else None
