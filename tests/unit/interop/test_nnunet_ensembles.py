"""Several models of nnU-Net as one ensemble: which can be, what their configurations are called, and what comes out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import nnunet_models as small
from hemoseg.errors import InputError
from hemoseg.inference import load_model
from hemoseg.interop import export_model, import_model
from hemoseg.io import read_scan
from hemoseg.models import open_bundle


def edit(path, **changes):
    """Change entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def retrained(folder: Path, trainer: str) -> Path:
    """The results of another trainer beside a folder's: its weights are a little different."""
    copy = folder.with_name(folder.name.replace(small.TRAINER, trainer))
    shutil.copytree(folder, copy)
    for path in copy.glob("fold_*/*.pth"):
        content = torch.load(path, weights_only=False)
        for name, value in content["network_weights"].items():
            if "seg_layers" in name and value.ndim > 1:
                value.copy_(value.flip(0))
        torch.save(content | {"trainer_name": trainer}, path)
    return copy


@pytest.fixture
def plain(tmp_path):
    return small.write_results(tmp_path / "results", "plain")


@pytest.fixture
def residual(tmp_path):
    """The same configuration with other plans: another encoder, no mirroring, another spacing."""
    folder = small.write_results(tmp_path / "results", "residual")
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["spacing"] = [5.0, 1.0, 1.2]
    edit(folder / "plans.json", plans_name="nnUNetResEncUNetMPlans", configurations=plans["configurations"])
    return folder.rename(folder.with_name("nnUNetTrainer__nnUNetResEncUNetMPlans__3d_fullres"))


def test_two_models_of_one_configuration_are_averaged(plain, residual, tmp_path):
    made = import_model(plain, tmp_path / "both", others=[residual])
    assert made.configurations == ("3d_fullres", "3d_fullres_2")
    assert made.folds == {"3d_fullres": (0, 1), "3d_fullres_2": (0,)}
    bundle = open_bundle(tmp_path / "both")
    assert bundle.manifest.name == "Dataset007_Small-3d_fullres-3d_fullres_2"
    first, second = (bundle.plan.configuration(name) for name in made.configurations)
    assert (first.encoder, first.mirror_axes, first.spacing_mm) == ("plain", (0, 1, 2), (5.0, 0.9, 1.1))
    assert (second.encoder, second.mirror_axes, second.spacing_mm) == ("residual", (), (5.0, 1.0, 1.2))
    card = (tmp_path / "both" / "card.md").read_text()
    assert "- 3d_fullres_2 (3d_fullres of nnUNetTrainer__nnUNetResEncUNetMPlans): residual encoder" in card
    assert "- 3d_fullres: plain encoder" in card
    import_model(plain, tmp_path / "one")
    import_model(residual, tmp_path / "other")
    import_model(residual, tmp_path / "turned", others=[plain])
    small.write_small_scan(tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    both, one, other, turned = (
        load_model(tmp_path / name, exact=True).predict(scan).probabilities.dense().astype(np.float32)
        for name in ("both", "one", "other", "turned")
    )
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-3)
    np.testing.assert_allclose(turned, both, atol=1e-3)


def test_another_trainer_is_another_member_and_is_named(plain, tmp_path):
    made = import_model(plain, tmp_path / "bundle", others=[retrained(plain, "nnUNetTrainerDA5")])
    assert made.configurations == ("3d_fullres", "3d_fullres_2")
    assert made.reason == "imported from nnU-Net: nnUNetTrainer, nnUNetTrainerDA5, checkpoint_final"
    assert open_bundle(tmp_path / "bundle").manifest.model_version == "nnUNetTrainer+nnUNetTrainerDA5-final"
    card = (tmp_path / "bundle" / "card.md").read_text()
    assert "- 3d_fullres_2 (3d_fullres of nnUNetTrainerDA5__nnUNetPlans): plain encoder" in card


def test_stages_of_a_second_cascade_are_renamed_together(tmp_path):
    first = small.write_results(tmp_path / "results", "cascade")
    retrained(small.results(tmp_path / "results", "cascade", "3d_lowres"), "Mine")
    made = import_model(first, tmp_path / "bundle", others=[retrained(first, "Mine")])
    assert made.configurations == ("3d_cascade_fullres", "3d_cascade_fullres_2")
    assert list(made.folds) == ["3d_lowres", "3d_cascade_fullres", "3d_lowres_2", "3d_cascade_fullres_2"]
    bundle = open_bundle(tmp_path / "bundle")
    links = {item.name: item.previous_stage for item in bundle.stages}
    assert links == {
        "3d_lowres": None,
        "3d_cascade_fullres": "3d_lowres",
        "3d_lowres_2": None,
        "3d_cascade_fullres_2": "3d_lowres_2",
    }
    assert bundle.plan.trained == tuple(links)
    small.write_small_scan(tmp_path / "scan.nii.gz")
    assert load_model(tmp_path / "bundle", exact=True).segment(read_scan(tmp_path / "scan.nii.gz")).labels.any()


def test_a_previous_stage_of_its_own_is_no_other_members(tmp_path):
    """A cascade, and the previous stage of another training alone."""
    cascade = small.write_results(tmp_path / "results", "cascade")
    lowres = retrained(small.results(tmp_path / "results", "cascade", "3d_lowres"), "Mine")
    made = import_model(cascade, tmp_path / "bundle", others=[lowres])
    assert made.configurations == ("3d_cascade_fullres", "3d_lowres_2")
    assert list(made.folds) == ["3d_lowres", "3d_cascade_fullres", "3d_lowres_2"]
    turned = import_model(lowres, tmp_path / "turned", others=[cascade])
    assert turned.configurations == ("3d_lowres", "3d_cascade_fullres")
    assert open_bundle(tmp_path / "turned").plan.configuration("3d_cascade_fullres").previous_stage == "3d_lowres_2"


def test_a_name_is_one_that_no_member_has(plain, residual, tmp_path):
    third = retrained(plain, "Mine")
    renamed(third, "3d_fullres_2")
    made = import_model(plain, tmp_path / "bundle", others=[residual, third])
    assert made.configurations == ("3d_fullres", "3d_fullres_3", "3d_fullres_2")


def test_a_name_of_full_length_is_shortened_for_its_number(plain, residual, tmp_path):
    for folder in (plain, residual):
        renamed(folder, "a" * 100)
    made = import_model(plain, tmp_path / "bundle", others=[residual])
    assert made.configurations == ("a" * 100, f"{'a' * 98}_2")
    assert open_bundle(tmp_path / "bundle").stages[1].name == made.configurations[1]


def renamed(folder, name):
    """Give what a folder holds a configuration of its own."""
    plans = json.loads((folder / "plans.json").read_text())["configurations"]
    edit(folder / "plans.json", configurations=plans | {name: {"inherits_from": "3d_fullres"}})
    for path in folder.glob("fold_*/*.pth"):
        content = torch.load(path, weights_only=False)
        torch.save(content | {"init_args": {"configuration": name}}, path)


def test_the_same_folder_twice_is_refused(plain, tmp_path):
    (tmp_path / "link").symlink_to(plain)
    for again in (plain, plain.parent, tmp_path / "link"):
        with pytest.raises(InputError, match=r"3d_fullres again[\s\S]*try: "):
            import_model(plain, tmp_path / "out", others=[again])
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_one_ensemble_is_refused(plain, residual, tmp_path):
    edit(residual / "dataset.json", labels={"background": 0, "edema": 1, "hemorrhage": 2})
    with pytest.raises(InputError, match="another labels"):
        import_model(plain, tmp_path / "out", others=[residual])
    edit(residual / "dataset.json", labels=json.loads((plain / "dataset.json").read_text())["labels"])
    (residual / "fold_0").rename(residual / "fold_all")
    with pytest.raises(InputError, match="all cases"):
        import_model(plain, tmp_path / "out", others=[residual])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2]}, r"transpose \(1, 0, 2\), not \(0, 1, 2\)"),
        ({"mean": 40.0}, r"mean 40\.0, not 34\.5"),
        ({"percentile_99_5": 56.0}, r"percentile_99_5 56\.0, not 55\.0"),
    ],
)
def test_a_preparation_of_its_own_is_refused_by_what_differs(plain, residual, tmp_path, changes, found):
    prepared_otherwise(residual, changes)
    with pytest.raises(InputError, match=rf"{found}[\s\S]*try: [\s\S]*nnUNetv2_ensemble"):
        import_model(plain, tmp_path / "out", others=[residual])


def prepared_otherwise(folder, changes):
    """Change plans.json: entries of its own, or those of channel 0's intensities."""
    plans = json.loads((folder / "plans.json").read_text())
    intensities = plans["foreground_intensity_properties_per_channel"]["0"]
    intensities |= {key: value for key, value in changes.items() if key in intensities}
    edit(folder / "plans.json", **plans | {key: value for key, value in changes.items() if key not in intensities})


def test_what_no_network_sees_may_differ(plain, residual, tmp_path):
    """CT is normalized by mean, deviation and percentiles alone, and both readers read the same numbers."""
    prepared_otherwise(residual, {"median": 30.0, "min": -100.0, "max": 1000.0, "image_reader_writer": "NibabelIO"})
    edit(residual / "dataset.json", channel_names={"0": "CT scan"})
    assert import_model(plain, tmp_path / "out", others=[residual]).configurations == ("3d_fullres", "3d_fullres_2")


def test_an_ensemble_goes_back_to_nnunet_and_comes_again(plain, residual, tmp_path):
    made = import_model(plain, tmp_path / "bundle", others=[residual], name="model")
    folders = export_model(tmp_path / "bundle", tmp_path / "back" / "Dataset007_Small")
    assert [folder.name.rpartition("__")[2] for folder in folders] == list(made.configurations)
    again = import_model(folders[0], tmp_path / "again", others=[folders[1]], name="model")
    assert (again.configurations, again.folds) == (made.configurations, made.folds)
    before, after = open_bundle(tmp_path / "bundle"), open_bundle(tmp_path / "again")
    assert [item.model_copy(update={"batch_size": 1}) for item in before.stages] == [
        item.model_copy(update={"batch_size": 1}) for item in after.stages
    ]
    weights = [name for name in before.manifest.files if name.endswith(".safetensors")]
    assert len(weights) == 3
    assert all(before.manifest.files[name] == after.manifest.files[name] for name in weights)
