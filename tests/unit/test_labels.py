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
        {"background": 0, "a": []},
        {"background": 0, "a": [1, 3]},
        {"background": 0, "a": [0, 1]},
        {"background": 0, "a": [1, "2"]},
        {"background": [0], "a": [1, 2]},
        {"background": 0, "a": True},
        {"background": 0, "a": "1"},
    ],
)
def test_bad_tables_are_refused(labels):
    with pytest.raises(LabelError, match="labels"):
        LabelTable.from_mapping(labels, where="dataset.json")


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "bell\a", "x" * 101])
def test_a_name_that_cannot_be_shown_is_refused(name):
    with pytest.raises(LabelError, match="a class named"):
        LabelTable.from_mapping({"background": 0, name: 1}, where="dataset.json")
    with pytest.raises(LabelError, match="a class named"):
        LabelTable.from_mapping({"background": 0, "a": [1, 2], name: [2]}, where="dataset.json")


@pytest.mark.parametrize("order", [[], [1], [1, 2, 2], [1, 3], [1, 0], [1, "2"], [1, True], "12", {"a": 1}, 1])
def test_an_order_that_does_not_fit_the_regions_is_refused(order):
    labels = {"background": 0, "hemorrhage": [1, 2], "ivh": [2]}
    with pytest.raises(LabelError, match="regions_class_order"):
        LabelTable.from_mapping(labels, where="dataset.json", order=order)


def test_regions_are_in_the_order_of_the_file():
    labels = {"ivh": 2, "ignore": 3, "background": 0, "hemorrhage": [1, 2]}
    table = LabelTable.from_mapping(labels, where="dataset.json", order=[2, 1])
    assert table.members == {"ivh": (2,), "hemorrhage": (1, 2)}
    assert (table.paint, table.ignore, table.largest, table.end) == ((2, 1), 3, 2, 4)
    assert LabelTable.from_mapping(labels, where="dataset.json").paint == ()
    assert table.of_predictions.end == 3


def test_lists_of_one_number_each_are_no_regions():
    table = LabelTable.from_mapping({"background": 0, "edema": [2], "hemorrhage": [1]}, where="x", order=[])
    assert table == TABLE


def test_numbers_that_painting_loses_are_told():
    """2 is in both; painted, `ivh` comes last and is 2, or `hemorrhage` comes last and makes it 1."""
    found = LabelTable(("background", "hemorrhage", "ivh"), regions=((1, 2), (2,)), paint=(1, 2)).warnings()
    assert found == ()
    (warning,) = LabelTable(("background", "ivh", "hemorrhage"), regions=((2,), (1, 2)), paint=(2, 1)).warnings()
    assert warning.startswith("label 2 (ivh, hemorrhage) cannot be told in a prediction")
    assert "as 1 (hemorrhage)" in warning


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


def test_check_knows_the_numbers_of_regions():
    table = LabelTable(("background", "a", "b"), 4, regions=((1, 2, 3), (3,)))
    assert table.check(np.array([[[0, 3, 4]]]), where="x").tolist() == [[[0, 3, 4]]]
    with pytest.raises(LabelError, match=r"(?s)\[5\.0\].*0 background, 1 a, 2 a, 3 a, b, 4 ignore"):
        table.check(np.array([[[5]]]), where="x")
