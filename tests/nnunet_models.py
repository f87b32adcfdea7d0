"""Small models of nnU-Net with weights by a formula, in results folders as nnU-Net leaves them; both sides at work."""

import json
import subprocess
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hemoseg.geometry import Grid, Orientation, Volume, uniform_slices
from hemoseg.interop import read_plans
from hemoseg.io import write_scan
from hemoseg.nets import build_network
from hemoseg.plan import Configuration, Plan
from planner_peer import PYTHON, ROOT
from plans import AXES_LPS

TRAINER, PLANS, DATASET = "nnUNetTrainer", "nnUNetPlans", "Dataset007_Small"
REGIONS = {"background": 0, "hemorrhage": [1, 2], "ivh": [2]}
CLASSES = {"background": 0, "hemorrhage": 1, "edema": 2}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"configurations": ("3d_fullres",), "folds": (0, 1)},
    "residual": {"configurations": ("3d_fullres",), "residual": True, "mirror": None},
    "plane": {"configurations": ("2d",), "mirror": (0, 1)},
    "cascade": {"configurations": ("3d_lowres", "3d_cascade_fullres")},
    "regions": {"configurations": ("3d_fullres",), "labels": REGIONS, "mirror": (1, 2)},
    "region-cascade": {"configurations": ("3d_lowres", "3d_cascade_fullres"), "labels": REGIONS, "mirror": None},
    "old": {"configurations": ("3d_fullres",), "old": True, "folds": ("all",), "mirror": (0,)},
    "turned": {
        "configurations": ("3d_lowres", "3d_cascade_fullres"),
        "reader": "NibabelIOWithReorient",
        "is_odd": True,
    },
    "turned-by-itk": {"configurations": ("3d_fullres",), "reader": "SimpleITKIOWithReorient", "is_odd": True},
    "torch": {"configurations": ("3d_lowres", "3d_cascade_fullres"), "torch": {"force_separate_z": False}},
    "torch-apart": {"configurations": ("3d_lowres", "3d_cascade_fullres"), "torch": {"force_separate_z": None}},
    "transposed": {"configurations": ("3d_fullres",), "transpose": (1, 2, 0), "mirror": (0, 2)},
}
"""{name: what is particular of the model}."""
ENSEMBLES = {"plain+residual": ("plain", "residual"), "plain+plane": ("plain", "plane")}
"""{name: models whose probabilities are averaged}: of one configuration with two encoders, and of two."""
SHAPES: dict[str, dict[str, Any]] = {
    "2d": {"patch_size": [16, 24], "spacing": [0.9, 1.1]},
    "3d_fullres": {"patch_size": [4, 16, 24], "spacing": [5.0, 0.9, 1.1]},
    "3d_lowres": {"patch_size": [4, 16, 16], "spacing": [5.0, 1.6, 1.8]},
}


def dataset_json(kind: str) -> dict[str, Any]:
    """The dataset.json of a model."""
    labels = KINDS[kind].get("labels", CLASSES)
    content = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 3, "file_ending": ".nii.gz"}
    return content | ({"regions_class_order": [1, 2]} if labels is REGIONS else {})


def plans_json(kind: str, patches: Mapping[str, list[int]] | None = None) -> dict[str, Any]:
    """The plans.json of a model.

    Args:
        kind: the model.
        patches: {configuration: patch size} where another one is wanted.
    """
    model = KINDS[kind]
    turn = model.get("transpose", (0, 1, 2))
    configurations = {
        name: _configuration(name, residual=model.get("residual", False), old=model.get("old", False))
        for name in ("2d", "3d_lowres", "3d_fullres")
    }
    if "torch" in model:
        for configuration in configurations.values():
            configuration |= torch_resampling(**model["torch"])
            configuration["spacing"] = [4.0, *configuration["spacing"][-2:]][-len(configuration["patch_size"]) :]
    for name, patch in (patches or {}).items():
        configurations[name]["patch_size"] = patch
    configurations["3d_lowres"]["next_stage"] = "3d_cascade_fullres"
    configurations["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    return {
        "dataset_name": DATASET,
        "plans_name": PLANS,
        "original_median_spacing_after_transp": [5.0, 0.94, 0.94],
        "original_median_shape_after_transp": [8, 30, 26],
        "image_reader_writer": model.get("reader", "SimpleITKIO"),
        "transpose_forward": list(turn),
        "transpose_backward": [turn.index(axis) for axis in range(3)],
        "configurations": configurations,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {
                "max": 90.0,
                "mean": 34.5,
                "median": 33.0,
                "min": -12.0,
                "percentile_00_5": 2.0,
                "percentile_99_5": 55.0,
                "std": 12.25,
            }
        },
    }


def torch_resampling(force_separate_z: bool | None) -> dict[str, Any]:
    """Entries of a configuration as nnU-Net's planners with `torchres` in their names write them."""
    content: dict[str, Any] = {}
    threshold = {"separate_z_anisotropy_threshold": 3} if force_separate_z is None else {}
    for kind in ("data", "seg", "probabilities"):
        content[f"resampling_fn_{kind}"] = "resample_torch_fornnunet"
        content[f"resampling_fn_{kind}_kwargs"] = {
            "is_seg": kind == "seg",
            "force_separate_z": force_separate_z,
            "memefficient_seg_resampling": False,
            **threshold,
        }
    return content


def _configuration(name: str, *, residual: bool, old: bool) -> dict[str, Any]:
    shape = SHAPES[name]
    axes = len(shape["patch_size"])
    content: dict[str, Any] = {
        "data_identifier": f"{PLANS}_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        **shape,
        "median_image_size_in_voxels": [8, 30, 26][-axes:],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
    }
    for kind, seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        content[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        content[f"resampling_fn_{kind}_kwargs"] = {
            "is_seg": seg,
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
    kernels = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
    strides, kernels = ([item[-axes:] for item in items] for items in (strides, kernels))
    if old:
        return content | {
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": 4,
            "n_conv_per_stage_encoder": [2, 2, 2],
            "n_conv_per_stage_decoder": [2, 2],
            "num_pool_per_axis": [1, 2, 2][-axes:],
            "pool_op_kernel_sizes": strides,
            "conv_kernel_sizes": kernels,
            "unet_max_num_features": 12,
            "batch_dice": False,
        }
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    content["architecture"] = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 12],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": kernels,
            "strides": strides,
            **({"n_blocks_per_stage": [1, 2, 1]} if residual else {"n_conv_per_stage": [2, 2, 2]}),
            "n_conv_per_stage_decoder": [1, 1] if residual else [2, 2],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    content["batch_dice"] = False
    return content


def results(root: Path, kind: str, configuration: str) -> Path:
    """Where the results of a configuration lie."""
    return root / kind / DATASET / f"{TRAINER}__{PLANS}__{configuration}"


def write_results(root: Path, kind: str) -> Path:
    """Write the results folders of a model and return that of its last configuration."""
    model, plans, dataset = KINDS[kind], plans_json(kind), dataset_json(kind)
    plan = read_plans(plans, dataset)
    for name in model["configurations"]:
        folder = results(root, kind, name)
        for fold in model.get("folds", (0,)):
            (folder / f"fold_{fold}").mkdir(parents=True)
            weights = formula_weights(plan, plan.configuration(name), fold=0 if fold == "all" else fold)
            content = checkpoint(weights, kind, name, fold)
            torch.save(content, folder / f"fold_{fold}" / "checkpoint_final.pth")
        (folder / "plans.json").write_text(json.dumps(plans))
        (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


def checkpoint(weights: dict[str, torch.Tensor], kind: str, configuration: str, fold: int | str) -> dict[str, Any]:
    """What nnU-Net keeps of a training, NumPy's numbers and torch's device included."""
    mirror = KINDS[kind].get("mirror", (0, 1, 2))
    return {
        "network_weights": weights,
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01, "params": [0, 1]}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.25)], "epoch_start_timestamps": [1.5]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 2,
        "init_args": {
            "plans": plans_json(kind),
            "configuration": configuration,
            "fold": fold,
            "dataset_json": dataset_json(kind),
            "device": torch.device("cpu"),
        },
        "trainer_name": TRAINER,
        "inference_allowed_mirroring_axes": mirror,
    }


def formula_weights(plan: Plan, configuration: Configuration, *, fold: int) -> "OrderedDict[str, torch.Tensor]":
    """A state dict of whole numbers times a scale, the same everywhere; every output differs by place and class."""
    network = build_network(plan, configuration)
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):
            places = torch.arange(parameter.numel()) + 11 * index + 5 * fold
            values = ((places**3 + 29 * places) % 101 - 50).double().reshape(parameter.shape) / 50
            if parameter.ndim == 1:
                values = values / 4 + (index % 4 == 2)  # biases and, where it is the turn of a norm's scale, about 1
            else:
                values = values * (3 / parameter[0].numel()) ** 0.5
            parameter.copy_(values)
        for layer in network.decoder.seg_layers:  # without this, one class would win everywhere
            layer.weight -= layer.weight.mean(dim=1, keepdim=True)
            layer.weight *= 4
            layer.bias.zero_()
    flat = configuration.dimensions == 2
    return OrderedDict(
        (name, value.squeeze(2) if flat and value.ndim == 5 else value) for name, value in network.state_dict().items()
    )


def write_small_scan(path: Path, *, is_odd: bool = False) -> None:
    """A made-up head of 8 x 30 x 26 voxels whose texture has no pattern to speak of.

    Args:
        path: where to.
        is_odd: whether axes are stored in another order and direction, and the head lies askew.
    """
    shape = (8, 30, 26)
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    radius = ((z - 3.5) / 5) ** 2 + ((y - 14) / 13) ** 2 + ((x - 12) / 11) ** 2
    texture = (7 * z + 5 * y * y + 3 * x * y) % 41
    hu = np.where(radius < 1, 10.0 + texture, -1000.0).astype(np.float32)
    hu[..., 23:], hu[:3, 22:] = 0, 0  # the non-zero mask ends before the volume, and before its own box
    grid = Grid(shape=shape, spacing_mm=(5.0, 0.94, 0.94), origin_lps_mm=(0.0, 0.0, 0.0), direction=AXES_LPS)
    if is_odd:
        turn = Orientation(axes=(2, 0, 1), flips=(True, False, True))
        hu, grid = np.ascontiguousarray(turn.apply(hu)), grid.reoriented(turn)
        affine = grid.affine_lps
        affine[:3] = Rotation.from_euler("xyz", (12, -9, 20), degrees=True).as_matrix() @ affine[:3]
        grid = Grid.from_affine(grid.shape, affine)
    path.parent.mkdir(exist_ok=True)
    write_scan(path, Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name=path.name))


def peer_jobs(kind: str, folder: Path, scan: Path, out: Path, folds: Sequence[int | str] | None = None) -> list[Any]:
    """What nnU-Net is asked to predict: every configuration of a model whose results lie in `folder`.

    Args:
        kind: the model.
        folder: where the results folders lie, by `results`.
        scan: the scan, NAME_0000.nii.gz.
        out: where masks go: OUT/CONFIGURATION/NAME.nii.gz.
        folds: folds to use; None takes the model's.
    """
    jobs: list[Any] = []
    for name in KINDS[kind]["configurations"]:
        (out / name).mkdir(parents=True)
        job = {
            "do": "predict",
            "folder": str(results(folder, kind, name)),
            "folds": list(folds or KINDS[kind].get("folds", (0,))),
            "scan": str(scan),
            "previous": f"{jobs[-1]['out']}.nii.gz" if jobs else None,
            "out": str(out / name / scan.name.removesuffix("_0000.nii.gz")),
        }
        jobs.append(job)
    return jobs


def ensemble_job(name: str, folder: Path, scan: Path, out: Path) -> dict[str, Any]:
    """What nnU-Net is asked to average: OUT/ensemble/NAME/SCAN.nii.gz."""
    (out / "ensemble" / name).mkdir(parents=True)
    return {
        "do": "ensemble",
        "members": [
            {
                "folder": str(results(folder, kind, KINDS[kind]["configurations"][-1])),
                "folds": list(KINDS[kind].get("folds", (0,))),
            }
            for kind in ENSEMBLES[name]
        ],
        "scan": str(scan),
        "out": str(out / "ensemble" / name / scan.name.removesuffix("_0000.nii.gz")),
    }


def run_peer(jobs: list[Any], folder: Path) -> None:
    """Have nnU-Net do the jobs."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [str(PYTHON), str(ROOT / "tools" / "nnunet_model_peer.py"), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def train_jobs(kind: str, folder: Path, patches: Mapping[str, list[int]] | None = None) -> list[Any]:
    """What nnU-Net is asked to train: every configuration of a model, into `folder`."""
    return [
        {
            "do": "train",
            "plans": plans_json(kind, patches),
            "dataset": dataset_json(kind),
            "configuration": name,
            "folds": list(KINDS[kind].get("folds", (0,))),
            "out": str(results(folder, kind, name)),
        }
        for name in KINDS[kind]["configurations"]
    ]


class Payload:
    """A value whose unpickling makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)
