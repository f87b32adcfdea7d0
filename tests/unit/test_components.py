import tracemalloc
from itertools import product

import numpy as np
import pytest

from hemoseg.components import CORNERS, FACES, find_runs, largest_component, split_components


@pytest.mark.parametrize("offset", list(product((-1, 0, 1), repeat=3)))
def test_two_voxels_touch_at_corners_or_only_at_faces(offset):
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = mask[tuple(1 + step for step in offset)] = True
    distance = sum(map(abs, offset))
    assert len(find_runs(mask, CORNERS).sizes) == 1
    assert len(find_runs(mask, FACES).sizes) == (1 if distance <= 1 else 2)


def test_rows_of_neighboring_slices_do_not_touch_around_the_end():
    mask = np.zeros((2, 4, 5), dtype=bool)
    mask[0, 3, 2] = mask[1, 0, 2] = True  # last row of one slice, first row of the next
    mask[0, 0, 4] = mask[0, 1, 0] = True  # last and first column of two rows
    assert find_runs(mask, CORNERS).sizes.tolist() == [1, 1, 1, 1]


def test_touching_corners_are_one_component_and_gaps_are_two():
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    parts = list(split_components(mask))
    assert [(corner, int(part.sum()), part.shape) for corner, part in parts] == [
        ((0, 0, 0), 2, (2, 2, 2)),
        ((3, 3, 3), 1, (1, 1, 1)),
    ]


def test_box_of_one_component_leaves_out_another_that_reaches_into_it():
    mask = np.zeros((1, 5, 5), dtype=bool)
    mask[0, 0, :] = mask[0, :, 0] = True
    mask[0, 2:4, 2:4] = True
    (_, ell), (corner, square) = split_components(mask)
    assert ell.sum() == 9
    assert (corner, square.sum()) == ((0, 2, 2), 4)


def test_no_voxels_no_components():
    assert list(split_components(np.zeros((2, 2, 2), dtype=bool))) == []


def test_largest_component_uses_faces_only():
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[0, 0, 0] = True
    mask[1, 1, 1] = mask[1, 1, 2] = True
    assert np.argwhere(largest_component(mask)).tolist() == [[1, 1, 1], [1, 1, 2]]


def test_largest_of_equals_is_the_first_and_empty_stays_empty():
    mask = np.zeros((1, 1, 5), dtype=bool)
    assert not largest_component(mask).any()
    mask[0, 0, [0, 4]] = True
    assert np.argwhere(largest_component(mask)).tolist() == [[0, 0, 0]]


def test_runs_of_noise_take_little_memory(rng):
    """An untrained network gives millions of runs, which are joined in 100 bytes each."""
    mask = rng.random((40, 200, 200)) < 0.15
    tracemalloc.start()
    runs = find_runs(mask, CORNERS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(runs.z) > 150_000
    assert peak < 100 * len(runs.z)


def test_runs_that_are_joined_in_blocks_are_the_same(monkeypatch, rng):
    mask = rng.random((9, 20, 20)) < 0.2
    whole = find_runs(mask, CORNERS)
    monkeypatch.setattr("hemoseg.components.BLOCK", 7)
    runs = find_runs(mask, CORNERS)
    assert np.array_equal(runs.component, whole.component)
    assert len(list(runs.blocks())) > 2
    assert (
        runs.sums(lambda part: part.y * part.length).tolist()
        == np.bincount(whole.component, weights=whole.y * whole.length).tolist()
    )


def test_places_beyond_32_bits_are_counted():
    """Forty rows of 2**26 voxels are as far as large slices would be."""
    marked = np.zeros((1, 2**26), dtype=bool)
    marked[0, [0, -1]] = True
    runs = find_runs((marked if number == 39 else np.zeros_like(marked) for number in range(40)), CORNERS)
    assert runs.z.tolist() == [39, 39]
    assert runs.start.tolist() == [0, 2**26 - 1]
    assert runs.sizes.tolist() == [1, 1]
