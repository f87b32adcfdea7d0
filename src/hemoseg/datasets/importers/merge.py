"""Two data sets as one, in the classes that both annotate or in blood of any kind.

A class that one of them does not annotate may be there and unmarked in its cases; as background it would teach a
network to miss it. So classes are joined that every case annotates, and nothing else.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hemoseg.datasets.importers.classes import HEMORRHAGE, annotated, in_order, marks_all_blood
from hemoseg.datasets.importers.core import NiftiScan, SourceCase, SourceSet, check_names, nifti_files, scans_named
from hemoseg.datasets.index import Dataset, shorten
from hemoseg.datasets.sources import ANY, CaseNotes, DatasetSources, Detection, Source
from hemoseg.errors import InputError
from hemoseg.labels import KNOWN

NOT_RECORDED = "not recorded"


class MergeRequest(BaseModel):
    """What the user asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Path
    """A data set."""
    second: Path
    """Another."""
    to_any: bool = False
    """Whether all kinds of blood become one class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One of the two, with its record."""

    dataset: Dataset
    record: DatasetSources
    annotates: frozenset[str]
    """What each of its cases annotates."""

    @property
    def classes(self) -> frozenset[str]:
        """The same by class keys, where `hemorrhage` stands for any blood."""
        return frozenset(HEMORRHAGE if name == ANY else name for name in self.annotates)


def discover_merge(first: Dataset, second: Dataset, *, to_any: bool) -> SourceSet:
    """The cases of both.

    Args:
        first: a data set.
        second: another.
        to_any: put all kinds of blood into one class; everything else becomes background.

    Raises:
        InputError: regions in one of them, no shared class, blood that may be unmarked, a class of unknown meaning,
            case names that are in both, or pseudo-HU that share no range.
    """
    for dataset in (first, second):
        _check_no_regions(dataset)
    sides = (_side(first), _side(second))
    classes = (HEMORRHAGE,) if to_any else _shared(sides)
    for side in sides:
        _check_blood(side, classes, to_any=to_any)
    sources = tuple(dict.fromkeys(source for side in sides for source in side.record.sources))
    cases = tuple(case for side in sides for case in _cases(side, classes, sources))
    names = [case.name for case in cases]
    both = sorted({name for name in names if names.count(name) > 1})
    if both:
        raise _refused(
            f"{len(both)} case names are in both: {shorten(both)}",
            sides,
            expected="case names that are in one of them alone",
            remedy="rename the cases of one, or leave out the scans that are in both",
        )
    check_names(cases, where=first.root)
    bounds, mixed = _bounds(sides)
    patients = [{case.patient for case in cases if case.name in _names(side)} for side in sides]
    known = sorted(patients[0] & patients[1])
    together = f"{len(known)} patients are in both and count as one: {shorten(known)}"
    return SourceSet(
        sources=sources,
        classes=classes,
        ending=first.file_ending,
        cases=cases,
        intensity="hu" if bounds is None else "pseudo-hu",
        bounds_hu=bounds,
        warnings=(*(text for side in sides for text in side.record.warnings), *mixed, *((together,) if known else ())),
    )


def _check_no_regions(dataset: Dataset) -> None:
    """Make sure that every class has a number of its own, to be given another.

    Raises:
        InputError: there are regions.
    """
    if dataset.table.regions:
        overlapping = ", ".join(f"{name} {list(numbers)}" for name, numbers in dataset.table.members.items())
        raise InputError(
            f"{dataset.name} has regions: {overlapping}",
            where=dataset.root,
            expected="one number for each class, which another can replace",
            remedy="give each label number a class of its own in dataset.json, merge, and write the regions there",
        )


def _side(dataset: Dataset) -> _Side:
    record = dataset.sources
    own = annotated(dataset.table.foreground)
    if record is None or not record.sources:
        source = Source(name=dataset.name, license=NOT_RECORDED, citation="")
        record = (record or DatasetSources(sources=())).model_copy(update={"sources": (source,)})
    noted = [record.cases[case.name].annotates if case.name in record.cases else own for case in dataset.cases]
    return _Side(dataset=dataset, record=record, annotates=frozenset.intersection(*map(frozenset, noted)))


def _shared(sides: tuple[_Side, _Side]) -> tuple[str, ...]:
    shared = in_order(sides[0].classes & sides[1].classes)
    if shared:
        return shared
    texts = [f"{side.dataset.name}: {', '.join(in_order(side.classes)) or 'none'}" for side in sides]
    any_is_possible = all(marks_all_blood(side.annotates) for side in sides)
    raise _refused(
        f"no class that every case annotates ({'; '.join(texts)})",
        sides,
        expected="a shared class",
        remedy="pass --to any: both mark all blood"
        if any_is_possible
        else "train on each alone: blood would be unmarked in one of them",
    )


def _check_blood(side: _Side, classes: tuple[str, ...], *, to_any: bool) -> None:
    """Make sure that a joined class `hemorrhage` marks all blood, and nothing else."""
    if HEMORRHAGE not in classes:
        return
    if to_any and not marks_all_blood(side.annotates):
        raise _refused(
            f"{side.dataset.name} annotates {', '.join(sorted(side.annotates)) or 'nothing'} in every case: other "
            "blood may be unmarked",
            (side,),
            expected="every bleeding voxel marked: the class hemorrhage, or all of edh, iph, ivh, sah, sdh",
            remedy="merge without --to any if there are shared classes; if all blood is marked all the same, say so in "
            f"hemoseg.json with `annotates: [{ANY!r}]`",
        )
    unknown = [name for name in side.dataset.table.bleeding if name not in KNOWN]
    if unknown:
        raise _refused(
            f"{side.dataset.name} has classes without an agreed meaning: {', '.join(unknown)}",
            (side,),
            expected=f"classes of which it is known whether they are blood: {', '.join(sorted(KNOWN))}",
            remedy="rename them in dataset.json",
        )


def _numbers(side: _Side, classes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(old number, new number): what is not joined becomes background, and other blood `hemorrhage` if that is."""
    table = side.dataset.table
    new = {name: number for number, name in enumerate(classes, start=1)}
    numbers = [(0, 0)]
    for name, number in table.foreground.items():
        rest = new.get(HEMORRHAGE, 0) if name in table.bleeding else 0
        numbers.append((number, new.get(name, rest)))
    if table.ignore is not None:
        numbers.append((table.ignore, len(classes) + 1))
    return tuple(numbers)


def _cases(side: _Side, classes: tuple[str, ...], sources: tuple[Source, ...]) -> list[SourceCase]:
    """All scans of one side, held back ones included."""
    dataset, record, cases = side.dataset, side.record, []
    patients = {case.name: case.patient for case in dataset.cases}
    trained = {case.name: NiftiScan(image=case.image, mask=case.label) for case in dataset.cases}
    for name, scan in {**trained, **_held_back(dataset)}.items():
        notes, detection = record.cases.get(name), record.detection.get(name)
        place = notes.source if notes is not None else detection.source if detection is not None else 0
        cases.append(
            SourceCase(
                name=name,
                patient=patients.get(name, name if detection is None else detection.patient),
                scan=scan,
                numbers=_numbers(side, classes),
                annotates=annotated(classes),
                source=sources.index(record.sources[place]),
                seen=None if detection is None else detection.slices,
                held_back=name not in trained,
                is_finished=True,
                ignored_slices=() if notes is None else notes.ignored_slices,
                filled_slices=_filled(notes, detection),
            )
        )
    return cases


def _filled(notes: CaseNotes | None, detection: Detection | None) -> tuple[int, ...]:
    known = notes if notes is not None else detection
    return () if known is None else known.filled_slices


def _held_back(dataset: Dataset) -> dict[str, NiftiScan]:
    """{name: scan} of imagesTs, with the mask of labelsTs where there is one."""
    images, labels = dataset.root / "imagesTs", dataset.root / "labelsTs"
    masks = nifti_files(labels) if labels.is_dir() else {}
    names = scans_named(images) if images.is_dir() else {}
    return {name: NiftiScan(image=path, mask=masks.get(name)) for name, path in names.items()}


def _names(side: _Side) -> set[str]:
    return {case.name for case in side.dataset.cases} | set(_held_back(side.dataset))


def _bounds(sides: tuple[_Side, _Side]) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """The range that all numbers share, None if all are true HU; and what is to be said of it."""
    ranges = [side.record.bounds_hu for side in sides]
    known = [bounds for bounds in ranges if bounds is not None]
    if not known:
        return None, ()
    low, high = max(bounds[0] for bounds in known), min(bounds[1] for bounds in known)
    if not low < high:
        raise _refused(
            f"pseudo-HU in {known[0]} and in {known[1]}",
            sides,
            expected="ranges that overlap",
            remedy="train on each alone",
        )
    if ranges[0] == ranges[1]:
        return (low, high), ()
    texts = [
        f"{side.dataset.name} {'true HU' if bounds is None else 'pseudo-HU'}"
        for side, bounds in zip(sides, ranges, strict=True)
    ]
    return (low, high), (
        f"{' and '.join(texts)} are joined: the whole counts as pseudo-HU, clipped to [{low:g}, {high:g}]",
    )


def _refused(found: str, sides: tuple[_Side, ...], *, expected: str, remedy: str) -> InputError:
    where = " and ".join(str(side.dataset.root) for side in sides)
    return InputError(found, where=where, expected=expected, remedy=remedy)
