"""nibabel knows the NIfTI header in full: the fields that we read must lie where it has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import apply_orientation, io_orientation
from nibabel.quaternions import fillpositive, quat2mat

from hemoseg.geometry import Grid
from hemoseg.io.frame import _rotation, lps_to_nifti
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


@given(seed=st.integers(0, 2**32 - 1), shear=st.sampled_from([0.0, 0.1]))
def test_the_orientation_of_readers_that_turn_axes_is_nibabels(seed: int, shear: float) -> None:
    rng = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = (directions + shear * rng.normal(size=(3, 3))) * rng.uniform(0.3, 5.0, size=3)
    grid = Grid.from_affine((2, 3, 4), affine)
    array = np.arange(24).reshape(2, 3, 4)
    expected = apply_orientation(array.transpose(2, 1, 0), io_orientation(lps_to_nifti(grid)))
    np.testing.assert_array_equal(grid.ras_orientation().apply(array), expected.transpose(2, 1, 0))
