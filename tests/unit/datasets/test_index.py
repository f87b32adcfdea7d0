import errno
import json
import os
from pathlib import Path

import pytest

from hemoseg.artifacts import write_model
from hemoseg.datasets import DatasetSources, index_dataset
from hemoseg.errors import InputError, LabelError
from nifti_files import make_dataset


def edit(root, **changes):
    path = root / "dataset.json"
    description = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in description.items() if value is not None}))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_cases_are_paired_and_sorted(tmp_path, ending):
    root = make_dataset(tmp_path / "heads", names=("b", "a_1"), ending=ending)
    dataset = index_dataset(root)
    assert dataset.name == "heads"
    assert dataset.table.names == ("background", "hemorrhage")
    assert [case.name for case in dataset.cases] == ["a_1", "b"]
    first = dataset.cases[0]
    assert first.image == root / "imagesTr" / f"a_1_0000{ending}"
    assert first.label == root / "labelsTr" / f"a_1{ending}"
    assert first.patient == "a_1"


def test_hidden_and_foreign_files_are_left_out(tmp_path):
    root = make_dataset(tmp_path)
    for name in (".DS_Store", "._a_0000.nii.gz", "notes.txt"):
        (root / "imagesTr" / name).write_text("")
        (root / "labelsTr" / name).write_text("")
    assert len(index_dataset(root).cases) == 2


def test_digest_tells_data_sets_apart(tmp_path):
    root = make_dataset(tmp_path)
    digests = [index_dataset(root).digest]
    assert index_dataset(root).digest == digests[0]
    (root / "patients.csv").write_text("case,patient\na,p\nb,p\n")
    digests.append(index_dataset(root).digest)
    with (root / "labelsTr" / "a.nii.gz").open("ab") as handle:
        handle.write(b"x")
    digests.append(index_dataset(root).digest)
    edit(root, labels={"background": 0, "edema": 1})
    digests.append(index_dataset(root).digest)
    assert len(set(digests)) == 4


def test_patients_come_from_a_table(tmp_path):
    root = make_dataset(tmp_path)
    (root / "patients.csv").write_text("\ufeffcase,patient\nb, jane\na,jane\n", encoding="utf-8")
    assert [case.patient for case in index_dataset(root).cases] == ["jane", "jane"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,patient\na,p\n", "no patient for 1 cases: b"),
        ("case,patient\na,p\nb,\n", "no patient for 1 cases: b"),
        ("name,who\na,p\nb,p\n", "no patient for 2 cases"),
        ("case,patient\na,p\nb,p\nb,q\n", "3 rows for 2 cases"),
        ("case,patient\na,p\nb,p\nc,q\n", "not in imagesTr: c"),
        ("case,patient\n\xff", "no CSV"),
    ],
)
def test_bad_patient_tables_are_refused(tmp_path, text, message):
    root = make_dataset(tmp_path)
    (root / "patients.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        index_dataset(root)


def test_absent_folder_and_absent_description(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        index_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no dataset\.json"):
        index_dataset(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "\xff\xfe", "[" * 100_000])
def test_description_that_is_no_json(tmp_path, text):
    root = make_dataset(tmp_path)
    (root / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="no JSON"):
        index_dataset(root)


def test_description_that_is_no_object(tmp_path):
    root = make_dataset(tmp_path)
    (root / "dataset.json").write_text("[1]")
    with pytest.raises(InputError, match="no channel_names, labels, numTraining, file_ending"):
        index_dataset(root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_names": None}, "no channel_names"),
        ({"numTraining": None, "file_ending": None}, "no numTraining, file_ending"),
        ({"channel_names": {"0": "CT", "1": "CTA"}}, "one channel"),
        ({"channel_names": ["CT"]}, "one channel"),
        ({"labels": {"background": 0, "hemorrhage": 1, "ignore": 3}}, "ignore after them"),
        ({"labels": ["background"]}, "labels"),
        ({"file_ending": ".mha"}, r"file_ending '\.mha'"),
        ({"file_ending": ".nii"}, "no cases"),
        ({"numTraining": 3}, "numTraining 3, but 2 cases"),
    ],
)
def test_descriptions_of_another_kind_are_refused(tmp_path, changes, message):
    root = make_dataset(tmp_path)
    edit(root, **changes)
    with pytest.raises(InputError, match=message):
        index_dataset(root)


def test_regions_need_an_order_to_paint_them_in(tmp_path):
    root = make_dataset(tmp_path)
    edit(root, labels={"background": 0, "whole": [1, 2], "core": 2})
    with pytest.raises(LabelError, match=r"regions_class_order \[\]"):
        index_dataset(root)
    edit(root, regions_class_order=[1, 2])
    assert index_dataset(root).table.members == {"whole": (1, 2), "core": (2,)}


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("imagesTr/a_0000.nii.gz", "1 labels without an image: a"),
        ("labelsTr/b.nii.gz", "1 images without a label: b"),
    ],
)
def test_missing_halves_are_named(tmp_path, removed, message):
    root = make_dataset(tmp_path)
    (root / removed).unlink()
    with pytest.raises(InputError, match=message):
        index_dataset(root)


def test_second_channel_is_refused(tmp_path):
    root = make_dataset(tmp_path)
    (root / "imagesTr" / "a_0001.nii.gz").write_text("")
    with pytest.raises(InputError, match="does not end in _0000: a_0001"):
        index_dataset(root)


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_absent_subfolder(tmp_path, folder):
    root = make_dataset(tmp_path)
    (root / folder).rename(root / "elsewhere")
    with pytest.raises(InputError, match=folder):
        index_dataset(root)


def test_long_lists_of_names_are_cut(tmp_path):
    root = make_dataset(tmp_path, names=tuple(f"c{i}" for i in range(10)))
    for path in (root / "labelsTr").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"10 images without a label: c0, .* and 2 more"):
        index_dataset(root)


@pytest.mark.parametrize("name", ["dataset.json", "patients.csv"])
def test_a_folder_in_a_files_place_is_named(tmp_path, name):
    root = make_dataset(tmp_path)
    (root / name).unlink(missing_ok=True)
    (root / name).mkdir()
    with pytest.raises(InputError, match=rf"{name}: cannot be read: Is a directory"):
        index_dataset(root)


@pytest.mark.parametrize("name", ["dataset.json", "patients.csv", "imagesTr", "labelsTr/a.nii.gz"])
def test_what_may_not_be_read_is_named(tmp_path, monkeypatch, name):
    root = make_dataset(tmp_path)
    (root / "patients.csv").write_text("case,patient\na,p\nb,p\n")

    def refusing(original):
        def call(self, *args, **kwargs):
            if self == root / name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
            return original(self, *args, **kwargs)

        return call

    for method in ("open", "read_bytes", "iterdir", "stat"):
        if (root / name).is_dir() and method == "stat":
            continue
        monkeypatch.setattr(Path, method, refusing(getattr(Path, method)))
    with pytest.raises(InputError, match=rf"{name}: cannot be read: Permission denied"):
        index_dataset(root)


def test_a_link_to_nowhere_is_named(tmp_path):
    root = make_dataset(tmp_path)
    (root / "imagesTr" / "a_0000.nii.gz").unlink()
    (root / "imagesTr" / "a_0000.nii.gz").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"a_0000\.nii\.gz: cannot be read: No such file"):
        index_dataset(root)


def write_record(root, **changes):
    record = DatasetSources.model_validate({"sources": [{"name": "A", "license": "B", "citation": ""}], **changes})
    write_model(root / "hemoseg.json", record)
    return record


def test_a_record_is_part_of_the_data_set_and_of_its_digest(tmp_path):
    root = make_dataset(tmp_path)
    plain = index_dataset(root)
    assert plain.sources is None
    digests = {plain.digest}
    for bounds in (None, (-800.0, 2000.0), (-800.0, 1999.0)):
        record = write_record(root, intensity="hu" if bounds is None else "pseudo-hu", bounds_hu=bounds)
        dataset = index_dataset(root)
        assert dataset.sources == record
        assert [case.pseudo_hu for case in dataset.cases] == [bounds] * 2
        digests.add(dataset.digest)
    assert len(digests) == 4
    (root / "hemoseg.json").unlink()
    assert index_dataset(root) == plain


def test_a_record_must_fit_the_data_set(tmp_path):
    root = make_dataset(tmp_path)
    write_record(root, cases={"c": {"source": 0, "annotates": ["any"]}})
    with pytest.raises(InputError, match=r"1 cases that are not in imagesTr: c"):
        index_dataset(root)
    write_record(root, cases={"a": {"source": 0, "annotates": ["any"], "ignored_slices": [1]}})
    with pytest.raises(InputError, match=r"ignored slices, but no ignore in dataset.json: a"):
        index_dataset(root)
    edit(root, labels={"background": 0, "hemorrhage": 1, "ignore": 2})
    assert index_dataset(root).table.ignore == 2
