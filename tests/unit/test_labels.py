import numpy as np
import pytest

from hemoseg.errors import LabelError
from hemoseg.labels import LabelTable

TABLE = LabelTable(("background", "hemorrhage", "edema"))


def test_table_is_ordered_by_number_and_not_by_name():
    table = LabelTable.from_mapping({"edema": 2, "background": 0, "hemorrhage": 1}, where="x")
    assert table == TABLE
    assert table.foreground == {"hemorrhage": 1, "edema": 2}


def test_edema_is_no_bleeding():
    assert TABLE.bleeding == ("hemorrhage",)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"background": 0},
        {"background": 1, "hemorrhage": 0},
        {"background": 0, "hemorrhage": 2},
        {"background": 0, "a": 1, "b": 1},
        {"background": 0, "a": [1, 2]},
        {"background": 0, "a": True},
        {"background": 0, "a": "1"},
    ],
)
def test_bad_tables_are_refused(labels):
    with pytest.raises(LabelError, match="labels"):
        LabelTable.from_mapping(labels, where="dataset.json")


def test_unknown_class_names_are_told():
    assert LabelTable(("background", "sdh")).warnings() == ()
    (warning,) = LabelTable(("background", "clot")).warnings()
    assert "'clot'" in warning


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.int64])
def test_check_returns_uint8(dtype):
    labels = np.array([[[0, 1, 2]]], dtype=dtype)
    checked = TABLE.check(labels, where="x")
    assert checked.dtype == np.uint8
    assert checked.tolist() == [[[0, 1, 2]]]


@pytest.mark.parametrize("value", [-1, 3, 255, 0.5, np.nan])
def test_check_names_strange_values(value):
    with pytest.raises(LabelError, match=r"label values \[") as caught:
        TABLE.check(np.array([[[0, value]]], dtype=np.float32), where="case.nii.gz")
    assert "2 edema" in str(caught.value)


def test_ignore_is_a_number_and_no_class():
    table = LabelTable.from_mapping({"ignore": 3, "edema": 2, "background": 0, "hemorrhage": 1}, where="x")
    assert (table.names, table.ignore) == (TABLE.names, 3)
    assert table.foreground == TABLE.foreground
    assert table.bleeding == TABLE.bleeding
    assert table.warnings() == ()


@pytest.mark.parametrize("number", [0, 1, 3, 255, [2], True])
def test_ignore_has_the_number_after_the_last_class(number):
    with pytest.raises(LabelError, match="labels"):
        LabelTable.from_mapping({"background": 0, "hemorrhage": 1, "ignore": number}, where="x")


def test_ignored_voxels_are_allowed_where_the_table_has_them():
    table, labels = LabelTable(TABLE.names, 3), np.array([[[0, 1, 2, 3]]], dtype=np.int16)
    assert table.check(labels, where="x").tolist() == [[[0, 1, 2, 3]]]
    assert table.check(labels.astype(np.float32), where="x").tolist() == [[[0, 1, 2, 3]]]
    with pytest.raises(LabelError, match=r"label values \[3\.0\]"):
        TABLE.check(labels, where="x")
    with pytest.raises(LabelError, match=r"(?s)label values \[4\.0\].*3 ignore"):
        table.check(labels + 1, where="x")
    assert table.without_ignored(labels).tolist() == [[[0, 1, 2, 0]]]
    assert table.without_ignored(labels).dtype == labels.dtype
    assert TABLE.without_ignored(labels) is labels


REGIONS = LabelTable(("background", "hemorrhage", "ivh"), regions=((1, 2), (2,)))


def test_a_region_has_all_voxels_of_its_numbers():
    labels = np.array([[[0, 1, 2]]], dtype=np.uint8)
    assert REGIONS.mask(labels, "hemorrhage").tolist() == [[[False, True, True]]]
    assert REGIONS.mask(labels, "ivh").tolist() == [[[False, False, True]]]
    assert TABLE.mask(labels, "edema").tolist() == [[[False, False, True]]]
    assert (REGIONS.largest, TABLE.largest) == (2, 2)
    assert TABLE.legend == {1: "hemorrhage", 2: "edema"}
