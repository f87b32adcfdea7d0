"""Which classes two data sets may share, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from hemoseg.artifacts import write_model
from hemoseg.datasets import CaseNotes, DatasetSources, Source, index_dataset
from hemoseg.datasets.importers import SourceSet, discover_merge
from hemoseg.errors import InputError
from nifti_files import make_dataset

KINDS = ("edh", "iph", "ivh", "sah", "sdh")


def dataset(root: Path, name: str, *classes: str, annotates: tuple[str, ...] | None = None, **others: Any) -> Path:
    """A data set of two cases that are named after it, with a record if anything is to be recorded."""
    names = (f"{name}1", f"{name}2")
    table = {"background": 0, **{label: number for number, label in enumerate(classes, start=1)}}
    path = make_dataset(root / name, names=names, labels=table)
    if annotates is not None or others:
        source = Source(name=f"Source {name}", license="own", citation="")
        notes = CaseNotes(source=0, annotates=annotates or classes)
        write_model(
            path / "hemoseg.json", DatasetSources(sources=(source,), cases=dict.fromkeys(names, notes), **others)
        )
    return path


def merged(first: Path, second: Path, *, to_any: bool = False) -> SourceSet:
    return discover_merge(index_dataset(first), index_dataset(second), to_any=to_any)


def numbers(found: SourceSet, name: str) -> dict[int, int]:
    (case,) = [case for case in found.cases if case.name == name]
    return dict(case.numbers)


def test_shared_classes_alone(tmp_path: Path):
    found = merged(dataset(tmp_path, "a", *KINDS), dataset(tmp_path, "b", "ivh", "iph"))
    assert found.classes == ("iph", "ivh")
    assert numbers(found, "a1") == {0: 0, 1: 0, 2: 1, 3: 2, 4: 0, 5: 0}
    assert numbers(found, "b1") == {0: 0, 1: 2, 2: 1}
    assert {case.annotates for case in found.cases} == {("iph", "ivh")}


def test_hemorrhage_is_shared_and_edema_is_not(tmp_path: Path):
    found = merged(
        dataset(tmp_path, "a", "hemorrhage", "edema"), dataset(tmp_path, "b", "hemorrhage", annotates=("any",))
    )
    assert found.classes == ("hemorrhage",)
    assert numbers(found, "a1") == {0: 0, 1: 1, 2: 0}
    assert {case.annotates for case in found.cases} == {("any",)}


def test_other_blood_belongs_to_hemorrhage(tmp_path: Path):
    """A voxel of `iph` would be a false background for a class that stands for any blood."""
    found = merged(dataset(tmp_path, "a", "hemorrhage", "iph", "edema"), dataset(tmp_path, "b", "hemorrhage"))
    assert numbers(found, "a1") == {0: 0, 1: 1, 2: 1, 3: 0}


def test_no_shared_class_is_refused(tmp_path: Path):
    first, second = dataset(tmp_path, "a", *KINDS), dataset(tmp_path, "b", "hemorrhage")
    with pytest.raises(InputError, match=r"no class that every case annotates(?s:.*)--to any: both mark all blood"):
        merged(first, second)
    found = merged(first, second, to_any=True)
    assert found.classes == ("hemorrhage",)
    assert numbers(found, "a1") == {number: min(number, 1) for number in range(6)}
    with pytest.raises(InputError, match="train on each alone"):
        merged(dataset(tmp_path, "c", "iph"), second)


def test_blood_that_may_be_unmarked_is_refused(tmp_path: Path):
    first, second = dataset(tmp_path, "a", "iph", "ivh"), dataset(tmp_path, "b", "hemorrhage")
    with pytest.raises(InputError, match="a annotates iph, ivh in every case: other blood may be unmarked"):
        merged(first, second, to_any=True)
    known = dataset(tmp_path, "c", "iph", "ivh", annotates=("any", "iph", "ivh"))
    assert numbers(merged(known, second, to_any=True), "c1") == {0: 0, 1: 1, 2: 1}


def test_what_one_case_does_not_annotate_is_not_shared(tmp_path: Path):
    first = dataset(tmp_path, "a", "iph", "ivh")
    notes = {"a1": CaseNotes(source=0, annotates=("iph",)), "a2": CaseNotes(source=0, annotates=("iph", "ivh"))}
    source = Source(name="a", license="own", citation="")
    write_model(first / "hemoseg.json", DatasetSources(sources=(source,), cases=notes))
    assert merged(first, dataset(tmp_path, "b", "iph", "ivh")).classes == ("iph",)


def test_a_class_of_unknown_meaning_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="without an agreed meaning: skull"):
        merged(dataset(tmp_path, "a", "hemorrhage", "skull"), dataset(tmp_path, "b", "hemorrhage"), to_any=True)


def test_names_in_both_are_refused(tmp_path: Path):
    make_dataset(tmp_path / "one")
    make_dataset(tmp_path / "two", names=("b", "c"))
    with pytest.raises(InputError, match="1 case names are in both: b"):
        merged(tmp_path / "one", tmp_path / "two")


def test_ignored_voxels_stay_ignored(tmp_path: Path):
    first = make_dataset(
        tmp_path / "a", names=("a1",), labels={"background": 0, "hemorrhage": 1, "edema": 2, "ignore": 3}
    )
    found = merged(first, dataset(tmp_path, "b", "hemorrhage"))
    assert found.ignore == 2
    assert numbers(found, "a1") == {0: 0, 1: 1, 2: 0, 3: 2}


def test_sources_are_joined(tmp_path: Path):
    first, second = dataset(tmp_path, "a", "iph", annotates=("iph",)), dataset(tmp_path, "b", "iph")
    found = merged(first, second)
    assert [source.name for source in found.sources] == ["Source a", "b"]
    assert found.sources[1].license == "not recorded"
    assert {case.name: case.source for case in found.cases} == {"a1": 0, "a2": 0, "b1": 1, "b2": 1}
    assert found.intensity == "hu"
    assert found.warnings == ()


def test_a_record_without_sources_is_no_obstacle(tmp_path: Path):
    first = dataset(tmp_path, "a", "iph")
    write_model(first / "hemoseg.json", DatasetSources(sources=(), warnings=("said before",)))
    found = merged(first, dataset(tmp_path, "b", "iph"))
    assert [source.name for source in found.sources] == ["a", "b"]
    assert found.warnings == ("said before",)


def pseudo(low: float, high: float) -> dict[str, Any]:
    return {"intensity": "pseudo-hu", "bounds_hu": (low, high)}


def test_mixed_intensities_are_marked_by_the_weaker_kind(tmp_path: Path):
    first, second = dataset(tmp_path, "a", "iph", **pseudo(-1100, 2300)), dataset(tmp_path, "b", "iph")
    found = merged(first, second)
    assert (found.intensity, found.bounds_hu) == ("pseudo-hu", (-1100, 2300))
    assert found.warnings == (
        "a pseudo-HU and b true HU are joined: the whole counts as pseudo-HU, clipped to [-1100, 2300]",
    )
    found = merged(first, dataset(tmp_path, "c", "iph", **pseudo(-900, 3000)))
    assert found.bounds_hu == (-900, 2300)
    assert merged(first, dataset(tmp_path, "d", "iph", **pseudo(-1100, 2300))).warnings == ()
    with pytest.raises(InputError, match="ranges that overlap"):
        merged(first, dataset(tmp_path, "e", "iph", **pseudo(2400, 3000)))


def test_a_patient_in_both_counts_as_one(tmp_path: Path):
    first, second = dataset(tmp_path, "a", "iph"), dataset(tmp_path, "b", "iph")
    (first / "patients.csv").write_text("case,patient\na1,ID_1\na2,ID_2\n")
    (second / "patients.csv").write_text("case,patient\nb1,ID_2\nb2,ID_3\n")
    found = merged(first, second)
    assert found.warnings == ("1 patients are in both and count as one: ID_2",)
    assert {case.name: case.patient for case in found.cases}["b1"] == "ID_2"


def test_regions_have_no_number_to_be_given_another(tmp_path: Path):
    first, second = dataset(tmp_path, "a", "hemorrhage", "ivh"), dataset(tmp_path, "b", "hemorrhage")
    description = json.loads((first / "dataset.json").read_text())
    description |= {"labels": {"background": 0, "hemorrhage": [1, 2], "ivh": [2]}, "regions_class_order": [1, 2]}
    (first / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"a has regions: hemorrhage \[1, 2\], ivh \[2\]"):
        merged(first, second)
