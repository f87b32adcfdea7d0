"""The shell that puts the cases of a source, or of two data sets, into a new data set.

Cases are written into a hidden folder beside the new data set, several at a time; the data set appears when it is
whole. Killed at any time, the same command goes on where it was.
"""

import csv
import io
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from hemoseg.artifacts import sweep, write_json, write_model, write_text
from hemoseg.datasets import DatasetSources, Detection, index_dataset
from hemoseg.datasets.importers import (
    FORMATS,
    ImportRequest,
    MergeRequest,
    Placed,
    Placing,
    SourceSet,
    discover_merge,
    place_case,
)
from hemoseg.datasets.index import DESCRIPTION, IMAGES, LABELS, PARTS, PATIENTS, shorten
from hemoseg.datasets.sources import SOURCES
from hemoseg.errors import SettingsError
from hemoseg.labels import IGNORE
from hemoseg.pipeline.lock import locked
from hemoseg.pipeline.watch import Watch
from hemoseg.scale import LIMIT_S, Job, Threads, default_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was written."""

    record: DatasetSources
    """The record beside dataset.json."""
    labeled: int
    """Cases in imagesTr."""
    held_back: int
    """Scans in imagesTs."""
    linked: int
    """Files that share their bytes with the source."""
    written: int
    """Image and label files that were written anew."""


def import_stage(request: ImportRequest, target: Path, watch: Watch) -> Built:
    """Import a source into a new data set.

    Raises:
        InputError: the source has another layout or defects that importing must not hide.
        SettingsError: the target is there already.
        ResourceError: a case or the disk failed, or another import into the target is under way.
    """
    _check_target(target)
    found = FORMATS[request.format](request.model_copy(update={"source": request.source.resolve()}))
    return _build(found, target, watch, repair_frames=request.repair_frames)


def merge_stage(request: MergeRequest, target: Path, watch: Watch) -> Built:
    """Join two data sets into a new one.

    Raises:
        InputError: they cannot be joined without leaving blood unmarked, or share case names.
        SettingsError: the target is there already.
        ResourceError: a case or the disk failed, or another import into the target is under way.
    """
    _check_target(target)
    first, second = index_dataset(request.first.resolve()), index_dataset(request.second.resolve())
    return _build(discover_merge(first, second, to_any=request.to_any), target, watch, repair_frames=False)


def _work_folder(target: Path) -> Path:
    """The hidden folder beside the target in which it is made."""
    return target.parent / f".{target.name}.importing"


def _check_target(target: Path) -> None:
    """Make sure that there is no such folder yet.

    Raises:
        SettingsError: there is.
    """
    if not (target.exists() or target.is_symlink()):
        return
    work = _work_folder(target)
    if work.is_dir() and not (work / "dataset").exists():
        shutil.rmtree(work)  # killed between the last two steps
    raise SettingsError(
        "is there already",
        where=target,
        expected="a new folder: what was imported is never changed",
        remedy="choose another folder, or remove this one first",
    )


def _build(found: SourceSet, target: Path, watch: Watch, *, repair_frames: bool) -> Built:
    """Place every case, describe the whole, and move it to its place.

    What an earlier attempt left is used as far as it was made from the same files in the same way; its folder stays
    if this attempt fails too.
    """
    work = _work_folder(target)
    with locked(work, remedy="choose another folder"):
        sweep(work)
        built = _fill(found, work, watch, repair_frames=repair_frames)
        (work / "dataset").rename(target)
        shutil.rmtree(work)
    return built


def _fill(found: SourceSet, work: Path, watch: Watch, *, repair_frames: bool) -> Built:
    """Everything of the data set in its work folder."""
    root = work / "dataset"
    for part in (IMAGES, LABELS):
        (root / part).mkdir(parents=True, exist_ok=True)
    placed = _place(found, root, work, watch, repair_frames=repair_frames)
    _remove_strangers(found, root)
    trained = [case for case in found.cases if case.is_trained_on]
    same, doubts = _same_scans(found, placed)
    record = _record(found, placed, doubts)
    labels = {"background": 0, **{name: number for number, name in enumerate(found.classes, start=1)}}
    if any(item.has_ignore for item in placed.values()):
        labels[IGNORE] = found.ignore
    description = {
        "channel_names": {"0": "CT"},
        "labels": labels,
        "numTraining": len(trained),
        "file_ending": found.ending,
    }
    write_json(root / DESCRIPTION, description)
    write_text(root / PATIENTS, _csv([("case", "patient"), *((c.name, same.get(c.name, c.patient)) for c in trained)]))
    write_model(root / SOURCES, record)
    linked = sum(item.linked for item in placed.values())
    files = sum(1 if case.scan.mask is None else 2 for case in found.cases)
    return Built(
        record=record,
        labeled=len(trained),
        held_back=len(found.cases) - len(trained),
        linked=linked,
        written=files - linked,
    )


def _place(found: SourceSet, root: Path, work: Path, watch: Watch, *, repair_frames: bool) -> dict[str, Placed]:
    """{name: what became of the case}."""
    watch.begin("import", len(found.cases))
    placed: dict[str, Placed] = {}

    def tell(name: str, result: Placed) -> None:
        placed[name] = result
        watch.advance(len(placed), name)

    jobs = [
        Job(
            name=case.name,
            argument=Placing(
                case=case,
                ending=found.ending,
                ignore=found.ignore,
                bounds_hu=found.bounds_hu,
                spacing_mm=found.sources[case.source].nominal_spacing_mm,
                repair_frames=repair_frames,
                root=root,
                records=work / "cases",
            ),
        )
        for case in found.cases
    ]
    # Threads: jobs inflate, deflate, decode and hash, all of which let others run.
    Threads(workers=default_workers(), limit_s=LIMIT_S, log=work / "workers.log").run(place_case, jobs, done=tell)
    return placed


def _remove_strangers(found: SourceSet, root: Path) -> None:
    """Remove files of cases that an earlier attempt had and this one has not."""
    expected = {case.image_path(found.ending) for case in found.cases}
    expected |= {str(case.label_path(found.ending)) for case in found.cases}
    for part in PARTS:
        for path in (root / part).glob("*"):
            if f"{part}/{path.name}" not in expected:
                path.unlink()


def _same_scans(found: SourceSet, placed: dict[str, Placed]) -> tuple[dict[str, str], tuple[str, ...]]:
    """{case: patient} of scans that came under several names, which is one patient for certain; and what to say."""
    groups: dict[str, list[str]] = defaultdict(list)
    patients = {case.name: case.patient for case in found.cases}
    for case in found.cases:
        groups[placed[case.name].content_sha256].append(case.name)
    doubles = [names for names in groups.values() if len(names) > 1]
    merged = {name: patients[names[0]] for names in doubles for name in names}
    texts = tuple(f"the same scan under several names, one patient therefore: {shorten(names)}" for names in doubles)
    return merged, texts


def _record(found: SourceSet, placed: dict[str, Placed], doubts: tuple[str, ...]) -> DatasetSources:
    own = tuple(text for case in found.cases for text in placed[case.name].warnings)
    nothing = () if any(case.is_trained_on for case in found.cases) else ("no scan has a mask: nothing to train on",)
    detection = {}
    for case in found.cases:
        item = placed[case.name]
        if item.seen is not None:
            detection[case.name] = Detection(
                image=case.image_path(found.ending),
                patient=case.patient,
                source=case.source,
                slices=item.seen,
                filled_slices=item.filled_slices,
            )
    notes = {case.name: placed[case.name].notes for case in found.cases if case.is_trained_on}
    return DatasetSources(
        sources=found.sources,
        intensity=found.intensity,
        bounds_hu=found.bounds_hu,
        cases={name: note for name, note in notes.items() if note is not None},
        detection=detection,
        warnings=(*found.warnings, *own, *doubts, *nothing),
    )


def _csv(rows: list[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
