"""A model as nnU-Net's trainer leaves it, untrained, and bundles of it: shared by benchmarks of segmenting."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemoseg.inference.agreement import measure_anew
from hemoseg.interop import import_model
from hemoseg.io import scan_name
from hemoseg.models import Bundle, Selection, open_bundle, weights_name, write_bundle
from hemoseg.plan import Precision

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers" / "bin"
DATASET, TRAINER, PLANS, NAME = "Dataset022_Untrained", "nnUNetTrainer", "nnUNetPlans", "3d_fullres"
SPACING = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A network by nnU-Net's rules."""

    patch: tuple[int, int, int]
    """Voxels (z, y, x)."""
    features: tuple[int, ...]
    """Channels of each stage."""
    strides: tuple[tuple[int, int, int], ...]
    """Strides of each stage."""
    kernels: tuple[tuple[int, int, int], ...]
    """Kernels of each stage."""
    classes: tuple[str, ...]
    """Foreground classes."""


INSTANCE = Shape(
    patch=(20, 320, 256),
    features=(32, 64, 128, 256, 320, 320, 320),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    kernels=(*[(1, 3, 3)] * 3, *[(3, 3, 3)] * 4),
    classes=("hemorrhage",),
)
"""nnU-Net's 3d_fullres for thick head CT of 512 x 512: 43.5 million weights."""
SIX = Shape(
    patch=(28, 256, 256),
    features=(4, 8, 16, 32),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2)),
    kernels=(*[(1, 3, 3)] * 2, *[(3, 3, 3)] * 2),
    classes=("edh", "iph", "ivh", "sah", "sdh", "edema"),
)
"""Six classes in nnU-Net's patch for BHSD, with few channels: arrays of the volume count here, not the network."""


def plans_json(shape: Shape, spacing_mm: SPACING) -> dict[str, Any]:
    """nnU-Net's plan of a network at a spacing (z, y, x)."""
    stages = len(shape.features)
    entry: dict[str, Any] = {
        "data_identifier": f"{PLANS}_{NAME}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(shape.patch),
        "spacing": list(spacing_mm),
        "median_image_size_in_voxels": [30, 512, 512],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": stages,
                "features_per_stage": list(shape.features),
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [list(kernel) for kernel in shape.kernels],
                "strides": [list(stride) for stride in shape.strides],
                "n_conv_per_stage": [2] * stages,
                "n_conv_per_stage_decoder": [2] * (stages - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    for kind, seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        entry[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        entry[f"resampling_fn_{kind}_kwargs"] = {"is_seg": seg, "order": order, "order_z": 0, "force_separate_z": None}
    intensity = {"max": 100.0, "mean": 58.0, "median": 59.0, "min": -20.0, "std": 12.0}
    return {
        "dataset_name": DATASET,
        "plans_name": PLANS,
        "original_median_spacing_after_transp": list(spacing_mm),
        "original_median_shape_after_transp": [30, 512, 512],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**intensity, "percentile_00_5": 25.0, "percentile_99_5": 90.0}
        },
        "configurations": {NAME: entry},
    }


def make_models(shape: Shape, spacing_mm: SPACING, out: Path, folds: list[int], *, mirror: bool) -> Bundle:
    """The peer's results folder, made by its own trainer, and two bundles of it; the one named `fp32`.

    That one runs in float32; the one named `default` runs on the engine that an imported model runs on.
    """
    results = out / "peer" / "results" / DATASET / f"{TRAINER}__{PLANS}__{NAME}"
    if not (results / f"fold_{folds[-1]}" / "checkpoint_final.pth").is_file():
        shutil.rmtree(results, ignore_errors=True)
        labels = {name: number for number, name in enumerate(("background", *shape.classes))}
        dataset = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 100, "file_ending": ".nii.gz"}
        job = {"do": "train", "plans": plans_json(shape, spacing_mm), "dataset": dataset}
        jobs = out / "jobs.json"
        jobs.write_text(json.dumps([job | {"configuration": NAME, "folds": folds, "out": str(results)}]))
        program = [str(PEERS / "python"), str(ROOT / "tools" / "nnunet_model_peer.py"), str(jobs)]
        subprocess.run(program, check=True, capture_output=True)
    shutil.rmtree(out / "imported", ignore_errors=True)
    import_model(results, out / "imported")
    bundle = open_bundle(out / "imported")
    rewrite_bundle(bundle, out / "default", mirror=mirror, precision="fp32", measured=True)
    return rewrite_bundle(bundle, out / "fp32", mirror=mirror, precision="fp32")


def peer_command(scan: Path, out: Path, folds: list[int], *, mirror: bool) -> tuple[list[str], Path]:
    """`nnUNetv2_predict` for one scan, which it gets under the name that it looks for, and the mask it writes."""
    name = scan_name(scan)
    source, target = out / "peer" / "input" / name, out / "peer" / "masks" / name
    source.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(scan, source / f"{name}_0000.nii.gz")
    command = [str(PEERS / "nnUNetv2_predict"), "-i", str(source), "-o", str(target), "-d", DATASET, "-c", NAME]
    command += ["-f", *map(str, folds), "-tr", TRAINER, "-p", PLANS, "-device", "cpu", "-npp", "0", "-nps", "0"]
    return (command if mirror else [*command, "--disable_tta"]), target / f"{name}.nii.gz"


def environment(out: Path, threads: int) -> dict[str, str]:
    """What either side finds in its environment."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "nnUNet_def_n_proc": str(threads),
        **{f"nnUNet_{kind}": str(out / "peer" / kind) for kind in ("raw", "preprocessed", "results")},
    }


def rewrite_bundle(
    bundle: Bundle, folder: Path, *, mirror: bool, precision: Precision, measured: bool = False
) -> Bundle:
    """The bundle with another precision, with mirroring or without, and with or without what was measured of engines.

    Where nothing was measured, the plan's precision is what runs.
    """
    plan, selection = bundle.plan, bundle.selection
    (item,) = bundle.stages
    shutil.rmtree(folder, ignore_errors=True)
    names = [weights_name(item.name, fold) for fold in selection.folds[item.name]]
    write_bundle(
        folder,
        name=f"{bundle.manifest.name}-{folder.name}",
        model_version=bundle.manifest.model_version,
        notice=bundle.manifest.notice,
        plan=plan.model_copy(update={"configurations": (item.model_copy(update={"precision": precision}),)}),
        selection=Selection.model_validate(selection.model_dump() | {"mirror": mirror}),
        card="",
        license_text="",
        weights=[(name, path.read_bytes()) for name, path in zip(names, bundle.weights(item), strict=True)],
        measure=measure_anew(bundle.folder) if measured else None,
    )
    return open_bundle(folder)
