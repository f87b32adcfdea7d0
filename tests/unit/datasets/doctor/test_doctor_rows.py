"""How findings are put together, and what is told of clean, marked and broken data sets."""

import json

import numpy as np
import pytest
from defects import image, label, note, rewrite

from hemoseg.datasets.doctor import Finding, make_rows
from hemoseg.errors import InputError
from hemoseg.pipeline import Silent
from hemoseg.pipeline.doctor import check_dataset
from nifti_files import AFFINE_RAS, head_hu, make_dataset, save


@pytest.fixture
def small(tmp_path):
    """Three heads that differ by noise alone."""
    return make_dataset(tmp_path / "small", names=("a", "b", "c"))


def rows_of(root):
    return check_dataset(root, Silent()).result.rows


def rewrite_image(root, name, array, affine=AFFINE_RAS):
    save(root / "imagesTr" / f"{name}_0000.nii.gz", array, affine)


def rewrite_label(root, name, array, affine=AFFINE_RAS):
    save(root / "labelsTr" / f"{name}.nii.gz", array, affine)


class Told(Silent):
    def __init__(self):
        self.calls = []

    def advance(self, done, text=""):
        self.calls.append((done, text))


def test_progress_is_told_after_each_case(small):
    watch = Told()
    check_dataset(small, watch)
    assert [done for done, _ in watch.calls] == [1, 2, 3]
    assert {name for _, name in watch.calls} == {"a", "b", "c"}


def test_errors_carry_text_and_remedy_and_come_first(small):
    rewrite_label(small, "a", np.zeros((6, 24, 20), dtype=np.uint8))
    (small / "imagesTr" / "c_0000.nii.gz").write_bytes(b"")
    error, note_ = (row for row in rows_of(small) if row.code != "near-duplicate")
    assert (error.where, error.severity, error.code) == ("c", "error", "unreadable")
    assert "0 bytes" in error.text
    assert "dcm2niix" in error.remedy
    assert (note_.where, note_.severity, note_.code) == ("a", "note", "label-empty")


def test_everything_is_told_in_one_go(small):
    """A broken dataset.json, table and file keep nothing else from being looked at."""
    (small / "dataset.json").write_text("{")
    (small / "patients.csv").write_text("case,patient\na,p\n")
    (small / "imagesTr" / "a_0000.nii.gz").write_bytes(b"no NIfTI")
    rewrite_image(small, "b", np.full((6, 24, 20), 7, dtype=np.int16))
    rewrite_label(small, "c", np.zeros((6, 24, 19), dtype=np.uint8))
    codes = {row.code for row in rows_of(small)}
    assert codes == {"description", "patients", "unreadable", "constant", "shape-differs"}


def test_equal_findings_come_as_one_row(small):
    for seed, name in enumerate("abc"):
        rewrite_image(small, name, np.clip(head_hu(seed=seed), -20, 100))
    clipped = next(row for row in rows_of(small) if row.code == "clipped")
    assert (clipped.where, clipped.severity) == ("3 cases", "warning")
    assert clipped.text == "HU are clipped to [-20, 100]: air, and perhaps fat and bone, were cut off [a, b, c]"


def test_findings_that_differ_in_numbers_come_as_one_row_that_says_so():
    findings = [Finding(code="padding", cases=(name,), found=f"{count} voxels") for count, name in ((1, "a"), (2, "c"))]
    (row,) = make_rows(findings)
    assert row.where == "2 cases"
    assert row.text == "1 voxels (in a; values vary) [a, c]"


def test_orientations_and_spacings_are_told(small):
    affine = np.diag([-0.5, 0.5, 2.5, 1.0])
    rewrite_image(small, "b", head_hu(seed=9), affine)
    rewrite_label(small, "b", (head_hu() > 100).astype(np.uint8), affine)
    rows = {row.code: row for row in rows_of(small)}
    assert "SAL 1, SPL 2" in rows["orientations"].text
    assert "z 2.5 to 5, y 0.5 to 0.5" in rows["spacings"].text


def test_one_patient_may_have_equal_scans(root):
    for part in (image, label):
        part(root, "phantom_001").write_bytes(part(root).read_bytes())
    names = [f"phantom_{k:03d}" for k in range(6)]
    patients = "\n".join(f"{name},{'p' if k < 2 else name}" for k, name in enumerate(names))
    (root / "patients.csv").write_text(f"case,patient\n{patients}\n")
    assert rows_of(root) == ()


def test_pseudo_hu_that_are_marked_are_a_note(root):
    """Clipped, and in the steps of a window 3200 HU wide, as the record says."""
    for path in (root / "imagesTr").iterdir():
        rewrite(path, lambda array: np.round(np.clip(array, -20, 100) / 2) * 2)
    assert {row.code for row in rows_of(root)} == {"clipped", "coarse-values"}
    note(root, {}, intensity="pseudo-hu", bounds_hu=[-20, 100])
    assert {row.code for row in rows_of(root)} == {"pseudo-hu"}
    note(root, {}, intensity="pseudo-hu", bounds_hu=[-900, 2300])  # as merged with pictures of a wider range
    assert {row.code for row in rows_of(root)} == {"pseudo-hu", "clipped"}
    note(root, {}, intensity="pseudo-hu", bounds_hu=[-20, 99])
    assert {row.code for row in rows_of(root)} == {"pseudo-hu", "not-hu"}


def test_ignored_slices_are_no_defect(root):
    description = json.loads((root / "dataset.json").read_text())
    description["labels"]["ignore"] = 3
    (root / "dataset.json").write_text(json.dumps(description))

    def ignore(array):
        array[[0, 12]] = 3
        return array

    rewrite(label(root), ignore)
    note(root, {"ignored_slices": [0, 12]})
    assert rows_of(root) == ()
    note(root, {"ignored_slices": [0, 5]})
    (row,) = rows_of(root)
    assert (row.code, row.text) == ("record-differs", "slice 5 is said to be ignored and is not")


def test_filled_slices_may_repeat_their_neighbors(root):
    def fill(array):
        array[9] = array[10]
        return array

    rewrite(image(root), fill)
    (row,) = rows_of(root)
    assert row.instances[0].slices == (9, 10)
    note(root, {"filled_slices": [9]})
    assert rows_of(root) == ()


def test_classes_beyond_those_annotated_contradict_the_record(root):
    note(root, {"annotates": ["hemorrhage"]})
    (row,) = rows_of(root)
    assert "holds edema, which it is said not to annotate" in row.text
    note(root, {"annotates": ["any", "edema"]})  # blood of any kind
    assert rows_of(root) == ()


def test_a_record_of_other_cases_is_an_error(root):
    note(root, {}, name="gone")
    (row,) = rows_of(root)
    assert (row.code, row.severity) == ("record", "error")


def test_slices_are_numbered_as_stored(root):
    """A blank slice of a scan whose slices run down."""

    def down(array):
        array[3] = -1000
        return array[::-1]

    def frame(affine):
        affine[:3, 3] += affine[:3, 2] * 13
        affine[:3, 2] *= -1
        return affine

    rewrite(image(root), down, frame=frame)
    rewrite(label(root), lambda array: array[::-1], frame=frame)
    row = next(row for row in rows_of(root) if row.code == "slice-blank")
    assert row.instances[0].slices == (10,)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        check_dataset(tmp_path / "nowhere", Silent())
