"""What is inflated before a data set is measured."""

import gzip
from pathlib import Path

import pytest

from hemoseg import ahead
from hemoseg.pipeline import executors


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were asked for ahead; the data set lies in `tmp_path`, and two CPUs are free."""
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (tmp_path / folder).mkdir()
        for name in ("b", "a"):
            (tmp_path / folder / f"{name}{ending}").write_bytes(gzip.compress(b"voxels"))
    found: list[Path] = []

    class Recorder(ahead.Ahead):
        def __init__(self, paths, **options):
            found.extend(paths)
            super().__init__(found, **options)

    monkeypatch.setattr(ahead, "Ahead", Recorder)
    monkeypatch.setattr(executors, "default_workers", lambda: 2)
    return found


def test_scans_and_label_maps_in_the_order_of_the_cases(tmp_path, asked):
    with executors.measuring_ahead(tmp_path, tmp_path / "run"):
        pass
    names = ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"]
    assert [path.relative_to(tmp_path).as_posix() for path in asked] == names


def test_nothing_for_a_run_that_is_there_already(tmp_path, asked):
    with executors.measuring_ahead(tmp_path, tmp_path):
        pass
    assert not asked


def test_nothing_where_processes_measure(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(executors, "SMALL_BYTES", 10)
    with executors.measuring_ahead(tmp_path, tmp_path / "run"):
        pass
    assert not asked


def test_nothing_with_one_cpu(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(executors, "default_workers", lambda: 1)
    with executors.measuring_ahead(tmp_path, tmp_path / "run"):
        pass
    assert not asked


def test_a_folder_that_is_no_data_set_is_left_to_its_index(tmp_path, asked):
    with executors.measuring_ahead(tmp_path / "absent", tmp_path / "run"):
        pass
    assert not asked
