"""Small NIfTI files for tests, written by nibabel and not by the code under test."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

AFFINE_RAS = np.diag([-0.5, -0.5, 5.0, 1.0])
"""As most head CT have it: i runs to the left, j to posterior, k to superior."""


def head_hu(shape: tuple[int, int, int] = (6, 24, 20), *, seed: int = 0) -> np.ndarray[Any, Any]:
    """A box of brain in a box of bone in air, int16 HU, axes (z, y, x), with a little noise."""
    hu = np.full(shape, -1000, dtype=np.int16)
    _, y, x = shape
    hu[:, y // 6 : -y // 6, x // 6 : -x // 6] = 900
    hu[:, y // 4 : -y // 4, x // 4 : -x // 4] = 35
    return hu + np.random.default_rng(seed).integers(-5, 6, shape, dtype=np.int16)


def save(
    path: Path,
    array: np.ndarray[Any, Any],
    affine: np.ndarray[Any, Any] | None = AFFINE_RAS,
    *,
    qform: np.ndarray[Any, Any] | None = None,
    kind: Any = nib.Nifti1Image,
    header: Any = None,
    **fields: Any,
) -> Path:
    """Write an array with axes (z, y, x) or (t, z, y, x) and set header fields by name.

    Args:
        affine: sform with code 2; None for no sform.
        qform: qform with code 1; None for no qform.
    """
    if header is None:
        header = kind.header_class(endianness=">" if array.dtype.str.startswith(">") else "<")
    image = kind(array.T, np.eye(4), header, dtype=array.dtype)
    image.set_sform(affine, code=0 if affine is None else 2)
    image.set_qform(qform, code=0 if qform is None else 1)
    if affine is not None and qform is None:
        image.header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def random_rotation(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A rotation matrix, uniform over all."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def set_field(path: Path, name: str, value: Any) -> None:
    """Overwrite one header field of a plain NIfTI-1 file, past every check of nibabel."""
    data = path.read_bytes()
    header = nib.Nifti1Header(data[:348], check=False)
    header[name] = value
    path.write_bytes(header.binaryblock + data[348:])


def make_dataset(
    root: Path,
    *,
    names: tuple[str, ...] = ("a", "b"),
    labels: dict[str, int] | None = None,
    ending: str = ".nii.gz",
) -> Path:
    """An nnU-Net v2 raw folder: each case a head of its own noise with a labeled box of 8 voxels."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    label = np.zeros(head_hu().shape, dtype=np.uint8)
    label[2:4, 10:12, 8:10] = 1
    for seed, name in enumerate(names):
        save(root / "imagesTr" / f"{name}_0000{ending}", head_hu(seed=seed))
        save(root / "labelsTr" / f"{name}{ending}", label)
    description = {
        "channel_names": {"0": "CT"},
        "labels": labels or {"background": 0, "hemorrhage": 1},
        "numTraining": len(names),
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root
