"""Bundles: found by name, refused when anything in them changed."""

import json

import pytest

from bundles import write_tiny_bundle
from hemoseg.artifacts import sha256_of
from hemoseg.errors import ArtifactError, InputError
from hemoseg.models import check_bundle_target, embedded_folder, find_bundle, list_bundles, open_bundle, verify_bundle
from plans import tiny_configuration, tiny_plan
from run_pages import REPORT


def test_round_trip(tmp_path):
    bundle = open_bundle(write_tiny_bundle(tmp_path / "tiny"))
    assert bundle.manifest.name == "tiny"
    assert bundle.plan.labels[1] == "hemorrhage"
    assert [path.name for path in bundle.weights(bundle.plan.configurations[0])] == ["3d_fullres_fold_0.safetensors"]
    assert json.loads((tmp_path / "tiny" / "labels.json").read_text()) == {"background": 0, "hemorrhage": 1, "edema": 2}


def test_a_bundle_may_carry_the_calibration_of_its_volumes(tmp_path):
    assert open_bundle(write_tiny_bundle(tmp_path / "without")).calibration is None
    bundle = open_bundle(write_tiny_bundle(tmp_path / "with", calibration=REPORT.calibration))
    assert bundle.calibration == REPORT.calibration
    content = (tmp_path / "with" / "calibration.json").read_text()
    (tmp_path / "with" / "calibration.json").write_text(content.replace("0.25", "0.5"))
    with pytest.raises(ArtifactError, match=r"calibration\.json has SHA-256"):
        open_bundle(tmp_path / "with")


@pytest.mark.parametrize("name", ["plan.json", "card.md", "3d_fullres_fold_0.safetensors"])
def test_any_changed_byte_is_refused(tmp_path, name):
    folder = write_tiny_bundle(tmp_path / "tiny")
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} has SHA-256"):
        open_bundle(folder)


def test_an_absent_file_is_named(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    (folder / "selection.json").unlink()
    with pytest.raises(ArtifactError, match=r"selection\.json is absent"):
        open_bundle(folder)


def test_the_selected_networks_must_be_there(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["3d_fullres_fold_0.safetensors"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "3d_fullres_fold_0.safetensors").unlink()
    with pytest.raises(ArtifactError, match="does not name 3d_fullres_fold_0"):
        open_bundle(folder)


def change_selection(folder, **changes):
    """Write other values into selection.json, with its hash."""
    selection = json.loads((folder / "selection.json").read_text()) | changes
    selection = {key: value for key, value in selection.items() if value is not None}
    (folder / "selection.json").write_text(json.dumps(selection))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["selection.json"] = sha256_of(folder / "selection.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_selection_outside_the_plan_is_refused(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    change_selection(folder, configurations=["2d"])
    with pytest.raises(ArtifactError, match="takes 2d"):
        open_bundle(folder)


def test_a_selection_of_version_1_is_read(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    before = open_bundle(folder).selection
    change_selection(folder, version=1, configuration="3d_fullres", configurations=None, evidence=None)
    assert open_bundle(folder).selection == before


def test_a_rule_for_an_unknown_class_is_refused(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    change_selection(folder, postprocessing=[{"kind": "minimum-volume", "class_name": "tumor", "ml": 0.1}])
    with pytest.raises(ArtifactError, match="a rule for tumor"):
        open_bundle(folder)


def test_a_cascade_without_its_first_stage_is_refused(tmp_path):
    low = tiny_configuration(name="3d_lowres")
    cascade = tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres")
    folder = write_tiny_bundle(tmp_path / "tiny", plan=tiny_plan(low, cascade))
    change_selection(folder, folds={"3d_cascade_fullres": [0]})
    with pytest.raises(ArtifactError, match="without a previous stage"):
        open_bundle(folder)


def test_an_added_file_is_refused(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    (folder / "extra.txt").write_text("who are you?")
    with pytest.raises(ArtifactError, match=r"extra\.txt is in the folder"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["../plan.json", "/etc/passwd"])
def test_a_manifest_cannot_reach_outside(tmp_path, name):
    folder = write_tiny_bundle(tmp_path / "tiny")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = "0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="outside the bundle"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["plan.json", "labels.json"])
def test_files_that_count_must_be_in_the_manifest(tmp_path, name):
    folder = write_tiny_bundle(tmp_path / "tiny")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=f"does not name {name}"):
        open_bundle(folder)


def test_models_are_found_by_path_and_by_name(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    assert find_bundle(folder) == folder
    assert find_bundle("tiny", models=tmp_path) == tmp_path / "tiny"
    assert list(list_bundles(tmp_path)) == [folder]
    with pytest.raises(InputError, match="no model 'absent'"):
        find_bundle("absent", models=tmp_path)


def test_every_embedded_model_is_whole_and_small():
    bundles = [open_bundle(path) for path in list_bundles(embedded_folder())]
    assert bundles
    for bundle in bundles:
        assert sum(file.stat().st_size for file in bundle.folder.iterdir()) < 15e6
        assert "research use only" in bundle.manifest.notice.lower()


def test_a_bundle_from_before_warnings_is_read(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    content = json.loads((folder / "manifest.json").read_text())
    del content["warnings"]
    (folder / "manifest.json").write_text(json.dumps(content | {"version": 1}))
    manifest = open_bundle(folder).manifest
    assert (manifest.version, manifest.warnings) == (1, ())


def test_verification_names_all_that_differs(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    assert verify_bundle(folder) == []
    (folder / "card.md").write_text("# another\n")
    (folder / "LICENSE").unlink()
    (folder / "note.txt").write_text("mine")
    absent, added = (
        [line for line in verify_bundle(folder) if text in line] for text in ("LICENSE is absent", "note.txt is in the")
    )
    assert len(absent) == len(added) == 1
    assert any(line.startswith("card.md has SHA-256") for line in verify_bundle(folder))
    assert len(verify_bundle(folder)) == 3


def test_verification_reads_what_stands_in_the_files(tmp_path):
    """Hashes that fit a selection of networks which the bundle does not have."""
    folder = write_tiny_bundle(tmp_path / "tiny")
    text = (folder / "selection.json").read_text().replace("3d_fullres", "2d")
    (folder / "selection.json").write_text(text)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["selection.json"] = sha256_of(folder / "selection.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (found,) = verify_bundle(folder)
    assert "takes 2d" in found
    (folder / "manifest.json").write_text("{")
    (found,) = verify_bundle(folder)
    assert found.startswith("manifest.json: ")


@pytest.mark.parametrize("manifest", [None, '{"name": "a web page"}', "{"])
def test_a_foreign_folder_with_a_manifest_is_no_bundle(tmp_path, manifest):
    folder = write_tiny_bundle(tmp_path / "tiny")
    check_bundle_target(folder)
    check_bundle_target(tmp_path / "new")
    (folder / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match=r"something else than a bundle: .*thesis\.txt"):
        check_bundle_target(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="in the way"):
        check_bundle_target(tmp_path / "file")


def test_a_bundle_itself_and_those_below_a_folder_are_listed(tmp_path):
    first, second = (write_tiny_bundle(tmp_path / name) for name in ("a", "b"))
    assert list(list_bundles(tmp_path)) == [first, second]
    assert list(list_bundles(first)) == [first]
