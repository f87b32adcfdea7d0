import numpy as np
import pytest

from hemoseg.datasets import check_dataset, index_dataset
from nifti_files import AFFINE_RAS, head_hu, make_dataset, save


def check(root):
    return check_dataset(index_dataset(root))


@pytest.fixture
def root(tmp_path):
    return make_dataset(tmp_path, names=("a", "b", "c"))


def rewrite_image(root, name, array, affine=AFFINE_RAS):
    save(root / "imagesTr" / f"{name}_0000.nii.gz", array, affine)


def rewrite_label(root, name, array, affine=AFFINE_RAS):
    save(root / "labelsTr" / f"{name}.nii.gz", array, affine)


def test_a_sound_data_set_has_no_findings(root):
    assert check(root) == ()


def test_progress_is_told_after_each_case(root):
    calls = []
    check_dataset(index_dataset(root), progress=lambda *call: calls.append(call))
    assert calls == [(1, 3, "a"), (2, 3, "b"), (3, 3, "c")]


def test_errors_carry_text_and_remedy_and_come_first(root):
    rewrite_label(root, "a", np.zeros((6, 24, 20), dtype=np.uint8))
    (root / "imagesTr" / "c_0000.nii.gz").write_bytes(b"")
    error, note = check(root)
    assert (error.case, error.severity) == ("c", "error")
    assert "single-file NIfTI" in error.found
    assert "dcm2niix" in error.remedy
    assert (note.case, note.severity, note.found) == ("a", "note", "the label is empty")


def test_every_kind_of_mismatch_is_an_error(root):
    rewrite_image(root, "a", ((head_hu() + 1010) // 8).astype(np.uint8))
    rewrite_label(root, "b", np.full((6, 24, 20), 7, dtype=np.uint8))
    rewrite_label(root, "c", np.zeros((6, 24, 19), dtype=np.uint8))
    assert [(f.case, f.severity) for f in check(root)] == [("a", "error"), ("b", "error"), ("c", "error")]


def test_equal_findings_come_as_one(root):
    for seed, name in enumerate("abc"):
        rewrite_image(root, name, np.clip(head_hu(seed=seed), -20, 100))
    (finding,) = check(root)
    assert (finding.case, finding.severity) == ("3 cases", "warning")
    assert finding.found == ("HU are clipped to [-20, 100]: air, and perhaps fat and bone, were cut off [a, b, c]")


def test_findings_that_differ_in_numbers_come_as_one_that_says_so(root):
    for count, name in ((1, "a"), (2, "c")):
        hu = head_hu(seed=count)
        hu[0, 0, :count] = -2000
        rewrite_image(root, name, hu)
    (finding,) = check(root)
    assert finding.case == "2 cases"
    assert "(in a; values vary) [a, c]" in finding.found


def test_the_same_image_twice(root):
    rewrite_image(root, "c", head_hu(seed=0))
    (finding,) = check(root)
    assert (finding.case, finding.severity) == ("2 cases", "warning")
    assert "the same image under several names: a, c" in finding.found


def test_mixed_orientation_and_spacing_are_notes(root):
    affine = np.diag([-0.5, 0.5, 2.5, 1.0])
    rewrite_image(root, "b", head_hu(seed=9), affine)
    rewrite_label(root, "b", (head_hu() > 100).astype(np.uint8), affine)
    orientation, spacing = check(root)
    assert {orientation.severity, spacing.severity} == {"note"}
    assert "SAL 1, SPL 2" in orientation.found
    assert "z 2.5 to 5, y 0.5 to 0.5" in spacing.found


def test_class_without_agreed_meaning_is_a_note(tmp_path):
    root = make_dataset(tmp_path, labels={"background": 0, "clot": 1})
    (finding,) = check(root)
    assert finding.severity == "note"
    assert "'clot'" in finding.found
