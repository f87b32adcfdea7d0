"""Folds by patient: rules, patients' names, leaks, nnU-Net's own folds."""

import json
from pathlib import Path

import pytest

from fingerprints import case_facts
from hemoseg.datasets import (
    Split,
    SplitCase,
    check_leaks,
    nnunet_splits,
    shuffled_splits,
    stratified_splits,
    with_patients,
)
from hemoseg.datasets.splits import patients_named
from hemoseg.errors import InputError

NNUNET = json.loads((Path(__file__).parents[2] / "golden" / "nnunet-splits.json").read_text())
BY_PATIENT = [shuffled_splits, stratified_splits]


def cases(patients):
    return [
        SplitCase(name=f"c{i:02d}", patient=patient, class_ml={"hemorrhage": 1.0}) for i, patient in enumerate(patients)
    ]


@pytest.mark.parametrize("make", BY_PATIENT)
def test_five_folds_of_ten(make):
    splits = make(cases([str(i) for i in range(10)]), folds=5, seed=0)
    assert [len(split.held_out) for split in splits] == [2] * 5
    assert sorted(name for split in splits for name in split.held_out) == [f"c{i:02d}" for i in range(10)]


@pytest.mark.parametrize("make", BY_PATIENT)
def test_cases_of_a_patient_stay_together(make):
    (first, second) = make(cases("aabbb"), folds=2, seed=1)
    assert {first.held_out, second.held_out} == {("c00", "c01"), ("c02", "c03", "c04")}
    assert first.train == second.held_out


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (shuffled_splits, [("c04", "c05"), ("c01", "c02"), ("c00", "c03")]),
        (stratified_splits, [("c00", "c04"), ("c01", "c03"), ("c02", "c05")]),
    ],
)
def test_split_is_the_same_today_and_tomorrow(make, expected):
    splits = make(cases([str(i) for i in range(6)]), folds=3, seed=7)
    assert [split.held_out for split in splits] == expected


@pytest.mark.parametrize("make", BY_PATIENT)
@pytest.mark.parametrize("folds", [0, 1, 3])
def test_impossible_folds(make, folds):
    with pytest.raises(InputError, match=f"{folds} folds of 2 patients"):
        make(cases("aab"), folds=folds, seed=0)


def test_empty_cases_rare_classes_and_volumes_are_spread():
    """Ten cases, two folds: four empty, two with edema, one of them large. Shuffled folds miss one or the other."""
    volumes = [0, 0, 0, 0, 1, 2, 3, 4, 50, 60]
    cohort = [
        SplitCase(name=f"c{i}", patient=f"p{i}", class_ml={"hemorrhage": float(ml), "edema": float(i in (4, 8))})
        for i, ml in enumerate(volumes)
    ]
    for split in stratified_splits(cohort, folds=2, seed=3):
        held_out = [case for case in cohort if case.name in split.held_out]
        assert sum(case.is_empty for case in held_out) == 2
        assert sum(case.class_ml["edema"] > 0 for case in held_out) == 1
        assert sum(case.class_ml["hemorrhage"] >= 50 for case in held_out) == 1


@pytest.mark.parametrize("golden", NNUNET, ids=lambda golden: f"{len(golden['names'])} cases")
def test_nnunets_own_folds(golden):
    shuffled = [SplitCase(name=name, patient=name, class_ml={}) for name in reversed(golden["names"])]
    splits = nnunet_splits(shuffled, folds=5)
    assert [{"train": list(s.train), "val": list(s.held_out)} for s in splits] == golden["splits"]


def test_nnunets_folds_are_refused_where_they_part_a_patient():
    with pytest.raises(InputError, match=r"trains on \d patients that it holds out"):
        nnunet_splits(cases("aabbccddee"), folds=5)


def test_a_leak_is_found_and_named():
    leaking = [Split(train=("c00", "c02"), held_out=("c01",))]
    with pytest.raises(InputError, match="fold 0 trains on 1 patients that it holds out, like a"):
        check_leaks(leaking, cases("aab"), where="splits")
    check_leaks([Split(train=("c02",), held_out=("c00", "c01"))], cases("aab"), where="splits")


def test_a_pattern_finds_patients_in_names():
    facts = [case_facts(name=name) for name in ("ID_0a_1", "ID_0a_2", "ID_b_1")]
    assert [case.patient for case in with_patients(facts, "^(ID_[0-9a-f]+)_")] == ["ID_0a", "ID_0a", "ID_b"]
    assert [case.patient for case in with_patients(facts, None)] == ["ID_0a_1", "ID_0a_2", "ID_b_1"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("(", "unterminated"),
        ("^ID", "has 0 groups"),
        ("^(ID)_(.)", "has 2 groups"),
        ("^(X)", "finds no patient in 2 names, like ID_1"),
        ("^(X?)", "finds no patient in 2 names"),
    ],
)
def test_a_pattern_that_cannot_be_used(pattern, found):
    with pytest.raises(InputError, match=found):
        patients_named(["ID_1", "ID_2"], pattern)


def test_a_pattern_beside_patients_csv_is_refused():
    with pytest.raises(InputError, match=r"patients\.csv"):
        with_patients([case_facts(name="a", patient="p")], "^(a)")
