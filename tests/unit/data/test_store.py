"""Prepared cases on disk."""

import numpy as np
import pytest

from hemoseg.data import CaseRecord, is_current, open_case, write_case, write_previous
from hemoseg.errors import ArtifactError

RECORD = CaseRecord(case="a", source_sha256="s", plan_sha256="p", shape=(2, 3, 4))


def write(folder):
    write_case(folder, RECORD, np.ones((2, 3, 4), np.float32), np.zeros((2, 3, 4), np.uint8))


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "a")
    write_previous(tmp_path / "a", np.full((2, 3, 4), 2, np.uint8))
    case = open_case(tmp_path / "a", with_previous=True)
    assert case.name == "a"
    assert case.hu.shape == (2, 3, 4)
    assert case.previous is not None
    assert int(case.previous[0, 0, 0]) == 2
    assert open_case(tmp_path / "a").previous is None


def test_a_case_of_another_plan_or_source_is_stale(tmp_path):
    write(tmp_path / "a")
    assert is_current(tmp_path / "a", RECORD)
    assert not is_current(tmp_path / "a", RECORD.model_copy(update={"plan_sha256": "q"}))
    assert not is_current(tmp_path / "a", RECORD.model_copy(update={"source_sha256": "t"}))
    assert not is_current(tmp_path / "b", RECORD)


@pytest.mark.parametrize("damage", ["absent", "truncated", "pickle", "shape"])
def test_damaged_arrays_are_refused(tmp_path, damage):
    write(tmp_path / "a")
    path = tmp_path / "a" / "image.npy"
    if damage == "absent":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        np.save(path, np.ones((1, 2, 3, 5), np.float32))
    with pytest.raises(ArtifactError):
        open_case(tmp_path / "a")
