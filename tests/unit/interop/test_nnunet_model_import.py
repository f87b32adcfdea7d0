"""Results folders of nnU-Net as bundles, and back: what is found, kept and refused."""

import json
import shutil
from errno import ENOSPC
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

import nnunet_models as small
from bundles import write_tiny_bundle
from hemoseg.errors import ArtifactError, InputError, ResourceError, SettingsError
from hemoseg.inference import load_model
from hemoseg.interop import export_model, import_model
from hemoseg.io import read_scan
from hemoseg.models import open_bundle
from hemoseg.nets.weights import read_weights


def edit(path, **changes):
    """Change entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def plain(tmp_path):
    return small.write_results(tmp_path / "results", "plain")


def test_weights_folds_and_mirroring_are_kept(plain, tmp_path):
    import_model(plain, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert (bundle.selection.configurations, bundle.selection.folds) == (("3d_fullres",), {"3d_fullres": (0, 1)})
    assert (bundle.selection.mirror, bundle.selection.trained_on_all) == (True, False)
    assert bundle.manifest.name == "Dataset007_Small-3d_fullres"
    assert bundle.manifest.model_version == "nnUNetTrainer-final"
    assert [item.name for item in bundle.plan.configurations] == ["3d_fullres"]
    for fold, path in enumerate(bundle.weights(bundle.plan.configuration("3d_fullres"))):
        given = small.formula_weights(bundle.plan, bundle.plan.configuration("3d_fullres"), fold=fold)
        assert all(torch.equal(value, given[name]) for name, value in read_weights(path).items())


def test_some_folds_or_another_checkpoint(plain, tmp_path):
    assert import_model(plain, tmp_path / "one", folds=(1,)).folds == {"3d_fullres": (1,)}
    with pytest.raises(InputError, match=r"no fold_2/checkpoint_final\.pth[\s\S]*0, 1"):
        import_model(plain, tmp_path / "two", folds=(2,))
    with pytest.raises(InputError, match="no fold has checkpoint_best"):
        import_model(plain, tmp_path / "two", checkpoint="best")
    (plain / "fold_0" / "checkpoint_final.pth").rename(plain / "fold_0" / "checkpoint_best.pth")
    assert import_model(plain, tmp_path / "two", checkpoint="best").folds == {"3d_fullres": (0,)}
    assert not (tmp_path / "three").exists()


def test_a_network_of_all_cases_is_told_apart(tmp_path):
    made = import_model(small.write_results(tmp_path, "old"), tmp_path / "bundle")
    assert (made.trained_on_all, made.folds) == (True, {"3d_fullres": (0,)})
    assert "all cases" in (tmp_path / "bundle" / "card.md").read_text()


def test_a_cascade_brings_its_previous_stage(tmp_path):
    folder = small.write_results(tmp_path / "results", "cascade")
    made = import_model(folder, tmp_path / "bundle")
    assert made.folds == {"3d_lowres": (0,), "3d_cascade_fullres": (0,)}
    lowres, elsewhere = small.results(tmp_path / "results", "cascade", "3d_lowres"), tmp_path / "elsewhere"
    lowres.rename(elsewhere)
    with pytest.raises(InputError, match="3d_lowres is needed"):
        import_model(folder, tmp_path / "again")
    assert import_model(folder, tmp_path / "again", previous=elsewhere).folds == made.folds
    with pytest.raises(InputError, match="configuration 3d_cascade_fullres"):
        import_model(folder, tmp_path / "again", previous=folder)
    edit(elsewhere / "dataset.json", labels={"background": 0, "edema": 1, "hemorrhage": 2})
    with pytest.raises(InputError, match="another labels"):
        import_model(folder, tmp_path / "again", previous=elsewhere)


def test_configurations_are_averaged_as_probabilities(tmp_path):
    folder = small.write_results(tmp_path / "results", "cascade")
    lowres = small.results(tmp_path / "results", "cascade", "3d_lowres")
    made = import_model(folder, tmp_path / "both", others=[lowres])
    assert made.configurations == ("3d_cascade_fullres", "3d_lowres")
    assert made.folds == {"3d_lowres": (0,), "3d_cascade_fullres": (0,)}
    assert open_bundle(tmp_path / "both").manifest.name == "Dataset007_Small-3d_cascade_fullres-3d_lowres"
    import_model(folder, tmp_path / "cascade")
    import_model(lowres, tmp_path / "lowres")
    import_model(lowres, tmp_path / "turned", others=[folder])
    small.write_small_scan(tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    both, one, other, turned = (
        load_model(tmp_path / name, exact=True).predict(scan).probabilities.dense().astype(np.float32)
        for name in ("both", "cascade", "lowres", "turned")
    )
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-3)
    np.testing.assert_allclose(turned, both, atol=1e-3)


@pytest.mark.parametrize("reader", ["NibabelIOWithReorient", "SimpleITKIOWithReorient"])
def test_readers_that_turn_axes_turn_them_here_and_stay_in_an_export(plain, tmp_path, reader):
    edit(plain / "plans.json", image_reader_writer=reader)
    import_model(plain, tmp_path / "bundle")
    assert open_bundle(tmp_path / "bundle").plan.preparation.orientation == "ras"
    (folder,) = export_model(tmp_path / "bundle", tmp_path / "back" / "Dataset007_Small")
    assert json.loads((folder / "plans.json").read_text())["image_reader_writer"] == reader


def test_a_folder_of_one_configuration_may_be_named_by_its_data_set(plain, tmp_path):
    import_model(plain.parent, tmp_path / "bundle")
    assert open_bundle(tmp_path / "bundle").manifest.name == "Dataset007_Small-3d_fullres"
    shutil.copytree(plain, plain.with_name("nnUNetTrainer__nnUNetPlans__2d"))
    with pytest.raises(InputError, match="2 configurations"):
        import_model(plain.parent, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("file", "changes", "found"),
    [
        ("dataset.json", {"channel_names": {"0": "CT", "1": "MR"}}, "normalization_schemes"),
        ("plans.json", {"image_reader_writer": "NaturalImage2DIO"}, r"NaturalImage2DIO[\s\S]*NIfTI[\s\S]*try: "),
        ("plans.json", {"image_reader_writer": "MyReader"}, r"MyReader[\s\S]*try: .*image_reader_writer"),
        ("plans.json", {"configurations": {"2d": {}}}, "no configuration 3d_fullres"),
        ("plans.json", {"label_manager": "Mine"}, "label_manager"),
        ("plans.json", {"plans_name": "../../../evil"}, "plans_name: String should match"),
        ("dataset.json", {"labels": {"background": 0}}, "no label but background"),
        ("dataset.json", {"labels": {"background": 0, "two\nlines": 1}}, r"a class named 'two\\nlines'"),
        ("dataset.json", {"labels": {"background": 0, "x" * 300: 1}}, "of 300 characters"),
    ],
)
def test_what_cannot_be_run_here_is_refused(plain, tmp_path, file, changes, found):
    edit(plain / file, **changes)
    with pytest.raises(InputError, match=found):
        import_model(plain, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"strides": [[1, 2, 2], [1, 2, 2], [2, 2, 2]]}, r"strides begin with \(1, 2, 2\)"),
        ({"kernel_sizes": [[1, 3, 3], [2, 4, 4], [3, 3, 3]]}, "an even size"),
        ({"features_per_stage": [4, 8, 2**30]}, r"features\.2: Input should be less than or equal to 65536"),
        ({"features_per_stage": [4, 8, 2**15]}, "do not fit the network"),
        ({"n_conv_per_stage": [2, 2, 10**9]}, r"n_conv_per_stage|blocks\.2"),
    ],
)
def test_networks_that_cannot_be_are_refused_and_take_no_memory(plain, tmp_path, changes, found):
    plans = json.loads((plain / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] |= changes
    edit(plain / "plans.json", **plans)
    with pytest.raises((InputError, ArtifactError), match=found):
        import_model(plain, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"patch_size": [2**20] * 3}, "of more than 268435456 voxels"),
        ({"inherits_from": ["2d"]}, "inherits from"),
        ({"spacing": [1e-9, 1.0, 1.0]}, r"spacing\.0: Input should be greater than or equal to 0\.01"),
        ({"spacing": [1.0, 1e30, 1.0]}, r"spacing\.1: Input should be less than or equal to 100"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(plain, tmp_path, change, found):
    plans = json.loads((plain / "plans.json").read_text())
    plans["configurations"]["3d_fullres"] |= change
    edit(plain / "plans.json", **plans)
    with pytest.raises(InputError, match=found):
        import_model(plain, tmp_path / "bundle")


def test_an_intensity_that_does_not_vary_is_nnunets_smallest(plain, tmp_path):
    """nnU-Net divides by 1e-8 then; what comes out lies beyond half precision, in which the test patch is kept."""
    intensities = json.loads((plain / "plans.json").read_text())["foreground_intensity_properties_per_channel"]
    intensities["0"]["std"] = 0.0
    edit(plain / "plans.json", foreground_intensity_properties_per_channel=intensities)
    import_model(plain, tmp_path / "bundle")
    assert np.isfinite(open_bundle(tmp_path / "bundle").test_patch("3d_fullres").channels).all()


def test_a_network_that_gives_no_numbers_is_refused(plain, tmp_path):
    path = plain / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    for name, value in content["network_weights"].items():
        if "seg_layers" in name:
            value.fill_(3e38)
    torch.save(content, path)
    with pytest.raises(InputError, match=r"nnUNetPlans__3d_fullres: [\s\S]*logits of a simulated head are not finite"):
        import_model(plain, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["a b", "x/y", "../evil", ""])
def test_a_name_that_cannot_be_one_is_refused_at_once(tmp_path, name):
    with pytest.raises(InputError, match=r"--name: [\s\S]*is no name of a model"):
        import_model(tmp_path / "absent", tmp_path / "bundle", name=name)


def test_a_previous_stage_is_for_cascades_alone(plain, tmp_path):
    with pytest.raises(SettingsError, match=r"--previous: given, and 3d_fullres has no previous stage"):
        import_model(plain, tmp_path / "bundle", previous=tmp_path)


def test_a_cascade_of_three_stages_is_refused(tmp_path):
    folder = small.write_results(tmp_path / "results", "cascade")
    for name in ("3d_lowres", "3d_cascade_fullres"):
        path = small.results(tmp_path / "results", "cascade", name) / "plans.json"
        plans = json.loads(path.read_text())
        plans["configurations"]["3d_lowres"]["previous_stage"] = "3d_fullres"
        edit(path, **plans)
    with pytest.raises(InputError, match="3d_lowres, a previous stage that has one itself"):
        import_model(folder, tmp_path / "bundle")


def test_several_channels_are_refused(plain, tmp_path):
    plans = json.loads((plain / "plans.json").read_text())
    for item in plans["configurations"].values():
        if "normalization_schemes" in item:
            item |= {"normalization_schemes": ["CTNormalization"] * 2, "use_mask_for_norm": [False] * 2}
    intensities = plans["foreground_intensity_properties_per_channel"]
    intensities["1"] = intensities["0"]
    edit(plain / "plans.json", **plans)
    edit(plain / "dataset.json", channel_names={"0": "CT", "1": "CT2"})
    wanted = r"2 channels: CT, CT2[\s\S]*expected: one channel[\s\S]*_0000, _0001[\s\S]*try: "
    with pytest.raises(InputError, match=wanted):
        import_model(plain, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_entries_that_nnunet_passes_over_do_not_stop_an_import_and_the_card_names_them(plain, tmp_path):
    plans = json.loads((plain / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["my_loss"] = "focal"
    edit(plain / "plans.json", **plans)
    dataset = json.loads((plain / "dataset.json").read_text())
    del dataset["numTraining"]
    (plain / "dataset.json").write_text(json.dumps(dataset))
    import_model(plain, tmp_path / "bundle")
    assert (
        "- configuration 3d_fullres has entries that are not nnU-Net's" in (tmp_path / "bundle" / "card.md").read_text()
    )
    assert open_bundle(tmp_path / "bundle").plan.doubts[0].endswith("passed over: my_loss")


def test_configurations_that_are_not_needed_need_not_be_known(plain, tmp_path):
    plans = json.loads((plain / "plans.json").read_text())
    plans["configurations"]["mine"] = {"preprocessor_name": "Mine"}
    edit(plain / "plans.json", **plans)
    import_model(plain, tmp_path / "bundle")
    written = json.loads((tmp_path / "bundle" / "plan.json").read_text())
    assert "mine" not in {item["name"] for item in written["configurations"]}


def test_folds_that_disagree_are_refused(plain, tmp_path):
    path = plain / "fold_1" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save(content | {"inference_allowed_mirroring_axes": (0,)}, path)
    with pytest.raises(InputError, match=r"mirror axes \(0,\)"):
        import_model(plain, tmp_path / "bundle")


def test_nothing_else_is_overwritten(plain, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="in the way"):
        import_model(plain, tmp_path / "mine")
    import_model(plain, tmp_path / "bundle")
    import_model(plain, tmp_path / "bundle", folds=(0,))
    assert open_bundle(tmp_path / "bundle").selection.folds == {"3d_fullres": (0,)}


@pytest.mark.parametrize("kind", ["plane", "region-cascade", "old"])
def test_an_exported_model_is_imported_again(kind, tmp_path):
    import_model(small.write_results(tmp_path / "results", kind), tmp_path / "bundle", name="model")
    folders = export_model(tmp_path / "bundle", tmp_path / "back" / "Dataset007_Small")
    names = small.KINDS[kind]["configurations"]
    assert [folder.name for folder in folders] == [f"nnUNetTrainer__nnUNetPlans__{name}" for name in names]
    import_model(folders[-1], tmp_path / "again", name="model")
    before, after = open_bundle(tmp_path / "bundle"), open_bundle(tmp_path / "again")
    spelling = {"nnunet": before.plan.nnunet}  # an old plan comes back in the new words
    assert (before.plan, before.selection) == (after.plan.model_copy(update=spelling), after.selection)
    weights = [name for name in before.manifest.files if name.endswith(".safetensors")]
    assert len(weights) == len(names)
    assert all(before.manifest.files[name] == after.manifest.files[name] for name in weights)
    with pytest.raises(InputError, match="is there already"):
        export_model(tmp_path / "bundle", tmp_path / "back" / "Dataset007_Small")


def test_an_export_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path, monkeypatch):
    import_model(small.write_results(tmp_path / "results", "cascade"), tmp_path / "bundle")
    out, written = tmp_path / "out", []

    def fills_up(path, content):
        written.append(path)
        if len(written) > 1:
            raise OSError(ENOSPC, "No space left on device")
        path.parent.mkdir(exist_ok=True)
        path.touch()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fills_up)
        with pytest.raises(ResourceError, match=r"3d_cascade_fullres/fold_0/checkpoint_final\.pth: cannot be written"):
            export_model(tmp_path / "bundle", out)
    assert len(written) == 2
    assert not list(out.iterdir())
    assert len(export_model(tmp_path / "bundle", out)) == 2


def test_a_bundle_whose_plans_are_named_by_a_path_is_not_exported(plain, tmp_path):
    """The name is part of a folder's; the manifest says that the file is as it was written."""
    import_model(plain, tmp_path / "bundle")
    plan = json.loads((tmp_path / "bundle" / "plan.json").read_text())
    plan["nnunet"]["plans_name"] = "/../../evil"
    (tmp_path / "bundle" / "plan.json").write_text(json.dumps(plan))
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    digest = sha256((tmp_path / "bundle" / "plan.json").read_bytes()).hexdigest()
    edit(tmp_path / "bundle" / "manifest.json", files=manifest["files"] | {"plan.json": digest})
    with pytest.raises(ArtifactError, match="plans_name"):
        export_model(tmp_path / "bundle", tmp_path / "out" / "Dataset007_Small")
    assert {path.name for path in tmp_path.iterdir()} == {"results", "bundle"}


def test_a_configuration_with_a_name_that_is_too_long_for_a_folder_is_refused(tmp_path):
    """Of a cascade the previous stage's folder is looked for by it."""
    folder = small.write_results(tmp_path / "results", "cascade")
    plans = json.loads((folder / "plans.json").read_text())
    configurations, long = plans["configurations"], "a" * 300
    configurations[long] = configurations["3d_lowres"]
    configurations["3d_cascade_fullres"]["previous_stage"] = long
    edit(folder / "plans.json", configurations=configurations)
    with pytest.raises(InputError, match=r"configurations\.a{50,56}\.\.\."):
        import_model(folder, tmp_path / "bundle")


def test_a_plan_that_nnunet_cannot_hold_is_not_exported(tmp_path):
    with pytest.raises(SettingsError):
        export_model(write_tiny_bundle(tmp_path / "bundle"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_exact_needs_a_plan_of_nnunets(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    with pytest.raises(SettingsError, match="--exact with tiny"):
        load_model(bundle, exact=True)
