"""All findings of a data set, from what was measured of it. Pure: facts in, findings out."""

from collections.abc import Iterator, Sequence

from hemoseg.datasets.doctor.cohort import judge_cohort
from hemoseg.datasets.doctor.examine import CaseFacts
from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.doctor.judge_files import judge_files
from hemoseg.datasets.doctor.judge_image import find_problem, judge_image
from hemoseg.datasets.doctor.judge_label import judge_label
from hemoseg.datasets.doctor.kinds import KINDS, SEVERITIES
from hemoseg.datasets.doctor.survey import Survey
from hemoseg.datasets.index import shorten


def diagnose(survey: Survey, cases: Sequence[CaseFacts]) -> tuple[Finding, ...]:
    """Everything found, errors first, then in the order of kinds and of cases.

    Args:
        survey: the folder.
        cases: what was measured of its cases, in their order.
    """
    found = [*survey.findings, *_record(survey)]
    bounds = survey.record.bounds_hu if survey.record is not None else None
    in_hu = {case.name for case in cases if case.image is not None and find_problem(case.image, bounds) is None}
    for case in cases:
        notes = survey.record.cases.get(case.name) if survey.record is not None else None
        filled = frozenset(notes.filled_slices) if notes is not None else frozenset()
        found += judge_files(case)
        found += judge_image(case, bounds_hu=bounds, filled=filled)
        found += judge_label(case, survey.table, notes, is_hu=case.name in in_hu)
    found += judge_cohort(cases, survey.table, in_hu=in_hu)
    order = {code: number for number, code in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda item: (SEVERITIES.index(item.kind.severity), order[item.code])))


def _record(survey: Survey) -> Iterator[Finding]:
    """What hemoseg.json says of the data set as such."""
    record = survey.record
    if record is None:
        return
    if record.bounds_hu is not None:
        low, high = record.bounds_hu
        yield Finding(code="pseudo-hu", found=f"HU rebuilt from windowed pictures, {low:g} to {high:g}")
    surplus = sorted(set(record.cases) - {entry.name for entry in survey.entries})
    if surplus:
        yield Finding(
            code="record", found=f"hemoseg.json names {len(surplus)} cases that are not there: {shorten(surplus)}"
        )
    ignored = sorted(name for name, notes in record.cases.items() if notes.ignored_slices)
    if ignored and survey.table is not None and survey.table.ignore is None:
        found = f"{len(ignored)} cases with ignored slices, but no ignore in dataset.json: {shorten(ignored)}"
        yield Finding(code="record", found=found)
