"""Files inflated ahead are what is on disk now, or nothing at all."""

import gzip
import os
import time
from pathlib import Path

import numpy as np
import pytest

from hemoseg.ahead import Ahead, reading_ahead, take
from hemoseg.errors import InputError
from hemoseg.geometry import Grid
from hemoseg.io import read_labels, write_labels

CONTENT = bytes(range(256)) * 40
FILES = 3
AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Gzip files of 10,240 bytes each."""
    found = [tmp_path / f"{number}.gz" for number in range(FILES)]
    for path in found:
        path.write_bytes(gzip.compress(CONTENT))
    return found


def settle(ahead: Ahead) -> None:
    """Wait until the thread has nothing more to do."""
    end = time.monotonic() + 10
    while (ahead._waiting or ahead._begun is not None) and time.monotonic() < end:
        time.sleep(0.001)


def test_a_file_is_given_once(paths):
    ahead = Ahead(paths)
    settle(ahead)
    held = ahead.take(paths[1])
    assert held.read(3) + held.read(10**6) == CONTENT
    assert ahead.take(paths[1]) is None


def test_files_beyond_the_limit_are_left_to_the_reader(paths):
    ahead = Ahead(paths, limit_bytes=len(CONTENT) * 2)
    settle(ahead)
    assert [ahead.take(path) is not None for path in paths] == [True, True, False]


def test_a_file_that_changed_since_is_left_to_the_reader(paths):
    ahead = Ahead(paths)
    settle(ahead)
    os.utime(paths[0], ns=(0, 0))
    paths[1].write_bytes(gzip.compress(CONTENT[:-1]))
    assert ahead.take(paths[0]) is None
    assert ahead.take(paths[1]) is None
    assert ahead.take(paths[2]) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x1f\x8b",
        CONTENT,
        gzip.compress(CONTENT)[:-9],
        gzip.compress(CONTENT) + gzip.compress(CONTENT),
        gzip.compress(CONTENT)[:-8] + bytes(4) + len(CONTENT).to_bytes(4, "little"),
        gzip.compress(CONTENT)[:-4] + (len(CONTENT) + 1).to_bytes(4, "little"),
    ],
    ids=["empty", "mark alone", "no gzip", "cut short", "two members", "wrong sum", "wrong size"],
)
def test_what_is_no_whole_gzip_file_is_left_to_the_reader(paths, content):
    paths[0].write_bytes(content)
    ahead = Ahead([paths[0], paths[0].with_name("absent"), paths[1]])
    settle(ahead)
    assert ahead.take(paths[0]) is None
    assert ahead.take(paths[1]) is not None


def test_after_the_block_nothing_is_held(paths):
    assert take(paths[0]) is None
    with reading_ahead(paths):
        assert take(paths[0].with_name("other")) is None
    assert take(paths[0]) is None


def test_a_reader_that_is_faster_reads_itself(paths):
    ahead = Ahead([])
    ahead._waiting.append(paths[0])  # its thread has ended
    assert ahead.take(paths[0]) is None
    assert not ahead._waiting


def test_the_reader_gets_the_same_either_way(tmp_path, monkeypatch):
    grid = Grid(shape=(3, 4, 5), spacing_mm=(5.0, 0.5, 0.5), origin_lps_mm=(0.0, 0.0, 0.0), direction=AXES)
    labels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 3
    path = tmp_path / "labels.nii.gz"
    write_labels(path, labels, grid, None)
    plain, place = read_labels(path)
    ahead = Ahead([path])
    settle(ahead)
    monkeypatch.setattr("hemoseg.io.nifti.take", ahead.take)
    found, where = read_labels(path)
    assert not ahead._held
    np.testing.assert_array_equal(found, plain, strict=True)
    assert where == place


@pytest.mark.parametrize(("extra", "refused"), [(-1, True), (0, False), (7, False)])
def test_size_is_checked_either_way(tmp_path, monkeypatch, extra, refused):
    path = tmp_path / "labels.nii.gz"
    grid = Grid(shape=(3, 4, 5), spacing_mm=(5.0, 0.5, 0.5), origin_lps_mm=(0.0, 0.0, 0.0), direction=AXES)
    write_labels(path, np.zeros((3, 4, 5), dtype=np.uint8), grid, None)
    content = gzip.decompress(path.read_bytes()) + bytes(8)
    path.write_bytes(gzip.compress(content[: len(content) - 8 + extra]))
    outcomes = []
    for given in (None, Ahead([path])):
        if given is not None:
            settle(given)
            monkeypatch.setattr("hemoseg.io.nifti.take", given.take)
        try:
            outcomes.append(read_labels(path)[0].shape)
        except InputError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[0], str) == refused
