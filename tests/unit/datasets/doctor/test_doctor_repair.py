"""What `--fix` repairs, and what it leaves alone."""

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest
from defects import SEEDS, describe, image, label, numbers, rewrite

from hemoseg.datasets import index_dataset, read_case
from hemoseg.datasets.doctor import KINDS
from hemoseg.errors import InputError
from hemoseg.pipeline import Silent
from hemoseg.pipeline.doctor import check_dataset, fix_dataset

REPAIRED = [code for code, kind in KINDS.items() if kind.repair]


def hashes(root):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in sorted(root.rglob("*")) if path.is_file()}


def fix(root, out):
    return fix_dataset(check_dataset(root, Silent()), out, Silent())


@pytest.mark.parametrize("code", REPAIRED)
def test_a_repaired_data_set_is_clean(code, root, tmp_path):
    SEEDS[code](root)
    if code == "label-255":
        describe(root, labels={"background": 0, "hemorrhage": 1})
        for path in (root / "labelsTr").iterdir():
            rewrite(path, lambda array: np.minimum(array, 255) * (255 if array.max() < 3 else 1), dtype=np.uint8)
            rewrite(path, lambda array: (array > 0) * 255, dtype=np.uint8)
    before = hashes(root)
    repairs = fix(root, tmp_path / "out")
    assert {repair.code for repair in repairs} == {code}
    assert check_dataset(tmp_path / "out", Silent()).findings == ()
    assert hashes(root) == before
    index_dataset(tmp_path / "out")


def test_untouched_files_are_linked_and_others_keep_their_voxels(root, tmp_path):
    SEEDS["padding"](root)
    SEEDS["frame-rounding"](root)
    out = tmp_path / "out"
    fix(root, out)
    assert image(out, "phantom_003").stat().st_ino == image(root, "phantom_003").stat().st_ino
    np.testing.assert_array_equal(numbers(image(out)), np.maximum(numbers(image(root)), -1024))
    np.testing.assert_array_equal(numbers(label(out)), numbers(label(root)))
    np.testing.assert_array_equal(nib.load(label(out)).affine, nib.load(image(out)).affine)


@pytest.mark.parametrize("code", ["unit-wrong", "unit-not-mm"])
def test_lengths_are_those_of_the_clean_scan(code, clean, root, tmp_path):
    SEEDS[code](root)
    fix(root, tmp_path / "out")
    expected, found = (nib.load(image(folder)) for folder in (clean, tmp_path / "out"))
    np.testing.assert_allclose(found.affine, expected.affine, rtol=1e-6)
    assert found.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(numbers(image(tmp_path / "out")), numbers(image(clean)))


def test_a_mask_of_several_classes_is_left(root, tmp_path):
    SEEDS["label-255"](root)
    assert fix(root, tmp_path / "out") == ()


def test_all_else_of_dataset_json_stays(root, tmp_path):
    describe(root, numTraining=1, reference="a paper")
    fix(root, tmp_path / "out")
    expected = json.loads((root / "dataset.json").read_text()) | {"numTraining": 6}
    assert json.loads((tmp_path / "out" / "dataset.json").read_text()) == expected


def test_what_cannot_be_repaired_goes_along(root, tmp_path):
    SEEDS["gzip-damaged"](root)
    (root / "README.md").write_text("phantoms")
    assert fix(root, tmp_path / "out") == ()
    assert sorted(p.relative_to(root) for p in root.rglob("*")) == sorted(
        p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*")
    )


def test_files_of_a_linked_folder_go_along(root, tmp_path):
    for part in ("imagesTr", "labelsTr"):
        (root / part).rename(tmp_path / part)
        (root / part).symlink_to(tmp_path / part)
    SEEDS["label-float"](root)
    fix(root, tmp_path / "out")
    assert check_dataset(tmp_path / "out", Silent()).findings == ()
    assert image(tmp_path / "out").samefile(image(root))


def test_a_folder_that_is_there_or_inside_is_refused(root):
    for out in (root, root / "inside", root.parent):
        with pytest.raises(InputError, match=r"there already|inside the data set"):
            fix(root, out)


def test_fixed_cases_can_be_read(root, tmp_path):
    for code in ("unit-not-mm", "label-float"):
        SEEDS[code](root)
    fix(root, tmp_path / "out")
    dataset = index_dataset(tmp_path / "out")
    volume, labels = read_case(dataset.cases[0], dataset.table)
    assert volume.warnings == ()
    np.testing.assert_array_equal(labels, numbers(label(root)))
