"""The same case through our preprocessing and through nnU-Net's, and how far both agree.

nnU-Net runs in a process of its own (.venv-peers), for all cases at once; arrays are exchanged as .npy files.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hemoseg.errors import ResourceError
from hemoseg.geometry import Volume
from hemoseg.io import read_labels, read_scan
from hemoseg.plan import Channel, Intensity, Normalization, Preparation, Spline, SplineResampling
from hemoseg.preprocess import Prepared, prepare_case, restore
from hemoseg.preprocess.maps import spline_matrix
from hemoseg.preprocess.resample import same_extent
from hemoseg.preprocess.spline import separate_axis, spline_image
from hemoseg.preprocess.steps import SplineStep, replay_labels

PEER = Path(__file__).with_name("nnunet_parity_peer.py")
CLOSE_SD = 1e-4
"""Values are equal if they differ by no more than this share of the image's standard deviation."""
TIED = 1e-6
"""Two classes are tied for a voxel if their shares differ by less."""
TIED_LOGITS = 1e-5
"""Or their logits, which are float32 and of the order of 1."""
NAMES: dict[Normalization, str] = {"ct": "CT", "zscore": "zscore", "none": "noNorm"}
SCHEMES: dict[Normalization, str] = {
    "ct": "CTNormalization",
    "zscore": "ZScoreNormalization",
    "none": "NoNormalization",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityCase:
    """One scan and the configuration that it is prepared for."""

    name: str
    """Name, unique among cases that run together."""
    image: Path
    """The scan."""
    label: Path
    """Its label map, classes 0, 1, 2."""
    configuration: str
    """Name of the configuration; `2d` has two spacings."""
    spacing_mm: tuple[float, ...]
    """Target spacing after the transposition: (z, y, x), or (y, x) of a 2d configuration."""
    transpose: tuple[int, int, int] = (0, 1, 2)
    """Order of the axes."""
    scheme: Normalization = "ct"
    """Normalization."""
    masked: bool = False
    """Whether it looks at the non-zero mask alone."""

    @property
    def intensity(self) -> Intensity:
        """Foreground statistics such as those of a hemorrhage data set."""
        return Intensity(
            mean=41.372894,
            median=42.0,
            std=17.820137,
            min=-20.0,
            max=100.0,
            percentile_00_5=3.0,
            percentile_99_5=83.0,
        )

    @property
    def preparation(self) -> Preparation:
        """The case's preparation as the `nnunet` planner writes it."""
        channel = Channel(name="CT", normalization=self.scheme, masked=self.masked, intensity=self.intensity)
        return Preparation(
            orientation="as-stored",
            channels=(channel,),
            windowed="first",
            head_crop=False,
            transpose=self.transpose,
            nonzero_crop=True,
            resampling=SplineResampling(),
        )

    @property
    def target_mm(self) -> tuple[float | None, float, float]:
        """Target spacing (z, y, x); None along z in 2d."""
        y, x = self.spacing_mm[-2:]
        return (self.spacing_mm[0] if len(self.spacing_mm) == 3 else None), y, x


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far both sides agree on one case."""

    voxels: int
    """Voxels of the prepared grid."""
    close_share: float
    """Share of voxels that are equal within `CLOSE_SD`."""
    largest_sd: float
    """Largest difference, in standard deviations of the image."""
    labels_differ: int
    """Label voxels that differ."""
    labels_tied: int
    """Those of them where two classes are tied."""
    restored_differ: int
    """Voxels of the restored mask of random logits that differ."""
    restored_tied: int
    """Those of them where two logits are tied."""

    @property
    def agrees(self) -> bool:
        """Whether the order is met: 99.99 % of voxels within 1e-4 sd, labels and masks equal but for ties."""
        labels = self.labels_differ == self.labels_tied
        return self.close_share >= 0.9999 and labels and self.restored_differ == self.restored_tied


def run_peer(python: Path, cases: Sequence[ParityCase], folder: Path) -> None:
    """Let nnU-Net prepare all cases; CASE.image.npy, .label.npy, .logits.npy and .mask.npy appear in the folder.

    Raises:
        ResourceError: the process failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [_job(case) for case in cases]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run([python, PEER, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResourceError(
            f"exit code {done.returncode}: {done.stderr[-2000:]}",
            where=python,
            expected="nnU-Net to prepare the cases",
            remedy="make peers",
        )


def read_volume(case: ParityCase) -> tuple[Volume, np.ndarray]:
    """The scan and its labels."""
    labels, _ = read_labels(case.label)
    return read_scan(case.image, assume_hu=True), labels.astype(np.uint8)


def compare(case: ParityCase, folder: Path) -> Agreement:
    """Prepare one case ourselves and compare with what the peer left in the folder."""
    volume, labels = read_volume(case)
    prepared, ours = prepare_case(volume, labels, case.preparation, case.target_mm, seed=0)
    image, theirs, logits, mask = (
        np.load(folder / f"{case.name}.{kind}.npy") for kind in ("image", "label", "logits", "mask")
    )
    if prepared.image.shape != image.shape:
        return _nothing(image)
    difference = np.abs(prepared.image - image) / image.std()
    restored = restore(logits, prepared)
    return Agreement(
        voxels=image[0].size,
        close_share=float(np.mean(difference <= CLOSE_SD)),
        largest_sd=float(difference.max()),
        labels_differ=int(np.count_nonzero(ours != theirs[0])),
        labels_tied=_count_tied(labels, ours != theirs[0], prepared),
        restored_differ=int(np.count_nonzero(restored != mask)),
        restored_tied=_count_tied_logits(logits, restored != mask, prepared),
    )


def _nothing(image: np.ndarray) -> Agreement:
    """Shapes differ: nothing agrees."""
    size = image[0].size
    values = {"labels_differ": size, "labels_tied": 0, "restored_differ": size, "restored_tied": 0}
    return Agreement(voxels=size, close_share=0.0, largest_sd=float("inf"), **values)


def _count_tied(labels: np.ndarray, differs: np.ndarray, prepared: Prepared) -> int:
    """Differing label voxels at which the two largest shares are equal but for rounding."""
    if not differs.any():
        return 0
    *moves, step = prepared.steps
    assert isinstance(step, SplineStep)
    before = replay_labels(labels, moves)
    shares = [_shares((before == number).astype(np.float64), step) for number in np.unique(before)]
    last, second = np.sort(np.stack([share[differs] for share in shares]), axis=0)[[-1, -2]]
    return int(np.count_nonzero(last - second < TIED))


def _shares(mask: np.ndarray, step: SplineStep) -> np.ndarray:
    apart = separate_axis(step.spacing_before_mm, step.spacing_after_mm, None)
    for axis, way in enumerate(same_extent(step.before, step.after)):
        order = 0 if axis == apart else 1
        mask = np.moveaxis(np.tensordot(spline_matrix(way, order), mask, axes=(1, axis)), 0, axis)
    return mask


def _count_tied_logits(logits: np.ndarray, differs: np.ndarray, prepared: Prepared) -> int:
    """Differing mask voxels at which the two largest logits are equal but for rounding."""
    frame = prepared.properties.frame
    back = spline_image(logits, frame.back(), Spline(order=1), _apart_on_return(prepared))
    last, second = np.sort(back, axis=0)[[-1, -2]]
    lead = np.full([frame.source_shape[axis] for axis in frame.axes], np.inf)
    lead[frame.kept()] = last - second
    on_scan = lead.transpose([frame.axes.index(axis) for axis in range(3)])
    return int(np.count_nonzero(differs & (on_scan < TIED_LOGITS)))


def _apart_on_return(prepared: Prepared) -> int | None:
    properties = prepared.properties
    z, y, x = (properties.source_spacing_mm[axis] for axis in properties.frame.axes)
    return separate_axis(properties.spacing_mm, (z, y, x), None)


def _job(case: ParityCase) -> dict[str, Any]:
    return {
        "name": case.name,
        "image": str(case.image),
        "label": str(case.label),
        "configuration": case.configuration,
        "plans": _plans(case),
        "dataset": {
            "channel_names": {"0": NAMES[case.scheme]},
            "labels": {"background": 0, "hemorrhage": 1, "edema": 2},
            "numTraining": 1,
            "file_ending": ".nii.gz",
        },
    }


def _plans(case: ParityCase) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "data_identifier": case.name,
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16] * len(case.spacing_mm),
        "median_image_size_in_voxels": [16] * len(case.spacing_mm),
        "spacing": list(case.spacing_mm),
        "normalization_schemes": [SCHEMES[case.scheme]],
        "use_mask_for_norm": [case.masked],
        "batch_dice": False,
        "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
    }
    for kind, seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        entry[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        entry[f"resampling_fn_{kind}_kwargs"] = {"is_seg": seg, "order": order, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": "Dataset001_Parity",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(case.transpose),
        "transpose_backward": [case.transpose.index(axis) for axis in range(3)],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": case.intensity.model_dump()},
        "configurations": {case.configuration: entry},
    }
