"""The shell of the data doctor: every case measured, several at a time; the page; the repaired data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hemoseg.artifacts import link_or_copy, whole_file, whole_folder
from hemoseg.datasets.doctor import (
    CaseFacts,
    CheckResult,
    Examination,
    Finding,
    Mending,
    Repair,
    Survey,
    count_rows,
    diagnose,
    examine_case,
    make_rows,
    mend_case,
    mend_description,
    survey_dataset,
)
from hemoseg.datasets.index import DESCRIPTION, IMAGES, LABELS, PARTS
from hemoseg.errors import InputError
from hemoseg.pipeline.executors import executor_for
from hemoseg.pipeline.watch import Watch
from hemoseg.report import RESEARCH_USE_ONLY
from hemoseg.scale import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """A data set that was checked."""

    survey: Survey
    """Its folder."""
    cases: tuple[CaseFacts, ...]
    """What was measured of its cases."""
    findings: tuple[Finding, ...]
    """What was found."""

    @property
    def result(self) -> CheckResult:
        """The findings as they are shown."""
        rows = make_rows(self.findings)
        return CheckResult(
            research_use_only=RESEARCH_USE_ONLY,
            dataset=self.survey.root.resolve().name,
            cases=len(self.cases),
            counts=count_rows(rows),
            rows=rows,
        )


def check_dataset(root: Path, watch: Watch) -> Checkup:
    """Read every case of a data set and find what is wrong; a broken one does not keep it from the others.

    Args:
        root: folder in nnU-Net v2 raw layout.
        watch: told of the progress.

    Raises:
        InputError: there is no such folder.
        ResourceError: a worker failed twice on a case, or ran out of time; names the case.
    """
    survey = survey_dataset(root)
    watch.begin("check", len(survey.entries))
    found: dict[str, CaseFacts] = {}

    def tell(name: str, facts: CaseFacts) -> None:
        found[name] = facts
        watch.advance(len(found), name)

    jobs = [Job(name=entry.name, argument=Examination(entry=entry, table=survey.table)) for entry in survey.entries]
    executor_for(_files(survey), jobs=len(jobs)).run(examine_case, jobs, done=tell)
    cases = tuple(found[entry.name] for entry in survey.entries)
    return Checkup(survey=survey, cases=cases, findings=diagnose(survey, cases))


def fix_dataset(checkup: Checkup, out: Path, watch: Watch) -> tuple[Repair, ...]:
    """Write a new data set with all repairs that are certain; files that need none are linked where that can be.

    Args:
        checkup: the data set and its findings.
        out: folder of the new one; it appears whole or not at all.
        watch: told of the progress.

    Returns:
        What was done.

    Raises:
        InputError: the folder is there already, or lies inside the data set.
        ResourceError: the disk is full or the folder cannot be written.
    """
    root = checkup.survey.root.resolve()
    _check_target(root, out.resolve())
    done: list[Repair] = []
    with whole_folder(out) as folder:
        works = _mendings(checkup, folder)
        watch.begin("fix", len(works))
        count = 0

        def tell(name: str, repairs: tuple[Repair, ...]) -> None:
            nonlocal count
            count += 1
            done.extend(repairs)
            watch.advance(count, name)

        jobs = [Job(name=work.entry.name, argument=work) for work in works]
        executor_for(_files(checkup.survey), jobs=len(jobs)).run(mend_case, jobs, done=tell)
        _link_rest(root, folder)
        done += _mend_count(checkup, folder)
    return tuple(sorted(done, key=lambda repair: (repair.case, repair.code)))


def _check_target(root: Path, out: Path) -> None:
    if out.exists() or out == root or root in out.parents:
        raise InputError(
            "is there already" if out.exists() else "lies inside the data set",
            where=out,
            expected="a new folder beside the data set",
            remedy="choose another folder for --fix",
        )


def _files(survey: Survey) -> list[Path]:
    return [path for entry in survey.entries for path in (entry.image, entry.label) if path is not None]


def _mendings(checkup: Checkup, folder: Path) -> list[Mending]:
    """The cases that something is to be repaired of."""
    codes: dict[str, set[str]] = {}
    for item in checkup.findings:
        for name in item.cases if item.kind.repair else ():
            codes.setdefault(name, set()).add(item.code)
    return [
        Mending(
            entry=entry,
            codes=frozenset(codes[entry.name]),
            table=checkup.survey.table,
            image=folder / IMAGES / (entry.image.name if entry.image else entry.name),
            label=folder / LABELS / (entry.label.name if entry.label else entry.name),
        )
        for entry in checkup.survey.entries
        if entry.name in codes
    ]


def _link_rest(root: Path, folder: Path) -> None:
    """Every file of a data set that was not written anew, hidden ones left out; its parts may be links to folders."""
    tops = [root, *(top for part in PARTS if (top := root / part).is_symlink())]
    for path in sorted(path for top in tops for path in top.rglob("*")):
        inside = path.relative_to(root)
        target = folder / inside
        if path.is_file() and not target.exists() and not any(part.startswith(".") for part in inside.parts):
            link_or_copy(path, target)


def _mend_count(checkup: Checkup, folder: Path) -> Sequence[Repair]:
    wrong = [item for item in checkup.findings if item.code == "case-count"]
    if not wrong:
        return ()
    path, entries = folder / DESCRIPTION, checkup.survey.entries
    count = sum(entry.image is not None and entry.label is not None for entry in entries)
    text = mend_description(path.read_bytes(), count)
    with whole_file(path) as temporary:  # takes the place of the link, whose other name stays as it is
        temporary.write_bytes(text)
    return [Repair(case="", code="case-count", done=f"{DESCRIPTION}: numTraining is {count}")]
