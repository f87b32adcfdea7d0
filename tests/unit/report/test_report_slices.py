"""Which slices are shown, and how they are turned and cut."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from hemoseg.errors import GeometryError
from hemoseg.geometry import Orientation
from hemoseg.report.slices import is_stored_axially, thin, view_axially
from report_scans import ball, make_head

HEAD = make_head()
EMPTY = np.zeros(HEAD.hu.shape, dtype=np.uint8)
BLEED = ball(HEAD, (30.0, -20.0, 5.0), 14.0)
ORDERS = [
    Orientation(axes=axes, flips=flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)
]


def stored(orientation, volume, labels):
    """The same head as a file of another axis order would hold it."""
    turned = replace(
        volume,
        hu=np.ascontiguousarray(orientation.apply(volume.hu)),
        grid=volume.grid.reoriented(orientation),
    )
    return turned, np.ascontiguousarray(orientation.apply(labels))


@pytest.mark.parametrize("orientation", ORDERS)
def test_every_axis_order_gives_the_same_view(orientation):
    expected = view_axially(HEAD, BLEED, None)
    found = view_axially(*stored(orientation, HEAD, BLEED), None)
    np.testing.assert_array_equal(found.hu, expected.hu)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.pixel_mm == pytest.approx(expected.pixel_mm)
    assert found.head == expected.head
    assert found.choose(12) == expected.choose(12)


def test_captions_are_the_stored_numbers_also_when_the_file_runs_downward():
    upward = view_axially(HEAD, EMPTY, None).captions
    flip = Orientation(axes=(0, 1, 2), flips=(True, False, False))
    downward = view_axially(*stored(flip, HEAD, EMPTY), None).captions
    assert upward[:2] == ("slice 0", "slice 1")
    assert downward[:2] == ("slice 8", "slice 7")


def test_captions_of_coronal_files_are_heights():
    coronal = Orientation(axes=(1, 0, 2), flips=(False, False, False))
    scan, labels = stored(coronal, HEAD, EMPTY)
    captions = view_axially(scan, labels, None).captions
    assert not is_stored_axially(scan.grid)
    assert captions[0] == "z -20.0 mm"
    assert captions[-1] == "z 20.0 mm"


def test_the_view_is_cut_to_the_head():
    view = view_axially(HEAD, EMPTY, None)
    rows, columns = view.hu.shape[1:]
    assert 0.8 * 48 < rows < 48
    assert 0.7 * 40 < columns < 40
    assert np.count_nonzero(view.hu > 0) == np.count_nonzero(HEAD.hu > 0)


def test_labels_outside_the_head_are_never_cut_away():
    labels = EMPTY.copy()
    labels[4, 0, 39] = 1
    reference = EMPTY.copy()
    reference[4, 47, 0] = 1
    view = view_axially(HEAD, labels, reference)
    assert view.labels.sum() == 1
    assert view.reference is not None
    assert view.reference.sum() == 1


def test_without_labels_slices_spread_over_the_head():
    view = replace(view_axially(HEAD, EMPTY, None), head=(1, 9))
    assert view.choose(4) == [2, 4, 6, 8]
    assert view.choose(12) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_labeled_slices_come_with_one_on_either_side():
    labels = EMPTY.copy()
    labels[3:5, 24, 20] = 1
    assert view_axially(HEAD, labels, None).choose(12) == [2, 3, 4, 5]


def test_labeled_slices_are_thinned_evenly_and_keep_both_ends():
    labels = EMPTY.copy()
    labels[0:8, 24, 20] = 1
    assert view_axially(HEAD, labels, None).choose(5) == [0, 2, 5, 7, 8]


def test_slices_of_the_reference_alone_are_shown():
    reference = EMPTY.copy()
    reference[6, 24, 20] = 2
    assert view_axially(HEAD, EMPTY, reference).choose(12) == [5, 6, 7]


def test_thinning_keeps_what_fits():
    assert thin([3, 5], 2) == [3, 5]
    assert thin([3, 5, 9], 2) == [3, 9]


def test_labels_of_another_grid_are_refused():
    with pytest.raises(GeometryError, match=r"label map of shape \(9, 48, 39\)"):
        view_axially(HEAD, EMPTY[:, :, 1:], None)
