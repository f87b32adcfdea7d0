"""`splits.json`: rules, files of splits, patterns, and what an earlier version's run keeps."""

import json
from collections import Counter

import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.artifacts import sha256_of, write_model
from hemoseg.errors import InputError, SettingsError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.measure import check_settings
from hemoseg.pipeline.splits import check_run_leaks, find_splits, fold_rows
from hemoseg.settings import Settings, Splitting

NAMES = [f"ID_{patient:02x}_{scan}" for patient in range(10, 22) for scan in range(2)]


@pytest.fixture
def folder(tmp_path):
    """A run of twelve patients with two scans each; every third scan is empty."""
    facts = [case_facts(name=name, ml=0.0 if number % 3 == 0 else 10.0 + number) for number, name in enumerate(NAMES)]
    fingerprint = make_fingerprint(facts).model_copy(update={"cases": tuple(facts)})
    run = RunFolder(tmp_path / "run")
    write_model(run.fingerprint_file, fingerprint)
    return run


def part(folder, settings):
    """The folds, kept in the run folder as `plan` keeps them."""
    splits = find_splits(folder, settings)
    if not folder.splits_file.exists():
        write_model(folder.splits_file, splits)
    return splits


def of_file(path, **changes):
    return Settings(splits=Splitting(rule="file", file=str(path), file_sha256=sha256_of(path), **changes))


def nnunet_file(path, splits):
    path.write_text(json.dumps([{"train": list(a), "val": list(b)} for a, b in splits]))
    return path


def test_a_pattern_keeps_patients_together_and_the_table_counts_them(folder):
    settings = Settings(splits=Splitting(patient_pattern="^(ID_[0-9a-f]+)_"))
    write_model(folder.settings_file, settings)
    splits = part(folder, settings)
    for held_out in splits.held_out:
        assert set(Counter(name[:5] for name in held_out).values()) == {2}
    rows = fold_rows(folder)
    assert sum(row.patients for row in rows) == 12
    assert sum(row.cases for row in rows) == 24
    assert {row.empty for row in rows} == {1, 2}
    assert [row.empty + row.with_class["hemorrhage"] for row in rows] == [row.cases for row in rows]
    assert [sum(row.by_volume) + row.empty for row in rows] == [row.cases for row in rows]
    check_run_leaks(folder)


def test_leaks_of_a_run_are_found(folder):
    """Splits by case, then a pattern that knows better."""
    part(folder, Settings(splits=Splitting(rule="nnunet")))
    write_model(folder.settings_file, Settings(splits=Splitting(patient_pattern="^(ID_[0-9a-f]+)_")))
    with pytest.raises(InputError, match="patients that it holds out"):
        check_run_leaks(folder)


def test_splits_that_are_there_stay(folder):
    before = part(folder, Settings(seed=1))
    assert part(folder, Settings(seed=2)) == before
    folder.splits_file.unlink()
    assert part(folder, Settings(seed=1)) == before


@pytest.mark.parametrize("rule", ["stratified", "shuffled", "nnunet"])
def test_a_file_gives_the_same_folds_in_either_format(folder, tmp_path, rule):
    splits = part(folder, Settings(splits=Splitting(rule=rule)))
    ours = tmp_path / "ours.json"
    folder.splits_file.rename(ours)
    assert part(folder, of_file(ours)) == splits
    folder.splits_file.unlink()
    theirs = nnunet_file(tmp_path / "splits_final.json", zip(splits.train, splits.held_out, strict=True))
    assert part(folder, of_file(theirs)) == splits


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda folds: folds[:4], "4 folds"),
        (lambda folds: [(["x"], folds[0][1]), *folds[1:]], "1 cases that the data set does not have, like x"),
        (lambda folds: [(folds[0][0], folds[0][1][1:]), *folds[1:]], "1 cases that are not held out once"),
        (lambda folds: [(folds[0][0] + folds[0][1][:1], folds[0][1]), *folds[1:]], "fold 0 has an empty side, or"),
        (lambda folds: [([], folds[0][1]), *folds[1:]], "fold 0 has an empty side"),
    ],
)
def test_a_file_that_cannot_be_used(folder, tmp_path, change, found):
    splits = part(folder, Settings())
    folder.splits_file.unlink()
    folds = [(list(a), list(b)) for a, b in zip(splits.train, splits.held_out, strict=True)]
    path = nnunet_file(tmp_path / "splits_final.json", change(folds))
    with pytest.raises(InputError, match=found):
        part(folder, of_file(path))
    assert not folder.splits_file.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"version": 1}', "[{}]", '[{"train": 1, "val": 2}]', "\xff"])
def test_a_file_of_another_kind(folder, tmp_path, content):
    path = tmp_path / "other.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match="cannot be read as splits"):
        part(folder, of_file(path))


def test_a_file_that_changed_since_the_run_began(folder, tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text("[]")
    settings = of_file(path)
    path.write_text("[] ")
    with pytest.raises(InputError, match="another content"):
        part(folder, settings)


def test_a_file_that_parts_a_patient_is_refused(folder, tmp_path):
    splits = part(folder, Settings(splits=Splitting(rule="nnunet")))
    folder.splits_file.unlink()
    path = nnunet_file(tmp_path / "splits_final.json", zip(splits.train, splits.held_out, strict=True))
    with pytest.raises(InputError, match="patients that it holds out"):
        part(folder, of_file(path, patient_pattern="^(ID_[0-9a-f]+)_"))


def test_a_run_of_an_earlier_version_keeps_its_shuffled_folds(folder):
    """settings.json of version 2 knows no splits; the same command is refused with the option that resumes it."""
    old = Settings(seed=3).model_dump(mode="json", exclude={"splits"}) | {"version": 2}
    folder.settings_file.write_text(json.dumps(old))
    assert folder.settings().splits.rule == "shuffled"
    with pytest.raises(SettingsError, match=r"splits\.rule: shuffled → stratified"):
        check_settings(folder, Settings(seed=3))
    check_settings(folder, Settings(seed=3, splits=Splitting(rule="shuffled")))


def test_settings_give_their_options_back():
    splitting = Splitting(rule="nnunet", patient_pattern="^(ID_.*)_")
    assert splitting.options() == ["--splits nnunet", "--patient-pattern '^(ID_.*)_'"]
    assert Splitting().options() == []
    with pytest.raises(ValueError, match="stands alone"):
        Splitting(rule="file")
