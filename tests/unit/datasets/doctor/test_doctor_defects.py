"""Every kind of defect is found where it was put, and nothing else; nothing at all in clean data."""

import shutil
from pathlib import Path

import pytest
from defects import SEEDS, WITH, both, image, put, rewrite

from hemoseg.datasets.doctor import KINDS
from hemoseg.pipeline import Silent
from hemoseg.pipeline.doctor import check_dataset

UNSEEDED = {"pseudo-hu", "rows-reversed"}
"""Kinds with tests of their own: one is no defect, the other needs heads whose front differs from their back."""


def codes_of(root: Path) -> set[str]:
    return {item.code for item in check_dataset(root, Silent()).findings}


def bad(codes: set[str]) -> set[str]:
    return {code for code in codes if KINDS[code].severity != "note"}


def test_clean_data_have_no_findings(clean):
    assert codes_of(clean) == set()


def test_every_kind_is_seeded():
    assert set(KINDS) == set(SEEDS) | UNSEEDED
    assert len(KINDS) >= 25


@pytest.mark.parametrize("code", SEEDS)
def test_a_seeded_defect_is_found_and_no_other(code, clean, tmp_path):
    root = shutil.copytree(clean, tmp_path / "set")
    SEEDS[code](root)
    codes = codes_of(root)
    assert code in codes
    assert bad(codes) == bad({code}) | WITH.get(code, set())


def test_a_blank_slice_at_an_end_is_no_disorder(clean, tmp_path):
    root = shutil.copytree(clean, tmp_path / "set")
    rewrite(image(root), lambda array: put(array, [0, 13], -1000))
    assert bad(codes_of(root)) == set()


def test_slices_sorted_by_the_text_of_their_numbers_are_shuffled(clean, tmp_path):
    root = shutil.copytree(clean, tmp_path / "set")
    order = [number - 1 for number in sorted(range(1, 15), key=str)]  # 1, 10, 11, …, 2, 3, …
    both(root, change=lambda array: array[order])
    assert "slices-shuffled" in (codes := bad(codes_of(root)))
    assert codes <= {"slices-shuffled", "slices-reversed"}  # how such a head stands cannot be told
