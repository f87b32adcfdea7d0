"""What nnU-Net needs to run one of our models: a results folder, and input channels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hemoseg.errors import SettingsError
from hemoseg.geometry import Volume
from hemoseg.io import write_scan
from hemoseg.models import Bundle
from hemoseg.nets import build_network
from hemoseg.nets.weights import load_weights, read_weights
from hemoseg.plan import Configuration
from hemoseg.windows import apply_windows

DATASET, TRAINER, PLANS = "Dataset001_Bundle", "nnUNetTrainer", "nnUNetPlans"
ENDING = ".nii"


def write_world(bundle: Bundle, results: Path) -> None:
    """Write a model as nnU-Net's `nnUNet_results`: dataset.json, plans.json and one checkpoint per fold.

    A checkpoint is a file of `torch.save`, since nnU-Net reads no other; only nnU-Net reads it, and
    it refuses names or shapes that are not its network's, so no weight stays unset.

    Raises:
        SettingsError: the model is two-dimensional or a cascade.
    """
    configuration = bundle.plan.configuration(bundle.selection.configurations[0])
    if configuration.name == "2d" or configuration.previous_stage is not None:
        raise SettingsError(
            f"configuration {configuration.name}",
            where=bundle.folder,
            expected="one three-dimensional network, which nnU-Net can run with the same weights",
            remedy="name another bundle with --model",
        )
    folder = results / DATASET / f"{TRAINER}__{PLANS}__{configuration.name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(_dataset(bundle)))
    (folder / "plans.json").write_text(json.dumps(_plans(bundle, configuration)))
    folds = bundle.selection.folds[configuration.name]
    for fold, path in zip(folds, bundle.weights(configuration), strict=True):
        network = build_network(bundle.plan, configuration)
        load_weights(network, read_weights(path), where=path)
        checkpoint = {
            "trainer_name": TRAINER,
            "init_args": {"configuration": configuration.name},
            "inference_allowed_mirroring_axes": configuration.mirror_axes,
            "network_weights": network.state_dict(),
        }
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")


def write_channels(volume: Volume, bundle: Bundle, folder: Path) -> None:
    """Write the windows of a scan as nnU-Net's input files, one per channel, float32.

    They are not compressed, so that nnU-Net does not inflate three files where we inflate one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(apply_windows(volume.hu, bundle.plan.preparation.channels)):
        channel = Volume(hu=np.ascontiguousarray(values), grid=volume.grid, slices=volume.slices, name=volume.name)
        write_scan(folder / f"{volume.name}_{number:04d}{ENDING}", channel)


def predict_command(program: Path, bundle: Bundle, source: Path, out: Path) -> list[str]:
    """nnU-Net's own command, with neither preprocessing nor export in processes of their own."""
    (name,) = bundle.selection.configurations
    folds = [str(fold) for fold in bundle.selection.folds[name]]
    command = [str(program), "-i", str(source), "-o", str(out), "-d", DATASET, "-c", name, "-f", *folds]
    command += ["-tr", TRAINER, "-p", PLANS, "-device", "cpu", "-npp", "0", "-nps", "0"]
    return command if bundle.selection.mirror else [*command, "--disable_tta"]


def _dataset(bundle: Bundle) -> dict[str, Any]:
    return {
        "channel_names": {str(number): "noNorm" for number in range(len(bundle.plan.preparation.channels))},
        "labels": {name: number for number, name in enumerate(bundle.plan.labels)},
        "numTraining": 0,
        "file_ending": ENDING,
    }


def _plans(bundle: Bundle, configuration: Configuration) -> dict[str, Any]:
    channels = range(len(bundle.plan.preparation.channels))
    spacing, patch = list(configuration.spacing_mm), list(configuration.patch_size)
    entry = {
        "data_identifier": PLANS,
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": configuration.batch_size,
        "patch_size": patch,
        "median_image_size_in_voxels": patch,
        "spacing": spacing,
        "normalization_schemes": ["NoNormalization" for _ in channels],
        "use_mask_for_norm": [False for _ in channels],
        "batch_dice": False,
        "architecture": _architecture(configuration),
    }
    for kind, seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        entry[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        entry[f"resampling_fn_{kind}_kwargs"] = {"is_seg": seg, "order": order, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": DATASET,
        "plans_name": PLANS,
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": patch,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(channel): {} for channel in channels},
        "configurations": {configuration.name: entry},
    }


def _architecture(configuration: Configuration) -> dict[str, Any]:
    """The network of `hemoseg.nets.build_network` in nnU-Net's words."""
    stages = len(configuration.features)
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(configuration.features),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [list(kernel) for kernel in configuration.kernels],
            "strides": [list(stride) for stride in configuration.strides],
            "n_conv_per_stage": list(configuration.blocks),
            "n_conv_per_stage_decoder": list(configuration.decoder_blocks),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"negative_slope": 0.01, "inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
