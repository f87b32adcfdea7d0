from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.datasets import Case, make_splits

cohorts = st.lists(st.integers(0, 12), min_size=2, max_size=40).filter(lambda patients: len(set(patients)) > 1)


@given(cohorts, st.data())
@settings(deadline=None, max_examples=150)
def test_folds_by_patient(patients, data):
    cases = [
        Case(name=f"case{i}", image=Path("i"), label=Path("l"), patient=f"p{patient}")
        for i, patient in enumerate(patients)
    ]
    folds = data.draw(st.integers(2, min(10, len(set(patients)))))
    seed = data.draw(st.integers(0, 2**32))
    splits = make_splits(cases, folds=folds, seed=seed)
    patient_of = {case.name: case.patient for case in cases}
    sides = [({patient_of[n] for n in s.train}, {patient_of[n] for n in s.held_out}) for s in splits]

    assert len(splits) == folds
    assert sorted(name for split in splits for name in split.held_out) == sorted(patient_of)
    for split, (train, held_out) in zip(splits, sides, strict=True):
        assert not train & held_out
        assert sorted(split.train + split.held_out) == sorted(patient_of)
    sizes = [len(held_out) for _, held_out in sides]
    assert max(sizes) - min(sizes) <= 1
    shuffled = data.draw(st.permutations(cases))
    assert make_splits(shuffled, folds=folds, seed=seed) == splits
