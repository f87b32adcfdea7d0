from pathlib import Path

import pytest

from hemoseg.datasets import Case, make_splits
from hemoseg.errors import InputError


def cases(patients):
    return [
        Case(name=f"c{i:02d}", image=Path("i"), label=Path("l"), patient=patient) for i, patient in enumerate(patients)
    ]


def test_five_folds_of_ten():
    splits = make_splits(cases([str(i) for i in range(10)]), folds=5, seed=0)
    assert [len(split.held_out) for split in splits] == [2] * 5
    assert sorted(name for split in splits for name in split.held_out) == [f"c{i:02d}" for i in range(10)]


def test_cases_of_a_patient_stay_together():
    (first, second) = make_splits(cases("aabbb"), folds=2, seed=1)
    assert {first.held_out, second.held_out} == {("c00", "c01"), ("c02", "c03", "c04")}
    assert first.train == second.held_out


def test_split_is_the_same_today_and_tomorrow():
    splits = make_splits(cases([str(i) for i in range(6)]), folds=3, seed=7)
    assert [split.held_out for split in splits] == [("c04", "c05"), ("c01", "c02"), ("c00", "c03")]


@pytest.mark.parametrize("folds", [0, 1, 3])
def test_impossible_folds(folds):
    with pytest.raises(InputError, match=f"{folds} folds of 2 patients"):
        make_splits(cases("aab"), folds=folds, seed=0)
