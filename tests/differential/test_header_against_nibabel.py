"""nibabel knows the NIfTI header in full: the fields that we read must lie where it has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.quaternions import fillpositive, quat2mat

from hemoseg.io.frame import _rotation
from hemoseg.io.header import header_fields


@pytest.mark.parametrize("kind", [Nifti1Header, Nifti2Header])
@pytest.mark.parametrize("mark", ["<", ">"])
@given(seed=st.integers(0, 2**32 - 1))
def test_fields_are_nibabels(kind, mark: str, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, kind.sizeof_hdr, dtype=np.uint8).tobytes()
    raw = np.array(kind.sizeof_hdr, dtype=f"{mark}i4").tobytes() + noise[4:]
    fields, byte_order = header_fields(raw)
    expected = kind(raw, endianness=mark, check=False)
    assert byte_order == mark
    assert fields.dtype.itemsize == kind.sizeof_hdr
    for name in fields.dtype.names:
        np.testing.assert_array_equal(fields[name], expected[name], err_msg=name)


@given(vector=st.tuples(*[st.floats(-1, 1)] * 3))
def test_rotations_are_nibabels_to_the_bit(vector: tuple[float, float, float]) -> None:
    length = float(np.linalg.norm(vector))
    unit = np.array(vector) / max(1.0, length)
    expected = np.asarray(quat2mat(fillpositive(unit)), dtype=np.float64)
    np.testing.assert_array_equal(_rotation(unit), expected)
