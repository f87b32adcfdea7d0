"""One function per kind of defect, which puts it into a clean data set of phantoms and does no other harm."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

Seed = Callable[[Path], None]
FIRST, SECOND = "phantom_000", "phantom_001"


def image(root: Path, name: str = FIRST) -> Path:
    return root / "imagesTr" / f"{name}_0000.nii.gz"


def label(root: Path, name: str = FIRST) -> Path:
    return root / "labelsTr" / f"{name}.nii.gz"


def numbers(path: Path) -> np.ndarray[Any, Any]:
    """The voxels of a file, axes (z, y, x)."""
    return np.asanyarray(nib.load(path).dataobj).T


def rewrite(
    path: Path,
    change: Callable[[Any], Any] | None = None,
    *,
    dtype: Any = None,
    frame: Callable[[Any], Any] | None = None,
    **fields: Any,
) -> None:
    """Change the voxels (z, y, x), the affine (voxel i, j, k to RAS) or header fields of a file."""
    old = nib.load(path)
    array = np.asanyarray(old.dataobj).T
    array = array if change is None else change(array.copy())
    array = array if dtype is None else array.astype(dtype)
    affine = old.affine if frame is None else frame(old.affine.copy())
    new = nib.Nifti1Image(np.ascontiguousarray(array.T), affine, dtype=array.dtype)
    new.header.set_xyzt_units("mm")
    for name, value in fields.items():
        new.header[name] = value
    new.to_filename(path)


def both(root: Path, **changes: Any) -> None:
    for path in (image(root), label(root)):
        rewrite(path, **changes)


def raw(path: Path, change: Callable[[bytearray], Any]) -> None:
    """Change the inflated bytes of a file."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    result = change(data)
    path.write_bytes(gzip.compress(data if result is None else result))


def field(name: str, value: Any) -> Callable[[bytearray], bytes]:
    """Set one field of a header past every check of nibabel."""

    def change(data: bytearray) -> bytes:
        header = nib.Nifti1Header(bytes(data[:348]), check=False)
        header[name] = value
        return header.binaryblock + bytes(data[348:])

    return change


def describe(root: Path, **changes: Any) -> None:
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def note(root: Path, case: dict[str, Any], *, name: str = FIRST, **changes: Any) -> None:
    """Write hemoseg.json with notes on one case."""
    sources = [{"name": "phantoms", "license": "none", "citation": ""}]
    cases = {name: {"source": 0, "annotates": ["hemorrhage", "edema"], **case}}
    (root / "hemoseg.json").write_text(json.dumps({"version": 1, "sources": sources, "cases": cases, **changes}))


def remove(path: Path, root: Path, cases: int) -> None:
    path.unlink()
    describe(root, numTraining=cases)


def scaled(factor: float) -> Callable[[Any], Any]:
    return lambda affine: np.diag([factor, factor, factor, 1.0]) @ affine


def moved(mm: float) -> Callable[[Any], Any]:
    def change(affine: Any) -> Any:
        affine[0, 3] += mm
        return affine

    return change


def columns(*factors: float) -> Callable[[Any], Any]:
    return lambda affine: affine @ np.diag([*factors, 1.0])


def sheared(affine: Any) -> Any:
    affine[1, 2] += 1.5  # 10 mm of slice interval: 8.5 degrees
    return affine


def put(array: Any, where: Any, value: Any) -> Any:
    array[where] = value
    return array


def reversed_frame(affine: Any) -> Any:
    """The same place for voxels that are stored with slices reversed (14 of them)."""
    affine[:3, 3] += affine[:3, 2] * 13
    affine[:3, 2] *= -1
    return affine


def swap_slices(array: Any) -> Any:
    array[[5, 12]] = array[[12, 5]]
    return array


def frame_of(value: int, *, width: int) -> Callable[[Any], Any]:
    """Fill a frame around each slice."""

    def change(array: Any) -> Any:
        kept = array[:, width:-width, width:-width].copy()
        array[:] = value
        array[:, width:-width, width:-width] = kept
        return array

    return change


def padded_above(array: Any) -> Any:
    """Padding around the upper half only, as if it were scanned with a smaller field of view."""
    array[7:] = frame_of(-2000, width=5)(array[7:])
    return array


def on_bone(root: Path) -> None:
    hu = numbers(image(root))
    rewrite(label(root), lambda array: ((hu > 300) & (np.arange(14)[:, None, None] == 5)).astype(np.uint8))


def in_air(root: Path) -> None:
    def change(array: Any) -> Any:
        array[:] = 0
        array[4:8, 2:6, 2:6] = 1
        return array

    rewrite(label(root), change)


def in_padding(root: Path) -> None:
    where = tuple(int(axis[0]) for axis in np.nonzero(numbers(label(root)) == 1))
    rewrite(image(root), lambda array: put(array, where, -2000))


def near_copy(root: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 3, (14, 64, 64))
    for part in (image, label):
        shutil.copy(part(root), part(root, SECOND))
    rewrite(image(root, SECOND), lambda array: np.rint(array + noise), dtype=np.int16)


def copy_case(root: Path) -> None:
    for part in (image, label):
        shutil.copy(part(root), part(root, SECOND))


def half_qform(root: Path) -> None:
    """A qform 3 mm beside the sform."""
    for path in (image(root), label(root)):
        raw(path, lambda data: field("qoffset_x", nib.Nifti1Header(bytes(data[:348])).get_qform()[0, 3] + 3)(data))


def no_sizes(root: Path) -> None:
    """Voxel sizes that are none, and no qform, which could not do without."""
    for path in (image(root), label(root)):
        raw(path, field("qform_code", 0))
        raw(path, field("pixdim", [1, np.nan, 0, 1, 0, 0, 0, 0]))


def signed_sizes(root: Path) -> None:
    for path in (image(root), label(root)):
        raw(
            path,
            lambda data: field("pixdim", nib.Nifti1Header(bytes(data[:348]))["pixdim"] * [1, 1, -1, *[1] * 5])(data),
        )


def other_sizes(root: Path) -> None:
    """Slices that are thinner by pixdim than by the sform."""
    for path in (image(root), label(root)):
        raw(path, field("qform_code", 0))
        raw(
            path,
            lambda data: field("pixdim", nib.Nifti1Header(bytes(data[:348]))["pixdim"] * [1, 1, 1, 0.8, *[1] * 4])(
                data
            ),
        )


def unframed(root: Path) -> None:
    for path in (image(root), label(root)):
        raw(path, field("sform_code", 0))
        raw(path, field("qform_code", 0))


def empty_all(root: Path) -> None:
    for path in (root / "labelsTr").iterdir():
        rewrite(path, np.zeros_like)


def empty_folders(root: Path) -> None:
    for path in (*(root / "labelsTr").iterdir(), *(root / "imagesTr").iterdir()):
        path.unlink()


def wrapped(array: Any) -> Any:
    return np.where(array < 0, array + 4096, array)


def damage(root: Path) -> None:
    path = image(root)
    path.write_bytes(path.read_bytes()[:-2000])


def one_slice(root: Path) -> None:
    for path in (image(root), label(root)):
        rewrite(path, lambda array: array[7:8])


def record_beyond(root: Path) -> None:
    note(root, {"filled_slices": [14]})


SEEDS: dict[str, Seed] = {
    "no-description": lambda root: (root / "dataset.json").unlink(),
    "description": lambda root: (root / "dataset.json").write_text("{"),
    "channels": lambda root: describe(root, channel_names={"0": "CT", "1": "MR"}),
    "label-table": lambda root: describe(root, labels={"background": 0, "hemorrhage": 2}),
    "file-ending": lambda root: describe(root, file_ending=".mha"),
    "case-count": lambda root: describe(root, numTraining=7),
    "no-cases": empty_folders,
    "image-name": lambda root: shutil.copy(image(root), root / "imagesTr" / "extra.nii.gz"),
    "label-missing": lambda root: remove(label(root), root, 5),
    "image-missing": lambda root: remove(image(root), root, 5),
    "surplus-file": lambda root: (root / "imagesTr" / "notes.txt").write_text(""),
    "patients": lambda root: (root / "patients.csv").write_text("case,patient\nphantom_000,a\n"),
    "record": lambda root: (root / "hemoseg.json").write_text("{}"),
    "record-differs": record_beyond,
    "class-name": lambda root: describe(root, labels={"background": 0, "clot": 1, "edema": 2}),
    "class-absent": lambda root: describe(root, labels={"background": 0, "hemorrhage": 1, "edema": 2, "ivh": 3}),
    "all-empty": empty_all,
    "unreadable": lambda root: image(root).write_bytes(b""),
    "gzip-damaged": damage,
    "header-size": lambda root: raw(image(root), field("dim", [3, 30000, 30000, 30000, 1, 1, 1, 1])),
    "voxel-type": lambda root: raw(image(root), field("datatype", 128)),
    "four-d": lambda root: rewrite(image(root), lambda array: np.stack([array, array])),
    "extra-axis": lambda root: raw(image(root), field("dim", [4, 64, 64, 14, 1, 1, 1, 1])),
    "single-slice": one_slice,
    "matrix": lambda root: raw(image(root), field("srow_z", [0, 0, 0, 0])),
    "unit-wrong": lambda root: rewrite(image(root), frame=scaled(0.001)),
    "unit-not-mm": lambda root: rewrite(image(root), frame=scaled(0.001), xyzt_units=1),
    "no-frame": unframed,
    "frames-differ": half_qform,
    "no-voxel-sizes": no_sizes,
    "negative-voxel-sizes": signed_sizes,
    "voxel-sizes-differ": other_sizes,
    "sheared": lambda root: both(root, frame=sheared),
    "surplus-bytes": lambda root: raw(image(root), lambda data: bytes(data) + b"more"),
    "pixels-not-square": lambda root: both(root, frame=columns(1.1, 1, 1)),
    "shape-differs": lambda root: rewrite(label(root), lambda array: array[:-1]),
    "spacing-differs": lambda root: rewrite(label(root), frame=columns(1, 1, 0.9)),
    "place-differs": lambda root: rewrite(label(root), frame=moved(10)),
    "frame-rounding": lambda root: rewrite(label(root), frame=moved(0.01)),
    "not-finite": lambda root: rewrite(image(root), lambda a: put(a.astype(np.float32), (3, 3, 3), np.nan)),
    "constant": lambda root: rewrite(image(root), lambda array: np.full_like(array, 40)),
    "offset": lambda root: rewrite(image(root), lambda array: array + 1024),
    "wraparound": lambda root: rewrite(image(root), wrapped, dtype=np.int16),
    "not-hu": lambda root: rewrite(image(root), lambda array: np.clip((array + 100) * 0.8, 0, 255), dtype=np.uint8),
    "clipped": lambda root: rewrite(image(root), lambda array: np.clip(array, -20, 100)),
    "padding": lambda root: rewrite(image(root), frame_of(-2000, width=2)),
    "zero-fill": lambda root: rewrite(image(root), frame_of(0, width=3)),
    "coarse-values": lambda root: rewrite(image(root), lambda array: array // 8 * 8),
    "brain-hu": lambda root: rewrite(image(root), lambda array: array + 60),
    "slices-reversed": lambda root: both(root, change=lambda array: array[::-1]),
    "slices-shuffled": lambda root: both(root, change=swap_slices),
    "slice-repeated": lambda root: rewrite(image(root), lambda array: put(array, 9, array[10])),
    "slice-blank": lambda root: rewrite(image(root), lambda array: put(array, 10, -1000)),
    "field-changes": lambda root: rewrite(image(root), padded_above),
    "label-values": lambda root: rewrite(label(root), lambda array: put(array, (5, 5, 5), 7)),
    "label-255": lambda root: rewrite(label(root), lambda array: (array > 0) * 255, dtype=np.uint8),
    "label-fractions": lambda root: rewrite(label(root), lambda array: array * 0.5, dtype=np.float32),
    "label-float": lambda root: rewrite(label(root), dtype=np.float32),
    "label-empty": lambda root: rewrite(label(root), np.zeros_like),
    "label-in-air": in_air,
    "label-in-bone": on_bone,
    "label-in-padding": in_padding,
    "label-islands": lambda root: rewrite(label(root), lambda array: put(array, (7, 10, 32), 1)),
    "label-mirrored": lambda root: rewrite(label(root, "phantom_002"), lambda array: array[:, :, ::-1]),
    "duplicate": copy_case,
    "near-duplicate": near_copy,
    "orientations": lambda root: both(root, change=lambda array: array[::-1], frame=reversed_frame),
    "spacings": lambda root: both(root, frame=columns(1, 1, 1.6)),
    "field-of-view": lambda root: both(root, frame=columns(1.6, 1.6, 1)),
}
"""{code: what makes it}."""
WITH = {"field-changes": {"padding"}, "label-in-padding": {"padding"}}
"""Errors and warnings that cannot but come with a defect."""
