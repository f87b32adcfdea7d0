"""No file, however damaged, stops the data doctor."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.datasets.doctor import KINDS, diagnose, survey_dataset
from hemoseg.datasets.doctor.examine import Examination, examine_case
from nifti_files import make_dataset

OFFSETS = st.integers(0, 351)
DAMAGE = st.lists(st.tuples(OFFSETS, st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("set") / "set", names=("a",), ending=".nii")


def codes_after(root: Path, content: bytes, *, kind: str) -> set[str]:
    path = root / ("imagesTr/a_0000.nii" if kind == "image" else "labelsTr/a.nii")
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        survey = survey_dataset(root)
        facts = [examine_case(Examination(entry=entry, table=survey.table)) for entry in survey.entries]
        return {finding.code for finding in diagnose(survey, facts)}
    finally:
        path.write_bytes(before)


@settings(max_examples=100)
@given(DAMAGE, st.sampled_from(["image", "label"]), st.booleans())
def test_damaged_headers_become_findings(root, damage, kind, zipped):
    data = bytearray((root / ("imagesTr/a_0000.nii" if kind == "image" else "labelsTr/a.nii")).read_bytes())
    for offset, piece in damage:
        data[offset : offset + len(piece)] = piece
    content = gzip.compress(bytes(data), 1) if zipped else bytes(data)
    assert codes_after(root, content, kind=kind) <= set(KINDS)


@pytest.mark.parametrize("kind", ["image", "label"])
def test_files_of_noise_become_findings(root, kind):
    for size in (0, 1, 2, 100, 352, 5000):
        noise = np.random.default_rng(size).bytes(size)
        assert "unreadable" in codes_after(root, noise, kind=kind)
        assert {"unreadable", "gzip-damaged"} & codes_after(root, b"\x1f\x8b" + noise, kind=kind)
