"""Probabilities: rounded, boxed, stored, averaged."""

from io import BytesIO

import numpy as np
import pytest

from hemoseg.errors import ArtifactError
from hemoseg.postprocess import Probabilities, mean_probabilities, read_probabilities, write_probabilities


def npy():
    """A file of one array."""
    buffer = BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.fixture
def shares(rng):
    """Two classes in a corner of a small grid."""
    values = np.zeros((2, 4, 10, 9), dtype=np.float32)
    values[:, 1:3, 2:7, 4:9] = rng.dirichlet((1, 1, 1), (2, 5, 5)).astype(np.float32).transpose(3, 0, 1, 2)[1:]
    values[0, 0, 0, 0] = 2.0**-11  # below the floor
    return values


def test_they_are_kept_where_there_are_any(shares):
    found = Probabilities.of(shares)
    assert found.box == (slice(1, 3), slice(2, 7), slice(4, 9))
    assert found.values.dtype == np.float16
    assert np.abs(found.of_class(1) - shares[0]).max() < 2.0**-10
    background = 1 - shares.sum(axis=0)
    assert np.array_equal(found.labels(), np.concatenate([background[None], shares]).argmax(axis=0))


def test_they_return_from_disk_to_the_bit_and_files_are_alike(shares, tmp_path):
    found = Probabilities.of(shares)
    for name in ("a.npz", "b.npz"):
        write_probabilities(tmp_path / name, found)
    again = read_probabilities(tmp_path / "a.npz")
    assert np.array_equal(again.values, found.values)
    assert (again.corner, again.shape) == (found.corner, found.shape)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no archive", npy()])
def test_damage_is_found(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_probabilities(tmp_path / "a.npz")


def test_nothing_anywhere_is_background(tmp_path):
    none = Probabilities.of(np.zeros((2, 3, 4, 5), dtype=np.float32))
    write_probabilities(tmp_path / "none.npz", none)
    assert not read_probabilities(tmp_path / "none.npz").labels().any()
    assert not mean_probabilities([none, none]).labels().any()


def test_the_mean_of_boxes_is_that_of_whole_volumes(rng):
    members = []
    for low, high in (((0, 1, 2), (2, 4, 6)), ((1, 0, 3), (4, 3, 9))):
        values = np.zeros((2, 4, 10, 9), dtype=np.float32)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        values[(slice(None), *box)] = rng.integers(1, 32, values[(slice(None), *box)].shape) / 64
        members.append(values)
    found = mean_probabilities([Probabilities.of(values) for values in members])
    expected = np.mean(members, axis=0)
    for number in (1, 2):
        assert np.array_equal(found.of_class(number), expected[number - 1])


def test_one_member_is_its_own_mean(shares):
    found = Probabilities.of(shares)
    assert mean_probabilities([found]) is found


def test_odds_shift_the_border():
    values = np.zeros((1, 1, 1, 3), dtype=np.float32)
    values[0, 0, 0] = (0.2, 0.4, 0.6)
    found = Probabilities.of(values)
    assert found.labels().ravel().tolist() == [0, 0, 1]
    assert found.labels([7 / 3]).ravel().tolist() == [0, 1, 1]


def test_regions_are_painted_where_they_are_more_likely_than_not():
    """Each has its own odds, and later ones lie over earlier ones."""
    values = np.zeros((2, 1, 1, 4), dtype=np.float32)
    values[:, 0, 0] = ((0.5, 0.75, 0.75, 0.25), (0.0, 0.25, 0.75, 0.75))
    found = Probabilities.of(values)
    assert found.labels(paint=(2, 1)).ravel().tolist() == [0, 2, 1, 1]
    assert found.labels([7 / 3, 3 / 7], paint=(2, 1)).ravel().tolist() == [2, 2, 1, 1]
    assert found.labels([1 / 9, 4.0], paint=(2, 1)).ravel().tolist() == [0, 1, 1, 1]
