"""Prepared cases on disk."""

import json
import pickle

import numpy as np
import pytest

from hemoseg.data import CaseRecord, check_case, is_current, open_case, write_case, write_previous
from hemoseg.errors import ArtifactError

RECORD = CaseRecord(case="a", source_sha256="s", plan_sha256="p", shape=(1, 2, 3, 4))


def write(folder):
    write_case(folder, RECORD, np.ones((1, 2, 3, 4), np.float32), np.zeros((2, 3, 4), np.uint8))


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "a")
    write_previous(tmp_path / "a", np.full((2, 3, 4), 2, np.uint8))
    case = open_case(tmp_path / "a", plan_sha256="p", with_previous=True)
    assert case.name == "a"
    assert case.image.shape == (1, 2, 3, 4)
    assert case.shape == (2, 3, 4)
    assert case.previous is not None
    assert int(case.previous[0, 0, 0]) == 2
    assert open_case(tmp_path / "a", plan_sha256="p").previous is None


def test_compressed_arrays_hold_the_same_and_read_in_parts(tmp_path, rng):
    image = rng.normal(size=(2, 9, 70, 65)).astype(np.float32)
    labels = rng.integers(0, 3, (9, 70, 65)).astype(np.uint8)
    record = RECORD.model_copy(update={"format": "blosc2", "shape": image.shape})
    write_case(tmp_path / "a", record, image, labels)
    case = open_case(tmp_path / "a", plan_sha256="p")
    assert np.array_equal(case.image[:], image)
    assert np.array_equal(case.labels[2:4, 60:, 3:9], labels[2:4, 60:, 3:9])
    assert is_current(tmp_path / "a", record)
    assert not is_current(tmp_path / "a", record.model_copy(update={"format": "npy"}))


def test_a_case_of_another_plan_is_not_opened(tmp_path):
    write(tmp_path / "a")
    with pytest.raises(ArtifactError, match="another plan"):
        open_case(tmp_path / "a", plan_sha256="q")


def test_a_damaged_compressed_array_is_refused(tmp_path):
    record = RECORD.model_copy(update={"format": "blosc2"})
    write_case(tmp_path / "a", record, np.ones((1, 2, 3, 4), np.float32), np.zeros((2, 3, 4), np.uint8))
    path = tmp_path / "a" / "image.b2nd"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ArtifactError):
        open_case(tmp_path / "a", plan_sha256="p")


def test_a_case_of_another_plan_or_source_is_stale(tmp_path):
    write(tmp_path / "a")
    assert is_current(tmp_path / "a", RECORD)
    assert not is_current(tmp_path / "a", RECORD.model_copy(update={"plan_sha256": "q"}))
    assert not is_current(tmp_path / "a", RECORD.model_copy(update={"source_sha256": "t"}))
    assert not is_current(tmp_path / "b", RECORD)


@pytest.mark.parametrize("damage", ["absent", "empty", "truncated", "pickle", "shape"])
def test_damaged_arrays_are_refused(tmp_path, damage):
    write(tmp_path / "a")
    path = tmp_path / "a" / "image.npy"
    if damage == "absent":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        np.save(path, np.ones((1, 2, 3, 5), np.float32))
    with pytest.raises(ArtifactError):
        open_case(tmp_path / "a", plan_sha256="p")


@pytest.mark.parametrize("store", ["npy", "blosc2"])
@pytest.mark.parametrize("name", ["image", "label"])
def test_a_single_changed_byte_makes_a_case_stale(tmp_path, rng, store, name):
    image = rng.normal(size=(1, 9, 20, 16)).astype(np.float32)
    record = RECORD.model_copy(update={"format": store, "shape": image.shape})
    write_case(tmp_path / "a", record, image, rng.integers(0, 3, image.shape[1:]).astype(np.int8))
    assert is_current(tmp_path / "a", record)
    (path,) = (tmp_path / "a").glob(f"{name}.*")
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    assert not is_current(tmp_path / "a", record)
    with pytest.raises(ArtifactError, match=r"SHA-256[\s\S]*hemoseg preprocess --run DIR` again"):
        check_case(tmp_path / "a", plan_sha256="p")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("image", np.ones((1, 2, 3, 4), np.float64)),
        ("label", np.zeros((2, 3, 4), np.float32)),
        ("label", np.zeros((2, 3, 4), np.complex64)),
    ],
)
def test_arrays_of_another_type_are_refused_when_opened(tmp_path, name, array):
    write(tmp_path / "a")
    np.save(tmp_path / "a" / f"{name}.npy", array)
    with pytest.raises(ArtifactError, match=str(array.dtype)):
        open_case(tmp_path / "a", plan_sha256="p")


def test_a_previous_prediction_of_another_type_is_refused(tmp_path):
    write(tmp_path / "a")
    np.save(tmp_path / "a" / "previous.npy", np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ArtifactError, match="float32"):
        open_case(tmp_path / "a", plan_sha256="p", with_previous=True)


def test_a_record_without_hashes_is_of_an_earlier_version(tmp_path):
    write(tmp_path / "a")
    path = tmp_path / "a" / "case.json"
    old = json.loads(path.read_text()) | {"version": 2}
    del old["image_sha256"], old["label_sha256"]
    path.write_text(json.dumps(old))
    assert not is_current(tmp_path / "a", RECORD)


def test_a_folder_in_an_arrays_place_makes_a_case_stale(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "a" / "label.npy").unlink()
    (tmp_path / "a" / "label.npy").mkdir()
    assert not is_current(tmp_path / "a", RECORD)
    with pytest.raises(ArtifactError, match=r"label\.npy"):
        open_case(tmp_path / "a", plan_sha256="p")


def test_an_opened_case_goes_to_other_processes_as_paths(tmp_path):
    write(tmp_path / "a")
    sent = pickle.dumps(open_case(tmp_path / "a", plan_sha256="p"))
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).image[:], np.ones((1, 2, 3, 4), np.float32))
    (tmp_path / "a" / "image.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match="cannot be read"):
        pickle.loads(sent).image[:]
