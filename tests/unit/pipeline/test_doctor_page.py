"""The page of a check."""

import os

import numpy as np

from hemoseg.pipeline import Silent
from hemoseg.pipeline.doctor import check_dataset
from hemoseg.pipeline.doctor_page import write_page
from nifti_files import head_hu, make_dataset, save


def write(root, path):
    checkup = check_dataset(root, Silent())
    write_page(path, checkup, checkup.result, Silent())
    return path.read_text()


def test_the_page_has_rows_and_pictures_and_nothing_from_outside(tmp_path):
    root = make_dataset(tmp_path / "<set>")
    raw = head_hu()
    save(root / "imagesTr" / "a_0000.nii.gz", np.where(raw < 0, raw + 4096, raw).astype(np.int16))
    text = write(root, tmp_path / "page.html")
    assert "Research use only" in text
    assert "&lt;set&gt;" in text
    assert '<a href="#wraparound">' in text
    assert text.count('src="data:image/png') == 1
    assert "whole range" not in text  # it stands in the picture
    assert "http:" not in text
    assert "https:" not in text


def test_files_that_cannot_be_drawn_are_left_out(tmp_path):
    root = make_dataset(tmp_path / "set")
    (root / "imagesTr" / "a_0000.nii.gz").write_bytes(b"")
    (root / "labelsTr" / "b.nii.gz").write_bytes(b"")
    text = write(root, tmp_path / "page.html")
    assert "unreadable" in text
    assert "src=" not in text


def test_a_name_of_bytes_that_are_no_text_is_written(tmp_path):
    name = os.fsdecode(b"\xff")
    text = write(make_dataset(tmp_path / "set", names=(name, "b")), tmp_path / "page.html")
    assert "\\udcff" in text


def test_a_clean_data_set_has_a_page_too(tmp_path):
    assert "Nothing was found" in write(make_dataset(tmp_path / "set", names=("a",)), tmp_path / "page.html")
