"""plans.json: older formats, what users add to it, and what is refused."""

import copy
import json
from pathlib import Path

import pytest

from hemoseg.errors import InputError
from hemoseg.interop import read_plans, write_plans
from hemoseg.plan import Plan
from hemoseg.planning.nnunet import INTENSITIES
from nnunet_models import torch_resampling

GOLDENS = json.loads((Path(__file__).parents[2] / "golden" / "nnunet-planners.json").read_text())
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "hemorrhage": 1},
    "numTraining": 100,
    "file_ending": ".nii.gz",
}
OLD_NAMES = {
    "n_conv_per_stage": "n_conv_per_stage_encoder",
    "n_blocks_per_stage": "n_conv_per_stage_encoder",
    "n_conv_per_stage_decoder": "n_conv_per_stage_decoder",
    "strides": "pool_op_kernel_sizes",
    "kernel_sizes": "conv_kernel_sizes",
}


def golden(name, planner="nnunet"):
    found = next(item for item in GOLDENS if (item["name"], item["planner"]) == (name, planner))
    return copy.deepcopy(found["plans"])


@pytest.fixture
def plans():
    """2d, 3d_lowres, 3d_fullres and the cascade of head CT."""
    return golden("head-1mm")


def older(content):
    """Plans as nnU-Net wrote them before version 2.3."""
    content = copy.deepcopy(content)
    content["foreground_intensity_properties_by_modality"] = content.pop("foreground_intensity_properties_per_channel")
    for name, item in content["configurations"].items():
        if "architecture" not in item:
            continue
        network = item.pop("architecture")
        for key, value in network["arch_kwargs"].items():
            if key in OLD_NAMES:
                item[OLD_NAMES[key]] = value
        item["UNet_class_name"] = network["network_class_name"].rsplit(".", 1)[1]
        item["UNet_base_num_features"] = 32
        item["unet_max_num_features"] = 512 if name == "2d" else 320
        item["num_pool_per_axis"] = [3] * len(item["patch_size"])
    return content


@pytest.mark.parametrize("planner", ["nnunet", "nnunet-resenc-m"])
def test_plans_from_before_2_3_are_read_and_written_anew(planner):
    plans = golden("head-1mm", planner)
    assert write_plans(read_plans(older(plans), DATASET)) == plans


def test_older_class_paths_are_read(plans):
    item = plans["configurations"]["3d_fullres"]["architecture"]
    item["network_class_name"] = "dynamic_network_architectures.architectures.residual_unet.ResidualEncoderUNet"
    item["arch_kwargs"]["n_blocks_per_stage"] = item["arch_kwargs"].pop("n_conv_per_stage")
    assert read_plans(plans, DATASET).configuration("3d_fullres").encoder == "residual"


def test_a_configuration_of_the_users_own(plans):
    """nnU-Net's documentation has users add such: a larger batch, and a coarser grid with data of its own."""
    plans["configurations"]["3d_fullres_bs40"] = {"inherits_from": "3d_fullres", "batch_size": 40}
    plans["configurations"]["3d_fullres_2mm"] = {
        "inherits_from": "3d_fullres_bs40",
        "data_identifier": "nnUNetPlans_3d_fullres_2mm",
        "spacing": [2.0, 1.0, 1.0],
    }
    plan = read_plans(plans, DATASET)
    large, coarse = plan.configuration("3d_fullres_bs40"), plan.configuration("3d_fullres_2mm")
    assert (large.batch_size, large.patch_size) == (40, plan.configuration("3d_fullres").patch_size)
    assert (coarse.batch_size, coarse.spacing_mm) == (40, (2.0, 1.0, 1.0))
    assert write_plans(plan) == plans


def test_what_a_file_says_comes_back_to_the_letter(plans):
    """Whole numbers, entries that are not understood, intensities of channels that are not there."""
    plans["configurations"]["3d_fullres_2mm"] = {
        "inherits_from": "3d_fullres",
        "data_identifier": "nnUNetPlans_3d_fullres_2mm",
        "spacing": [2, 1.0, 1],
    }
    plans["note"] = {"by": "me"}
    intensities = plans["foreground_intensity_properties_per_channel"]
    intensities["0"] |= {"mean": 50, "note": [1, 1.0]}
    intensities["7"] = {}
    plan = read_plans(plans, DATASET)
    assert json.dumps(write_plans(plan), sort_keys=True) == json.dumps(plans, sort_keys=True)
    stored = Plan.model_validate_json(plan.model_dump_json())
    assert json.dumps(write_plans(stored), sort_keys=True) == json.dumps(plans, sort_keys=True)
    assert plan.preparation.channels[0].intensity.mean == 50


def test_a_changed_plan_is_not_overruled_by_what_its_file_said(plans):
    plan = read_plans(plans, DATASET)
    small = tuple(item.model_copy(update={"batch_size": 5}) for item in plan.configurations if item.name == "2d")
    written = write_plans(plan.model_copy(update={"configurations": small, "trained": ("2d",)}))
    assert list(written["configurations"]) == ["2d"]
    assert written["configurations"]["2d"]["batch_size"] == 5


def test_labels_with_a_gap_are_read_and_doubted(plans):
    plan = read_plans(plans, DATASET | {"labels": {"background": 0, "hemorrhage": 2}})
    assert "without a gap" in " ".join(plan.doubts)


def test_a_child_of_the_cascade_has_its_previous_stage(plans):
    plans["configurations"]["larger"] = {"inherits_from": "3d_cascade_fullres", "batch_size": 8}
    assert read_plans(plans, DATASET).configuration("larger").previous_stage == "3d_lowres"


def test_what_is_trained(plans):
    assert read_plans(plans, DATASET).trained == ("3d_fullres",)
    for name in ("3d_cascade_fullres", "3d_fullres", "3d_lowres"):
        del plans["configurations"][name]
    assert read_plans(plans, DATASET).trained == ("2d",)
    plans["configurations"] = {"mine": plans["configurations"]["2d"]}
    assert read_plans(plans, DATASET).trained == ("mine",)


def test_planners_of_others_count_by_their_encoder(plans):
    assert read_plans(plans | {"experiment_planner_used": "MyPlanner"}, DATASET).planner == "nnunet"
    residual = golden("head-1mm", "nnunet-resenc-m")
    plan = read_plans(residual | {"experiment_planner_used": "ResEncUNetPlanner"}, DATASET)
    assert (plan.planner, plan.nnunet.experiment_planner) == ("nnunet-resenc-m", "ResEncUNetPlanner")


def test_the_argument_is_not_changed(plans):
    before = copy.deepcopy(plans)
    read_plans(plans, DATASET)
    assert plans == before


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("plans_name", None, "plans_name"),
        ("plans_name", "../../../evil", "plans_name.*pattern"),
        ("plans_name", "a\n", "plans_name.*pattern"),
        ("plans_name", "a" * 101, "plans_name.*pattern"),
        ("dataset_name", "../evil", "dataset_name: .*name of one folder"),
        ("dataset_name", "a\x1b[2J", "dataset_name: .*name of one folder"),
        ("dataset_name", "é" * 128, "dataset_name: .*name of one folder"),
        ("transpose_forward", [0, 0, 1], "does not undo"),
        ("transpose_backward", [2, 1, 0], "does not undo"),
        ("transpose_forward", [0, 1, 3], "does not undo"),
        ("original_median_spacing_after_transp", [1.0, -0.45, 0.45], "after_transp.1"),
        ("original_median_shape_after_transp", [160, 512], "after_transp"),
        ("label_manager", "MyLabelManager", "label_manager"),
        ("configurations", {}, "configurations"),
        ("configurations", {"2d": 3}, "configurations.2d"),
        ("foreground_intensity_properties_per_channel", {}, "normalization ct needs foreground intensities"),
        (f"{INTENSITIES}.0.percentile_00_5", 1e4, r"channel\.0: .*percentile_00_5 10000 above percentile_99_5"),
        (f"{INTENSITIES}.0.std", -1.0, r"channel\.0: std: .*greater than or equal to 0, found -1"),
        (f"{INTENSITIES}.0.std", float("nan"), r"\.0\..*std.*finite"),
        (f"{INTENSITIES}.0.mean", float("inf"), r"\.0\..*mean.*finite"),
        (f"{INTENSITIES}.0.mean", "50", r"channel\.0: mean: .*number"),
        ("configurations.2d.patch_size", [512], "patch_size"),
        ("configurations.2d.patch_size", [512, 510], "510 along x is no multiple of 128"),
        ("configurations.2d.patch_size", [1, 512, 512], "must have 3 axes"),
        ("configurations.2d.spacing", [0.45, -0.45], "spacing.1"),
        ("configurations.2d.spacing", [0.45, 0.45, 0.45], "must have 2 axes"),
        ("configurations.2d.spacing", [0.45, float("nan")], "spacing.1"),
        ("configurations.2d.spacing", [0.45, float("inf")], "spacing.1"),
        ("configurations.2d.batch_size", 0, "batch_size"),
        ("configurations.2d.batch_size", 2.5, "batch_size"),
        ("configurations.2d.batch_dice", "yes", "batch_dice"),
        ("configurations.2d.preprocessor_name", "MyPreprocessor", "preprocessor_name.*DefaultPreprocessor"),
        ("configurations.2d.resampling_fn_data", "resample_torch_fornnunet", "resampling_fn_data"),
        ("configurations.2d.resampling_fn_data_kwargs.order", 2, "order"),
        ("configurations.2d.resampling_fn_data_kwargs.order", 1, "resampling_fn_data_kwargs of 3d_cascade_fullres"),
        ("configurations.2d.normalization_schemes", ["MyNormalization"], "normalization"),
        ("configurations.2d.normalization_schemes", [], "normalization_schemes"),
        ("configurations.2d.use_mask_for_norm", [True], "use_mask_for_norm of"),
        ("configurations.2d.use_mask_for_norm", [False, False], "differ in length"),
        ("configurations.2d.resampling_fn_data", "no_resampling_hack", "resampling_fn_data: .*no_resampling_hack"),
        ("configurations.2d.resampling_fn_data_kwargs.mine", 1, "mine: an entry that is not known"),
        ("configurations.2d.resampling_fn_data_kwargs.is_seg", True, "is_seg"),
        ("configurations.2d.architecture.arch_kwargs.squeeze_excitation", True, "squeeze_excitation: an entry that is"),
        ("configurations.2d.architecture.arch_kwargs.nonlin_first", True, "nonlin_first: .*found True"),
        ("configurations.2d.architecture.arch_kwargs.stem_channels", 16, "stem_channels: .*found 16"),
        ("configurations.2d.architecture.network_class_name", "a.MyNet", "network_class_name"),
        ("configurations.2d.architecture.network_class_name", "a.ResidualEncoderUNet", "lacks its blocks"),
        ("configurations.2d.architecture.arch_kwargs.n_stages", 7, "n_stages 7 of 2d for 8 features_per_stage"),
        ("configurations.2d.architecture.arch_kwargs.strides", [[1, 1]], "one entry for each"),
        ("configurations.2d.architecture.arch_kwargs.strides", 2, "strides"),
        ("configurations.2d.architecture.arch_kwargs.n_conv_per_stage_decoder", [2], "decoder_blocks"),
        ("configurations.2d.architecture.arch_kwargs.conv_op", "torch.nn.modules.conv.Conv3d", "conv_op and norm_op"),
        ("configurations.2d.architecture.arch_kwargs.conv_bias", False, "conv_bias"),
        ("configurations.2d.architecture.arch_kwargs.nonlin", "torch.nn.ReLU", "nonlin"),
        ("configurations.2d.architecture.arch_kwargs.dropout_op", "torch.nn.Dropout2d", "dropout_op"),
        ("configurations.2d.architecture.arch_kwargs.norm_op_kwargs.eps", 1e-3, "eps"),
        ("configurations.2d.architecture", {}, "network_class_name: Field required"),
        ("configurations.3d_cascade_fullres.inherits_from", "none", "inherits from none: what is not there"),
        ("configurations.3d_cascade_fullres.inherits_from", "3d_cascade_fullres", "itself"),
        ("configurations.3d_cascade_fullres.previous_stage", "none", "previous_stage none"),
        ("configurations.3d_fullres.previous_stage", 3, "previous_stage"),
        ("configurations.bad name", {"inherits_from": "2d"}, "name"),
        ("configurations." + "a" * 300, {"inherits_from": "2d"}, r"configurations\.a{50,56}\.\.\..*pattern"),
        ("configurations.two\nlines", {"inherits_from": "2d"}, r"configurations\.two\\nlines.*pattern"),
    ],
)
def test_plans_that_are_refused(plans, path, value, message):
    parent, keys = plans, path.split(".")
    for key in keys[:-1]:
        parent = parent[key]
    parent[keys[-1]] = value
    with pytest.raises(InputError, match=rf"(?s)plans.json.*{message}.*expected: .*try: "):
        read_plans(plans, DATASET)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("preprocessor_name", "MyPreprocessor"),
        ("resampling_fn_data", "no_resampling_hack"),
        ("normalization_schemes", ["MyNormalization"]),
        ("architecture.network_class_name", "a.MyNet"),
        ("architecture.arch_kwargs.squeeze_excitation", True),
        ("architecture.arch_kwargs.conv_bias", False),
    ],
)
def test_what_a_model_was_trained_with_and_is_not_known_is_left_to_nnunet(plans, path, value):
    *parents, last = path.split(".")
    for item in plans["configurations"].values():
        for key in parents:
            item = item.get(key, {})
        if item.get(last) is not None or last == "squeeze_excitation":
            item[last] = value
    with pytest.raises(InputError, match=r"try: [^\n]*predict with nnU-Net itself"):
        read_plans(plans, DATASET)


def test_entries_that_nnunet_does_not_look_at_are_passed_over_doubted_and_written_again(plans):
    plans["configurations"]["3d_fullres"] |= {"my_note": "abc", "loss_weight": 0.5}
    plans["configurations"]["3d_fullres"]["architecture"]["note"] = 1
    plan = read_plans(plans, DATASET)
    told = "has entries that are not nnU-Net's, and were passed over: architecture.note, loss_weight, my_note"
    assert set(plan.doubts) == {f"configuration {name} {told}" for name in ("3d_fullres", "3d_cascade_fullres")}
    assert plan.configuration("3d_fullres") == read_plans(golden("head-1mm"), DATASET).configuration("3d_fullres")
    del plans["configurations"]["3d_fullres"]["architecture"]["note"]
    assert write_plans(plan) == plans


@pytest.mark.parametrize(
    ("planner", "key", "value"),
    [
        ("nnunet", "deep_supervision", True),
        ("nnunet", "nonlin_first", False),
        ("nnunet-resenc-m", "stem_channels", None),
        ("nnunet-resenc-m", "bottleneck_channels", None),
    ],
)
def test_arguments_that_change_no_network_are_taken(planner, key, value):
    plans = golden("head-1mm", planner)
    before = read_plans(plans, DATASET).configurations
    for item in plans["configurations"].values():
        if "architecture" in item:
            item["architecture"]["arch_kwargs"][key] = value
    assert read_plans(plans, DATASET).configurations == before


@pytest.mark.parametrize("separate", [False, None])
def test_resampling_by_torch_is_read_and_written(plans, separate):
    for item in plans["configurations"].values():
        if "resampling_fn_data" in item:
            item |= torch_resampling(separate)
    plan = read_plans(plans, DATASET)
    rule = plan.preparation.resampling
    assert [(one.order, one.z_order, one.separate_z) for one in (rule.image, rule.labels, rule.logits)] == [
        (1, 0, separate)
    ] * 3
    assert rule.by_torch
    assert write_plans(plan) == plans
    assert write_plans(Plan.model_validate_json(plan.model_dump_json())) == plans


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resampling_fn_seg_kwargs": {"is_seg": True, "memefficient_seg_resampling": True}}, "memefficient"),
        ({"resampling_fn_data_kwargs": {"is_seg": False, "separate_z_anisotropy_threshold": 2}}, "threshold"),
        ({"resampling_fn_data_kwargs": {"is_seg": False, "mode": "nearest"}}, "mode"),
    ],
)
def test_resampling_by_torch_of_another_kind_is_refused(plans, change, message):
    for item in plans["configurations"].values():
        if "resampling_fn_data" in item:
            item |= torch_resampling(None) | change
    with pytest.raises(InputError, match=rf"(?s){message}.*try: "):
        read_plans(plans, DATASET)


def test_one_function_resamples_all(plans):
    default = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    name = "resample_data_or_seg_to_shape"
    for item in plans["configurations"].values():
        if "resampling_fn_data" in item:
            item |= torch_resampling(None) | {"resampling_fn_data": name, "resampling_fn_data_kwargs": default}
    with pytest.raises(InputError, match=r"(?s)resample_torch_fornnunet beside resample_data_or_seg_to_shape.*try: "):
        read_plans(plans, DATASET)


def test_the_number_of_cases_is_not_needed(plans):
    dataset = {key: value for key, value in DATASET.items() if key != "numTraining"}
    assert read_plans(plans, dataset) == read_plans(plans, DATASET)


def test_every_key_of_a_configuration_is_needed(plans):
    needed = set(plans["configurations"]["3d_lowres"]) - {"next_stage"}
    for key in needed:
        broken = copy.deepcopy(plans)
        del broken["configurations"]["3d_lowres"][key]
        with pytest.raises(InputError, match=rf"(?s)configurations.3d_lowres: .*{key}"):
            read_plans(broken, DATASET)


def test_old_plans_lack_nothing(plans):
    old = older(plans)
    del old["configurations"]["2d"]["conv_kernel_sizes"]
    with pytest.raises(InputError, match="neither architecture nor conv_kernel_sizes"):
        read_plans(old, DATASET)
    old = older(plans)
    old["configurations"]["2d"]["UNet_base_num_features"] = None
    with pytest.raises(InputError, match="entries of its network that cannot be used"):
        read_plans(old, DATASET)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_names": {"0": "CT", "1": "CT"}}, "1 normalization_schemes for 2 channels"),
        ({"labels": {"a": 1}}, "background"),
        ({"labels": {"background": 0, "whole": [1, 2], "core": 2}}, "regions_class_order needs 2 numbers"),
        ({"labels": {"background": 0, "ignore": 1, "a": 2}}, "ignore is 1"),
    ],
)
def test_a_dataset_json_of_other_data_is_refused(plans, change, message):
    with pytest.raises(InputError, match=message):
        read_plans(plans, DATASET | change)


def test_contradictory_inheritance_goes_round(plans):
    plans["configurations"]["a"] = {"inherits_from": "b"}
    plans["configurations"]["b"] = {"inherits_from": "a"}
    with pytest.raises(InputError, match="itself"):
        read_plans(plans, DATASET)
