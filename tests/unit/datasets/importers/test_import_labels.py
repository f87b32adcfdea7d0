"""Numbers of a source, slices nobody labeled, masks that lie elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hemoseg.datasets.importers.classes import annotated, class_named, in_order, marks_all_blood, numbering
from hemoseg.datasets.importers.frames import check_frames
from hemoseg.datasets.importers.labels import label_slices, renumber
from hemoseg.errors import GeometryError, LabelError
from hemoseg.geometry import Grid

WHERE = Path("mask.nii.gz")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("epidural", "edh"),
        ("Subdural hematoma", "sdh"),
        ("INTRAVENTRICULAR_hemorrhage", "ivh"),
        ("IPH", "iph"),
        ("subarachnoid", "sah"),
        ("ICH", "hemorrhage"),
        ("intracranial hemorrhage", "hemorrhage"),
        ("Hemorrhage", "hemorrhage"),
        ("edema", "edema"),
        (" Ventricle ", "Ventricle"),
    ],
)
def test_names_of_classes(text: str, key: str):
    assert class_named(text) == key


def test_one_order_for_all():
    assert in_order(["sdh", "zebra", "iph", "edema", "edh", "iph"]) == ("edh", "iph", "sdh", "edema", "zebra")
    assert numbering({1: "sdh", 7: "edh"}, ("edh", "sdh")) == ((0, 0), (1, 2), (7, 1))
    assert annotated(("hemorrhage", "edema")) == ("any", "edema")
    assert marks_all_blood(("any",))
    assert marks_all_blood(("edh", "iph", "ivh", "sah", "sdh", "edema"))
    assert not marks_all_blood(("iph", "ivh"))


def test_numbers_become_ours():
    found = np.array([[[0, 1, 7]]])
    labels, is_changed = renumber(found, ((0, 0), (1, 2), (7, 1)), where=WHERE)
    assert (labels.tolist(), labels.dtype, is_changed) == ([[[0, 2, 1]]], np.uint8, True)
    _, is_changed = renumber(found[..., :1], ((0, 0), (1, 2), (7, 1)), where=WHERE)
    assert not is_changed
    with pytest.raises(LabelError, match=r"label values \[2\]"):
        renumber(np.array([[[0, 2]]]), ((0, 0), (1, 1)), where=WHERE)


def marked(*slices: int, count: int = 5) -> np.ndarray:
    labels = np.zeros((count, 2, 2), dtype=np.uint8)
    labels[list(slices), 0, 0] = 1
    return labels


def test_background_is_what_was_found_free_of_blood():
    """Slice 0 free, 1 hemorrhagic without a mask, 2 with one, 3 not in the table, 4 filled."""
    seen = ((), ("edh",), ("edh",), None, ())
    labels, ignored, doubts = label_slices(marked(2), seen, (4,), 2, name="a")
    assert ignored == (1, 3, 4)
    assert [plane.max() for plane in labels] == [0, 2, 1, 2, 2]
    assert [plane.min() for plane in labels] == [0, 2, 0, 2, 2]
    assert doubts == ()


def test_without_a_table_the_mask_is_whole():
    labels, ignored, _ = label_slices(marked(2), None, (), 2, name="a")
    assert ignored == ()
    assert np.array_equal(labels, marked(2))


def test_a_mask_where_the_table_sees_no_blood_is_kept_and_told():
    labels, ignored, doubts = label_slices(marked(1, 2), ((), (), ("sah",), (), ()), (), 2, name="a")
    assert np.array_equal(labels, marked(1, 2))
    assert ignored == ()
    assert doubts == ("a: slices 1 (from 0) have a mask, and the table sees no blood there",)


GRID = Grid(
    shape=(6, 512, 512),
    spacing_mm=(5.0, 0.5, 0.5),
    origin_lps_mm=(0.0, 0.0, 0.0),
    direction=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)


def moved(**changes: object) -> Grid:
    return replace(GRID, **changes)


def test_a_mask_lies_where_its_scan_does():
    assert not check_frames(GRID, GRID, where=WHERE, repair=False)
    assert not check_frames(GRID, moved(origin_lps_mm=(0.0009, 0.0, 0.0)), where=WHERE, repair=False)
    assert not check_frames(GRID, moved(spacing_mm=(5.0, 0.5, 0.5001)), where=WHERE, repair=False)
    for other in (moved(origin_lps_mm=(0.002, 0.0, 0.0)), moved(spacing_mm=(5.0, 0.5, 0.5009))):
        with pytest.raises(GeometryError, match="position matrix differs"):
            check_frames(GRID, other, where=WHERE, repair=False)
        assert check_frames(GRID, other, where=WHERE, repair=True)


def test_another_shape_is_never_repaired():
    with pytest.raises(GeometryError, match=r"\(5, 512, 512\) voxels"):
        check_frames(GRID, moved(shape=(5, 512, 512)), where=WHERE, repair=True)
