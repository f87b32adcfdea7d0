"""The challenge's numbers: those of its own program, run on these masks, and by hand."""

import numpy as np
import pytest

from hemoseg.errors import GeometryError, LabelError
from hemoseg.evaluation import evaluate_challenge
from hemoseg.evaluation.instance2022 import score_bytes
from nifti_files import save

THICK_MM = (5.0, 0.45, 0.45)


def box(z, y, x, *, value=1):
    """A box of 4 x 20 x 20 voxels whose first is (z, y, x)."""
    mask = np.zeros((12, 40, 40), dtype=np.uint8)
    mask[z : z + 4, y : y + 20, x : x + 20] = value
    return mask


EMPTY, BOX = np.zeros((12, 40, 40), dtype=np.uint8), box(2, 5, 5)


@pytest.mark.parametrize(
    ("prediction", "dice", "nsd", "hd"), [(box(2, 5, 6), 0.95, 0.636, 0.45), (box(3, 5, 5), 0.75, 0.726, 5.0)]
)
def test_shifted_boxes(prediction, dice, nsd, hd):
    scores = score_bytes(BOX, prediction, THICK_MM)
    assert scores["dice"] == pytest.approx(dice, abs=1e-7)
    assert scores["nsd_0.42mm"] == pytest.approx(nsd, abs=1e-3)
    assert scores["hd_mm"] == hd
    assert scores["rvd"] == 0
    assert "note" not in scores


def test_prediction_empty():
    scores = score_bytes(BOX, EMPTY, THICK_MM)
    assert scores["dice"] == 1e-5 / (1600 + 1e-5)
    assert (scores["rvd"], scores["nsd_0.42mm"], scores["hd_mm"]) == (1, 0, None)
    assert scores["note"] == "a mask has no surface: hd_mm is infinite"


def test_reference_empty():
    scores = score_bytes(EMPTY, BOX, THICK_MM)
    assert (scores["rvd"], scores["nsd_0.42mm"], scores["hd_mm"]) == (None, 0, None)
    assert "the challenge's program stops with an error at rvd" in scores["note"]


def test_both_empty():
    scores = score_bytes(EMPTY, EMPTY, THICK_MM)
    assert scores["dice"] == 1
    assert (scores["rvd"], scores["nsd_0.42mm"], scores["hd_mm"]) == (None, None, None)
    assert "not a number" in scores["note"]


def test_a_mask_of_0_and_255_is_scored_by_its_values():
    scores = score_bytes(BOX, box(2, 5, 5, value=255), THICK_MM)
    assert scores["dice"] == pytest.approx((2 * 1600 + 1e-5) / (1600 + 255 * 1600 + 1e-5))
    assert scores["rvd"] == 0
    assert scores["nsd_0.42mm"] < 1
    assert scores["hd_mm"] > 0  # the inside becomes surface, as its codes overflow


AFFINE = np.diag([-0.45, -0.45, 5.0, 1.0])


@pytest.fixture
def folders(tmp_path):
    """References `a` and `b`, and predictions one pixel aside."""
    for folder in "rp":
        (tmp_path / folder).mkdir()
    for name in "ab":
        save(tmp_path / "r" / f"{name}.nii.gz", BOX, AFFINE)
        save(tmp_path / "p" / f"{name}.nii.gz", box(2, 5, 6), AFFINE)
    return tmp_path / "p", tmp_path / "r"


def test_files(folders):
    result = evaluate_challenge(*folders, labels=None)
    assert result["protocol"] == "instance2022"
    assert result["cases"][0]["classes"]["hemorrhage"]["dice"] == pytest.approx(0.95)
    assert result["mean"]["hemorrhage"]["hd_mm"]["value"] == pytest.approx(0.45)
    assert set(result["rules"]) == set(result["mean"]["hemorrhage"]) == {"dice", "rvd", "nsd_0.42mm", "hd_mm"}
    assert result["warnings"] == []


def test_one_empty_prediction_leaves_no_mean_distance(folders):
    save(folders[0] / "b.nii.gz", EMPTY, AFFINE)
    mean = evaluate_challenge(*folders, labels=None)["mean"]["hemorrhage"]
    assert mean["hd_mm"]["value"] is None
    assert mean["hd_mm"]["note"] == "no finite value in 1 of 2 cases; mean of the other 1: 0.4500"
    assert mean["dice"]["value"] == pytest.approx(0.475)


def test_spacing_is_pixdim_of_the_reference(folders):
    """The voxel positions say 0.9 mm, pixdim 0.45: the challenge reads pixdim."""
    for name in "ab":
        save(folders[1] / f"{name}.nii.gz", BOX, np.diag([-0.9, -0.9, 5.0, 1.0]), pixdim=[1, 0.45, 0.45, 5, 0, 0, 0, 0])
    result = evaluate_challenge(*folders, labels=None)
    assert result["mean"]["hemorrhage"]["hd_mm"]["value"] == pytest.approx(0.45)
    assert "mm apart, which the challenge ignores" in result["warnings"][0]


def test_0_and_255_decimals_and_wide_numbers_are_taken_as_bytes_with_a_warning(folders):
    save(folders[0] / "a.nii.gz", box(2, 5, 5, value=255), AFFINE)
    save(folders[0] / "b.nii.gz", BOX.astype(np.float32) * 0.9, AFFINE)
    result = evaluate_challenge(*folders, labels=None)
    assert "a: the prediction holds values up to 255" in result["warnings"][0]
    assert "b: the prediction holds values that are no bytes in 1,600 voxels, like 0.9" in result["warnings"][1]
    assert len(result["warnings"]) == 2
    first, second = (case["classes"]["hemorrhage"] for case in result["cases"])
    assert first["dice"] == pytest.approx(2 / 256)
    assert second["rvd"] == 1  # 0.9 becomes 0
    save(folders[0] / "a.nii.gz", BOX.astype(np.int16) * 257, AFFINE)
    result = evaluate_challenge(*folders, labels=None)
    assert result["cases"][0]["classes"]["hemorrhage"]["dice"] == pytest.approx(1)
    assert "no bytes in 1,600 voxels, like 257" in result["warnings"][0]
    save(folders[0] / "a.nii.gz", BOX.astype(np.float64), AFFINE)
    save(folders[0] / "b.nii.gz", BOX.astype(np.int16), AFFINE)
    assert evaluate_challenge(*folders, labels=None)["warnings"] == []


def test_several_classes_are_one(folders, tmp_path):
    names = tmp_path / "names.json"
    names.write_text('{"labels": {"background": 0, "iph": 1, "ivh": 2, "edema": 3}}')
    both = BOX.copy()
    both[:, :10] *= 2
    save(folders[0] / "a.nii.gz", both, AFFINE)
    both[0] = 3
    save(folders[1] / "a.nii.gz", both, AFFINE)
    result = evaluate_challenge(*folders, labels=names)
    assert result["cases"][0]["classes"]["hemorrhage"]["dice"] == 1
    assert result["warnings"] == ["the challenge has one class: iph, ivh counted as it, edema as background"]
    save(folders[0] / "a.nii.gz", box(2, 5, 5, value=9), AFFINE)
    with pytest.raises(LabelError, match="9"):
        evaluate_challenge(*folders, labels=names)


def test_other_shapes_are_refused(folders):
    save(folders[0] / "a.nii.gz", BOX[1:], AFFINE)
    with pytest.raises(GeometryError, match=r"\(11, 40, 40\)"):
        evaluate_challenge(*folders, labels=None)


def test_bleeding_regions_count_as_the_one_class(tmp_path):
    reference = box(2, 5, 5, value=2)
    reference[2:6, 5:10, 5:10] = 1
    for side, mask in (("p", BOX), ("r", reference)):
        (tmp_path / side).mkdir()
        save(tmp_path / side / "a.nii.gz", mask)
    description = '{"labels": {"background": 0, "hemorrhage": [1, 2], "ivh": [1]}}'
    (tmp_path / "r" / "dataset.json").write_text(description)
    found = evaluate_challenge(tmp_path / "p", tmp_path / "r", labels=None)
    assert found["mean"]["hemorrhage"]["dice"]["value"] == 1
    assert found["warnings"] == ["the challenge has one class: hemorrhage, ivh counted as it"]
