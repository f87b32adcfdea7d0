"""Folds of random cohorts: no patient in two, and balance."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.datasets import SplitCase, shuffled_splits, stratified_splits
from hemoseg.datasets.balance import balance

cohorts = st.lists(st.integers(0, 12), min_size=2, max_size=40).filter(lambda patients: len(set(patients)) > 1)
COHORTS = range(100)


@pytest.mark.parametrize("make", [shuffled_splits, stratified_splits])
@given(cohorts, st.data())
@settings(max_examples=80)
def test_folds_by_patient(make, patients, data):
    cases = [
        SplitCase(name=f"case{i}", patient=f"p{patient}", class_ml={"hemorrhage": float(patient % 4)})
        for i, patient in enumerate(patients)
    ]
    folds = data.draw(st.integers(2, min(10, len(set(patients)))))
    seed = data.draw(st.integers(0, 2**32))
    splits = make(cases, folds=folds, seed=seed)
    patient_of = {case.name: case.patient for case in cases}
    sides = [({patient_of[n] for n in s.train}, {patient_of[n] for n in s.held_out}) for s in splits]

    assert len(splits) == folds
    assert sorted(name for split in splits for name in split.held_out) == sorted(patient_of)
    for split, (train, held_out) in zip(splits, sides, strict=True):
        assert held_out
        assert not train & held_out
        assert sorted(split.train + split.held_out) == sorted(patient_of)
    sizes = [len(held_out) for _, held_out in sides]
    assert make is stratified_splits or max(sizes) - min(sizes) <= 1
    shuffled = data.draw(st.permutations(cases))
    assert make(shuffled, folds=folds, seed=seed) == splits


def cohort(seed: int, *, several: bool) -> list[SplitCase]:
    """Up to 150 cases with one to six classes, each rare or frequent; with `several`, patients of up to three cases."""
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(25, 150)), int(rng.integers(1, 7))
    shares = rng.uniform(0.03, 0.95, classes)
    scans = rng.choice([1, 1, 1, 2, 3] if several else [1], count)
    patients = np.repeat(np.arange(count), scans)[:count]
    return [
        SplitCase(
            name=f"case{i:03d}",
            patient=f"p{patient}",
            class_ml={
                f"class{k}": float(np.exp(rng.normal(2, 1)) * (rng.random() < shares[k])) for k in range(classes)
            },
        )
        for i, patient in enumerate(patients)
    ]


def spreads(cases: list[SplitCase]) -> dict[str, int]:
    """For each thing that is counted, the largest minus the smallest number over the folds, and leaks."""
    splits = stratified_splits(cases, folds=5, seed=0)
    held_out = [[case for case in cases if case.name in split.held_out] for split in splits]
    counts = {
        "cases": [len(part) for part in held_out],
        "empty": [sum(case.is_empty for case in part) for part in held_out],
        **{name: [sum(case.class_ml[name] > 0 for case in part) for part in held_out] for name in cases[0].class_ml},
    }
    limits = np.quantile([sum(c.class_ml.values()) for c in cases if not c.is_empty], [0.25, 0.5, 0.75])
    volumes = [[sum(case.class_ml.values()) for case in part if not case.is_empty] for part in held_out]
    quarters = np.array([np.bincount(np.searchsorted(limits, part), minlength=4) for part in volumes])
    patients = [{case.patient for case in part} for part in held_out]
    found = {name: max(values) - min(values) for name, values in counts.items()}
    found["quarter"] = int((quarters.max(axis=0) - quarters.min(axis=0)).max())
    found["leaks"] = sum(map(len, patients)) - len(set.union(*patients))
    return found


def test_a_hundred_cohorts_are_balanced_within_one_case():
    """Numbers of cases, of empty ones, of each class, and of each quarter by volume but for its border."""
    for seed in COHORTS:
        found = spreads(cohort(seed, several=False))
        assert found.pop("leaks") == 0
        assert found.pop("quarter") <= 2, seed  # NumPy's quartiles may put a case beside the border
        assert max(found.values()) <= 1, (seed, found)


def test_a_hundred_cohorts_with_several_cases_of_a_patient_are_balanced_nearly_as_well():
    found = [spreads(cohort(seed, several=True)) for seed in COHORTS]
    assert all(one["leaks"] == 0 and one["cases"] <= 1 for one in found)
    worst = [max(value for name, value in one.items() if name != "quarter") for one in found]
    assert max(worst) == 2
    assert worst.count(2) == 5


@pytest.mark.parametrize("seed", range(60))
def test_no_folds_of_small_cohorts_are_better(seed):
    """Every way to part up to eight groups into two or three folds is tried."""
    rng = np.random.default_rng(seed)
    groups, features = int(rng.integers(3, 9)), int(rng.integers(1, 6))
    folds = int(rng.integers(2, 4))
    sizes = rng.integers(1, 4, groups) if seed % 2 else np.ones(groups)
    counts = np.column_stack([sizes, *(rng.random(groups) < 0.5 for _ in range(features))]).astype(np.int64)
    weights = [1e6] + [10.0] * features

    ways = np.array(list(product(range(folds), repeat=groups)))
    totals = np.stack([(ways == fold) @ counts for fold in range(folds)])
    least = ((totals**2).sum(axis=0) @ np.array(weights)).min()
    fold_of = balance(counts, weights, folds=folds, seed=seed)
    ours = np.stack([counts[fold_of == fold].sum(axis=0) for fold in range(folds)])
    assert (ours**2).sum(axis=0) @ np.array(weights) == least
    assert set(fold_of) == set(range(folds))
