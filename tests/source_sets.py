"""Published layouts, written small: each head is a box of brain in a box of bone, each bleed a box of voxels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nifti_files import AFFINE_RAS, head_hu, save

SHAPE = (6, 24, 20)
"""Voxels (z, y, x) of every scan."""
COLUMNS = (
    "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage,"
    "Fracture_Yes_No"
)
"""The header of CT-ICH's table."""
KINDS = ("ivh", "iph", "sah", "edh", "sdh")
"""Its columns of kinds, in its order."""


def box(*numbers: int, dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    """A mask with a box of eight voxels for each number, beside each other along x, on slices 2 and 3."""
    mask = np.zeros(SHAPE, dtype=dtype)
    for place, number in enumerate(numbers):
        mask[2:4, 10:12, 6 + 2 * place : 8 + 2 * place] = number
    return mask


def volume(path: Path, *, seed: int = 0, affine: np.ndarray[Any, Any] = AFFINE_RAS) -> Path:
    """Write a head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(path, head_hu(SHAPE, seed=seed), affine)


def mask(path: Path, array: np.ndarray[Any, Any], *, affine: np.ndarray[Any, Any] = AFFINE_RAS) -> Path:
    """Write a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(path, array, affine)


def write_instance22(root: Path, *, cases: int = 2, folder: str = "train_2") -> Path:
    """INSTANCE 2022's training part."""
    for number in range(1, cases + 1):
        volume(root / folder / "data" / f"{number:03d}.nii.gz", seed=number)
        mask(root / folder / "label" / f"{number:03d}.nii.gz", box(1))
    return root


def write_bhsd(root: Path, names: tuple[str, ...], *, split: tuple[str, ...] | None = None) -> Path:
    """BHSD as it unpacks; `split` names the test part."""
    for seed, name in enumerate(names):
        volume(root / "label_192" / "images" / f"{name}.nii.gz", seed=seed)
        mask(root / "label_192" / "ground truths" / f"{name}.nii.gz", box(1, 2, 3, 4, 5))
    if split is not None:
        training = [
            {"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names if n not in split
        ]
        test = [f"./imagesTs/{name}.nii.gz" for name in split]
        (root / "dataset.json").write_text(json.dumps({"training": training, "test": test}))
    return root


def write_nnunet_v1(root: Path, *, labels: dict[str, str], numbers: tuple[int, ...] = (1,), **others: Any) -> Path:
    """An nnU-Net v1 Task folder with two cases and a test scan."""
    for seed, name in enumerate(("a", "b")):
        volume(root / "imagesTr" / f"{name}_0000.nii.gz", seed=seed)
        mask(root / "labelsTr" / f"{name}.nii.gz", box(*numbers))
    volume(root / "imagesTs" / "t_0000.nii.gz", seed=9)
    description = {
        "name": "Bleeds",
        "modality": {"0": "CT"},
        "labels": labels,
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("a", "b")],
        "test": ["./imagesTs/t.nii.gz"],
        **others,
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


def rows(patient: int, seen: dict[int, tuple[str, ...]]) -> list[str]:
    """Lines of CT-ICH's table."""
    return [
        ",".join(map(str, [patient, number, *(int(kind in kinds) for kind in KINDS), int(not kinds), 0]))
        for number, kinds in seen.items()
    ]


def write_table(path: Path, lines: list[str]) -> Path:
    """Write CT-ICH's table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([COLUMNS, *lines]) + "\n")
    return path


def picture(path: Path, levels: np.ndarray[Any, Any]) -> Path:
    """Write a gray JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.astype(np.uint8)).save(path, quality=95)
    return path


def windowed(hu: np.ndarray[Any, Any], low: float, high: float) -> np.ndarray[Any, Any]:
    """Levels 0 to 255 of HU in a window."""
    return np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255)


def write_pictures(
    root: Path, patient: int, *, slices: int = 5, missing: tuple[int, ...] = (), masks: tuple[int, ...] = ()
) -> np.ndarray[Any, Any]:
    """One patient of CT-ICH 1.0: slice k has brain of 20 + 5 k HU, blood of 70 where masked; the HU are returned."""
    folder = root / "Patients_CT" / f"{patient:03d}"
    hu = np.full((slices, 48, 40), -1000.0)
    for number in range(1, slices + 1):
        plane = hu[number - 1]
        plane[4:44, 4:36] = 900
        plane[8:40, 8:32] = 20 + 5 * number
        if number in masks:
            plane[16:24, 8:16] = 70
            picture(folder / "brain" / f"{number}_HGE_Seg.jpg", np.where(plane == 70, 255, 0))
        if number not in missing:
            picture(folder / "brain" / f"{number}.jpg", windowed(plane, -20, 100))
            picture(folder / "bone" / f"{number}.jpg", windowed(plane, -900, 2300))
    return hu


def write_ct_ich_pictures(root: Path, *, missing: tuple[int, ...] = ()) -> Path:
    """CT-ICH 1.0: patient 49 is healthy; 77 bleeds on slices 2 to 4, of which slice 3 has a mask."""
    write_pictures(root, 49)
    write_pictures(root, 77, missing=missing, masks=(3,))
    lines = [
        *rows(49, dict.fromkeys(range(1, 6), ())),
        *rows(77, {1: (), 2: ("edh",), 3: ("edh", "sah"), 4: ("edh",), 5: ()}),
    ]
    write_table(root / "hemorrhage_diagnosis.csv", lines)
    return root


def write_ct_ich_volumes(root: Path) -> Path:
    """CT-ICH 1.3.1: 49 is healthy; 50 bleeds on slices 2 to 4 of 6, masked on 3 and 4; 51 has no mask."""
    for number in (49, 50, 51):
        volume(root / "ct_scans" / f"{number:03d}.nii", seed=number)
    mask(root / "masks" / "049.nii", box(dtype=np.float64))
    mask(root / "masks" / "050.nii", box(255, dtype=np.float64))
    lines = [
        *rows(49, dict.fromkeys(range(1, 7), ())),
        *rows(50, {1: (), 2: ("sdh",), 3: ("sdh",), 4: ("sdh",), 5: (), 6: ()}),
        *rows(51, {1: ("iph",), 2: (), 3: (), 4: (), 5: (), 6: ()}),
        ",,,,,,,,",
    ]
    write_table(root / "hemorrhage_diagnosis_raw_ct.csv", lines)
    return root
