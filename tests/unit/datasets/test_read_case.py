import numpy as np
import pytest

from hemoseg.datasets import index_dataset, read_case, source_of
from hemoseg.errors import GeometryError, InputError, LabelError
from nifti_files import AFFINE_RAS, head_hu, make_dataset, save


def first_case(root):
    dataset = index_dataset(root)
    return dataset.cases[0], dataset.table


def test_scan_and_labels_of_a_case(tmp_path):
    volume, labels = read_case(*first_case(make_dataset(tmp_path)))
    assert volume.name == "a_0000"
    assert labels.dtype == np.uint8
    assert labels.shape == volume.hu.shape
    assert labels.sum() == 8


def test_label_of_another_shape(tmp_path):
    root = make_dataset(tmp_path)
    save(root / "labelsTr" / "a.nii.gz", np.zeros((5, 24, 20), dtype=np.uint8))
    with pytest.raises(GeometryError, match=r"\(5, 24, 20\) voxels \(z, y, x\), the image \(6, 24, 20\)"):
        read_case(*first_case(root))


@pytest.mark.parametrize(("shift_mm", "fits"), [(0.0, True), (0.09, True), (0.11, False), (5.0, False)])
def test_label_in_another_place(tmp_path, shift_mm, fits):
    root = make_dataset(tmp_path)
    affine = AFFINE_RAS.copy()
    affine[2, 3] += shift_mm
    save(root / "labelsTr" / "a.nii.gz", (head_hu() > 100).astype(np.uint8), affine)
    if fits:
        read_case(*first_case(root))
    else:
        with pytest.raises(GeometryError, match=f"{shift_mm:.2f} mm apart"):
            read_case(*first_case(root))


def test_strange_label_values_name_the_file(tmp_path):
    root = make_dataset(tmp_path)
    save(root / "labelsTr" / "a.nii.gz", np.full((6, 24, 20), 255, dtype=np.uint8))
    with pytest.raises(LabelError, match=r"a\.nii\.gz: label values \[255"):
        read_case(*first_case(root))


@pytest.mark.parametrize("name", ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"])
def test_a_folder_in_a_files_place_is_named(tmp_path, name):
    root = make_dataset(tmp_path)
    case, table = first_case(root)
    (root / name).unlink()
    (root / name).mkdir()
    with pytest.raises(InputError, match=rf"{name}: cannot be read: Is a directory"):
        source_of(case)
    with pytest.raises(InputError, match=rf"{name}: a folder"):
        read_case(case, table)
