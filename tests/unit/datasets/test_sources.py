"""The record of a data set's sources."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hemoseg.artifacts import write_model
from hemoseg.datasets import CaseNotes, DatasetSources, Source, read_sources, record_lines
from hemoseg.errors import ArtifactError

SOURCE = Source(name="a set", license="CC BY 4.0", citation="A. Author, 2020")


def test_a_folder_without_the_file_has_no_record(tmp_path: Path) -> None:
    assert read_sources(tmp_path) is None


def test_a_record_is_read_back(tmp_path: Path) -> None:
    record = DatasetSources(
        sources=(SOURCE,),
        intensity="pseudo-hu",
        bounds_hu=(-20.0, 2300.0),
        cases={"a": CaseNotes(source=0, annotates=("any",), ignored_slices=(3,))},
    )
    write_model(tmp_path / "hemoseg.json", record)
    assert read_sources(tmp_path) == record


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hemoseg.json").write_text('{"version": 2, "sources": []}')
    with pytest.raises(ArtifactError, match="version"):
        read_sources(tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"intensity": "pseudo-hu"},
        {"bounds_hu": (0, 80)},
        {"intensity": "pseudo-hu", "bounds_hu": (80, 0)},
        {"cases": {"a": {"source": 1, "annotates": []}}},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DatasetSources(sources=(SOURCE,), **values)


def test_what_is_told_of_a_record() -> None:
    assert record_lines(None) == []
    assert record_lines(DatasetSources(sources=(SOURCE,))) == [
        "source: a set. License: CC BY 4.0. Cite: A. Author, 2020."
    ]
    pseudo = DatasetSources(sources=(), intensity="pseudo-hu", bounds_hu=(-20.0, 2300.0))
    assert record_lines(pseudo)[0].startswith("the data are pseudo-HU rebuilt from 8-bit windows, range [-20, 2300] HU")


def test_filled_slices_are_counted() -> None:
    notes = {
        name: CaseNotes(source=0, annotates=(), filled_slices=filled)
        for name, filled in (("a", ()), ("b", (2,)), ("c", (0, 5)))
    }
    assert DatasetSources(sources=(SOURCE,), cases=notes).filled == (3, 2)
