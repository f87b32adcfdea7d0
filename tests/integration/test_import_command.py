"""Imports and merges from layout to data set: files, records, links, kills."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cohort import hemoseg
from hemoseg.datasets import index_dataset, read_case
from hemoseg.datasets.importers import FORMATS, MergeRequest
from hemoseg.errors import GeometryError, InputError, LabelError
from hemoseg.io import read_scan, write_scan
from hemoseg.pipeline import Silent
from hemoseg.pipeline.imports import merge_stage
from imports import bring, is_linked, labels_of, record_of
from nifti_files import AFFINE_RAS, make_dataset
from source_sets import (
    SHAPE,
    box,
    mask,
    volume,
    write_bhsd,
    write_ct_ich_pictures,
    write_ct_ich_volumes,
    write_instance22,
    write_nnunet_v1,
)


def test_files_that_need_no_change_are_linked(tmp_path: Path):
    source = write_instance22(tmp_path / "source")
    built = bring("instance22", source, tmp_path / "Dataset001_I")
    assert (built.labeled, built.held_back, built.linked, built.written) == (2, 0, 4, 0)
    root = tmp_path / "Dataset001_I"
    assert is_linked(root / "imagesTr/instance22_001_0000.nii.gz", source / "train_2/data/001.nii.gz")
    assert is_linked(root / "labelsTr/instance22_001.nii.gz", source / "train_2/label/001.nii.gz")
    assert json.loads((root / "dataset.json").read_text()) == {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "hemorrhage": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    assert [case.patient for case in index_dataset(root).cases] == ["instance22_001", "instance22_002"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Dataset001_I", "source"]


def test_where_links_are_impossible_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source = write_instance22(tmp_path / "source")
    assert bring("instance22", source, tmp_path / "out").linked == 0
    copy = tmp_path / "out/imagesTr/instance22_001_0000.nii.gz"
    assert copy.read_bytes() == (source / "train_2/data/001.nii.gz").read_bytes()


def test_bhsd_with_patients_and_a_part_held_back(tmp_path: Path):
    names = ("ID_0a_ID_11", "ID_0a_ID_12", "ID_0b_ID_13")
    root = tmp_path / "out"
    built = bring("bhsd", write_bhsd(tmp_path / "source", names, split=names[2:]), root)
    assert (built.labeled, built.held_back, built.linked) == (2, 1, 6)
    assert (root / "patients.csv").read_text() == "case,patient\nID_0a_ID_11,ID_0a\nID_0a_ID_12,ID_0a\n"
    assert np.unique(labels_of(root, names[2], part="labelsTs")).tolist() == [0, 1, 2, 3, 4, 5]
    record = record_of(root)
    assert set(record.cases) == set(names[:2])
    assert record.cases[names[0]].annotates == ("edh", "iph", "ivh", "sah", "sdh")
    assert record.sources[0].license.startswith("disputed")


def test_numbers_are_mapped(tmp_path: Path):
    labels = {"0": "background", "1": "subdural", "2": "Epidural"}
    built = bring("nnunet-v1", write_nnunet_v1(tmp_path / "source", labels=labels, numbers=(1, 2)), tmp_path / "out")
    assert (built.labeled, built.held_back, built.linked, built.written) == (2, 1, 3, 2)
    assert np.array_equal(labels_of(tmp_path / "out", "a"), box(2, 1))
    assert index_dataset(tmp_path / "out").table.names == ("background", "edh", "sdh")


def test_unknown_numbers_are_refused_and_nothing_appears(tmp_path: Path):
    source = write_instance22(tmp_path / "source")
    mask(source / "train_2/label/002.nii.gz", box(1, 2))
    with pytest.raises(LabelError, match=r"002\.nii\.gz: label values \[2\]"):
        bring("instance22", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    mask(source / "train_2/label/002.nii.gz", box(1))
    bring("instance22", source, tmp_path / "out")
    assert len(index_dataset(tmp_path / "out").cases) == 2
    assert not (tmp_path / ".out.importing").exists()


def test_masks_that_lie_elsewhere_are_repaired_on_request_alone(tmp_path: Path):
    source = write_instance22(tmp_path / "source")
    moved = AFFINE_RAS.copy()
    moved[0, 3] = 3.0
    mask(source / "train_2/label/002.nii.gz", box(1), affine=moved)
    with pytest.raises(GeometryError, match=r"002\.nii\.gz(?s:.*)--repair-frames"):
        bring("instance22", source, tmp_path / "out")
    built = bring("instance22", source, tmp_path / "out", repair_frames=True)
    assert (built.linked, built.written) == (3, 1)
    assert "instance22_002: the mask lay elsewhere" in built.record.warnings[0]
    dataset = index_dataset(tmp_path / "out")
    _, labels = read_case(dataset.cases[1], dataset.table)
    assert np.array_equal(labels, box(1))


def test_the_ending_is_that_of_most_scans(tmp_path: Path):
    for name, ending in (("a", ".nii"), ("b", ".nii"), ("c", ".nii.gz")):
        volume(tmp_path / "scans" / f"{name}{ending}", seed=ord(name))
        mask(tmp_path / "masks" / f"{name}.nii.gz", box(255))
    built = bring("pairs", tmp_path / "scans", tmp_path / "out", masks=tmp_path / "masks")
    assert (built.linked, built.written) == (2, 4)
    dataset = index_dataset(tmp_path / "out")
    assert dataset.file_ending == ".nii"
    for case in dataset.cases:
        scan, labels = read_case(case, dataset.table)
        original = next((tmp_path / "scans").glob(f"{case.name}.*"))
        assert np.array_equal(scan.hu, read_scan(original).hu)
        assert np.array_equal(labels, box(1))


def test_plain_files_are_gzipped_where_most_are(tmp_path: Path):
    for name, ending in (("a", ".nii"), ("b", ".nii.gz")):
        volume(tmp_path / "scans" / f"{name}{ending}", seed=ord(name))
        mask(tmp_path / "masks" / f"{name}{ending}", box(1))
    assert bring("pairs", tmp_path / "scans", tmp_path / "out", masks=tmp_path / "masks").linked == 2
    zipped = tmp_path / "out/imagesTr/a_0000.nii.gz"
    assert zipped.read_bytes()[:2] == b"\x1f\x8b"
    assert np.array_equal(read_scan(zipped).hu, read_scan(tmp_path / "scans/a.nii").hu)


def test_pictures_become_pseudo_hu_with_ignored_slices(tmp_path: Path):
    root = tmp_path / "out"
    built = bring("ct-ich", write_ct_ich_pictures(tmp_path / "source"), root)
    assert (built.labeled, built.held_back, built.linked, built.written) == (1, 1, 0, 3)
    assert json.loads((root / "dataset.json").read_text())["labels"] == {"background": 0, "hemorrhage": 1, "ignore": 2}
    labels = labels_of(root, "ctich_077")
    assert [np.unique(plane).tolist() for plane in labels] == [[0], [2], [0, 1], [2], [0]]
    record = record_of(root)
    assert (record.intensity, record.bounds_hu) == ("pseudo-hu", (-900, 2300))
    assert record.sources[0].nominal_spacing_mm == (5.0, 0.4, 0.4)
    notes = record.cases["ctich_077"]
    assert (notes.annotates, notes.ignored_slices, notes.filled_slices) == (("any",), (1, 3), ())
    healthy, bleeding = record.detection["ctich_049"], record.detection["ctich_077"]
    assert (healthy.image, healthy.slices) == ("imagesTs/ctich_049_0000.nii.gz", ((),) * 5)
    assert bleeding.image == "imagesTr/ctich_077_0000.nii.gz"
    assert bleeding.slices == ((), ("edh",), ("edh", "sah"), ("edh",), ())
    scan = read_scan(root / "imagesTs/ctich_049_0000.nii.gz")
    assert scan.grid.spacing_mm == pytest.approx((5, 0.4, 0.4))
    assert scan.grid.canonical_orientation().flips == (False, False, False)
    assert (scan.hu.min(), scan.hu.max() <= 2300) == (-900, True)
    assert index_dataset(root).table.ignore == 2


def test_filled_slices_are_ignored_and_recorded(tmp_path: Path):
    root = tmp_path / "out"
    source = write_ct_ich_pictures(tmp_path / "source", missing=(5, 2))
    with pytest.raises(InputError, match="077: 2, 5"):
        bring("ct-ich", source, root)
    bring("ct-ich", source, root, fill_missing=True)
    notes, seen = record_of(root).cases["ctich_077"], record_of(root).detection["ctich_077"]
    assert (notes.ignored_slices, notes.filled_slices) == ((1, 3), (1,))
    assert (seen.slices, seen.filled_slices) == (((), None, ("edh", "sah"), ("edh",)), (1,))
    assert labels_of(root, "ctich_077")[1].min() == 2


def test_volumes_with_a_table(tmp_path: Path):
    """50's slice 2 bleeds without a mask; 51 has no mask at all."""
    root = tmp_path / "out"
    built = bring("ct-ich", write_ct_ich_volumes(tmp_path / "source"), root)
    assert (built.labeled, built.held_back, built.linked, built.written) == (2, 1, 4, 1)
    assert record_of(root).intensity == "hu"
    assert record_of(root).cases["ctich_050"].ignored_slices == (1,)
    assert record_of(root).cases["ctich_049"].ignored_slices == ()
    labels = labels_of(root, "ctich_050", ".nii")
    assert [np.unique(plane).tolist() for plane in labels] == [[0], [2], [0, 1], [0, 1], [0], [0]]
    assert record_of(root).detection["ctich_051"].slices[0] == ("iph",)


def test_a_table_of_another_length_says_nothing(tmp_path: Path):
    source = write_ct_ich_volumes(tmp_path / "source")
    table = source / "hemorrhage_diagnosis_raw_ct.csv"
    table.write_text(table.read_text() + "50,7,0,0,0,0,0,1,0\n")
    built = bring("ct-ich", source, tmp_path / "out")
    assert "ctich_050: the table has 7 slices, the scan 6" in built.record.warnings[0]
    assert "ctich_050" not in built.record.detection
    assert built.record.cases["ctich_050"].ignored_slices == ()


def test_one_scan_under_two_names_is_one_patient(tmp_path: Path):
    source = write_instance22(tmp_path / "source", cases=3)
    scan = read_scan(source / "train_2/data/001.nii.gz")
    write_scan(source / "train_2/data/003.nii.gz", replace(scan, nifti_header=None))  # other bytes, same voxels
    built = bring("instance22", source, tmp_path / "out")
    (text,) = built.record.warnings
    assert "instance22_001, instance22_003" in text
    patients = [case.patient for case in index_dataset(tmp_path / "out").cases]
    assert patients == ["instance22_001", "instance22_002", "instance22_001"]


def test_a_source_without_masks_serves_detection(tmp_path: Path):
    source = write_ct_ich_pictures(tmp_path / "source")
    (source / "Patients_CT/077/brain/3_HGE_Seg.jpg").unlink()
    built = bring("ct-ich", source, tmp_path / "out")
    assert (built.labeled, built.held_back) == (0, 2)
    assert built.record.warnings[-1] == "no scan has a mask: nothing to train on"


def test_two_data_sets_become_one(tmp_path: Path):
    bring("ct-ich", write_ct_ich_pictures(tmp_path / "pictures"), tmp_path / "a")
    names = ("ID_0a_ID_11", "ID_0b_ID_12")
    bring("bhsd", write_bhsd(tmp_path / "bhsd", names, split=names[1:]), tmp_path / "b")
    request = MergeRequest(first=tmp_path / "a", second=tmp_path / "b")
    with pytest.raises(InputError, match="--to any"):
        merge_stage(request, tmp_path / "out", Silent())
    built = merge_stage(request.model_copy(update={"to_any": True}), tmp_path / "out", Silent())
    # Three files of the pictures' set stay; BHSD's scans are clipped, and its five kinds become one.
    assert (built.labeled, built.held_back, built.linked, built.written) == (2, 2, 3, 4)
    root, record = tmp_path / "out", built.record
    assert index_dataset(root).table.names == ("background", "hemorrhage")
    assert index_dataset(root).table.ignore == 2
    assert np.array_equal(labels_of(root, names[0]), box(1, 1, 1, 1, 1))
    assert np.array_equal(labels_of(root, names[1], part="labelsTs"), box(1, 1, 1, 1, 1))
    assert np.array_equal(labels_of(root, "ctich_077"), labels_of(tmp_path / "a", "ctich_077"))
    assert [source.name for source in record.sources] == ["PhysioNet CT-ICH 1.0 to 1.2", "BHSD"]
    assert {name: notes.source for name, notes in record.cases.items()} == {"ctich_077": 0, names[0]: 1}
    assert record.cases["ctich_077"].ignored_slices == (1, 3)
    assert record.detection == record_of(tmp_path / "a").detection
    assert (record.intensity, record.bounds_hu) == ("pseudo-hu", (-900, 2300))
    original = read_scan(tmp_path / "b/imagesTr" / f"{names[0]}_0000.nii.gz")
    clipped = read_scan(root / "imagesTr" / f"{names[0]}_0000.nii.gz")
    assert np.array_equal(clipped.hu, np.clip(original.hu, -900, 2300))
    assert clipped.grid == original.grid


def test_a_data_set_without_a_record_can_be_merged(tmp_path: Path):
    first = make_dataset(tmp_path / "one")
    second = make_dataset(tmp_path / "two", names=("c", "d"), labels={"background": 0, "hemorrhage": 1, "edema": 2})
    built = merge_stage(MergeRequest(first=first, second=second), tmp_path / "out", Silent())
    assert (built.labeled, built.linked) == (4, 8)
    assert [text.split(":")[0] for text in built.record.warnings] == [
        "the same scan under several names, one patient therefore"
    ] * 2
    assert [case.patient for case in index_dataset(tmp_path / "out").cases] == ["a", "b", "a", "b"]


def test_the_command_tells_what_it_did_and_under_which_terms(tmp_path: Path):
    source = write_ct_ich_pictures(tmp_path / "source", missing=(4,))
    refused = hemoseg("import", "ct-ich", source, tmp_path / "out", code=2)
    assert "--fill-missing" in refused.stderr
    done = hemoseg("import", "ct-ich", source, tmp_path / "out", "--fill-missing")
    assert "1 labeled cases, 1 scans in imagesTs" in done.stdout
    assert "slices of labeled cases: 2 ignored, of which 1 filled" in done.stdout
    assert "intensity: pseudo-HU in [-900, 2300]" in done.stdout
    assert "License: CC BY 4.0" in done.stdout
    assert "Cite: M. Hssayeni" in done.stdout
    assert "import (2)" in done.stderr
    assert "warning: ctich_077: slices 4 are missing, filled" in done.stderr
    bhsd = write_bhsd(tmp_path / "bhsd", ("ID_a_ID_b",))
    hemoseg("import", "bhsd", bhsd, tmp_path / "b")
    merged = hemoseg("merge", tmp_path / "out", tmp_path / "b", tmp_path / "both", "--to", "any")
    assert "disputed" in merged.stdout
    assert (
        "--masks and --label belong" in hemoseg("import", "bhsd", bhsd, tmp_path / "c", "--label", "a=1", code=2).stderr
    )
    assert "is no class" in hemoseg("import", "pairs", bhsd, tmp_path / "c", "--label", "a", code=2).stderr


def test_every_format_has_a_name_on_the_command_line():
    from hemoseg.cli.datasets import Format

    assert sorted(Format) == sorted(FORMATS)


def test_shapes_of_the_layouts_are_what_the_tests_think(tmp_path: Path):
    assert read_scan(volume(tmp_path / "x.nii")).grid.shape == SHAPE


@pytest.mark.data
def test_the_published_pictures(data: Path, tmp_path: Path):
    """What the source is known to have: 38 patients, masks on two slices of one, 11 slices missing in 10 patients."""
    source = data / "ct-ich-v1"
    with pytest.raises(InputError, match="11 slices of 10 patients are missing"):
        bring("ct-ich", source, tmp_path / "out")
    small = tmp_path / "source"
    (small / "Patients_CT").mkdir(parents=True)
    (small / "hemorrhage_diagnosis.csv").symlink_to(source / "hemorrhage_diagnosis.csv")
    for number in ("050", "077"):
        (small / "Patients_CT" / number).symlink_to(source / "Patients_CT" / number)
    built = bring("ct-ich", small, tmp_path / "out", fill_missing=True)
    assert (built.labeled, built.held_back) == (1, 1)
    dataset = index_dataset(tmp_path / "out")
    scan, labels = read_case(dataset.cases[0], dataset.table)
    assert scan.grid.shape == (31, 650, 650)
    assert [int((plane == 1).sum()) for plane in labels if (plane == 1).any()] == [1516, 993]
    assert built.record.cases["ctich_077"].ignored_slices == (4, *range(9, 19))
    assert 55 < scan.hu[labels == 1].mean() < 65
    right, left = scan.hu[19][:, :325], scan.hu[19][:, 325:]
    assert np.median(right[(right > 20) & (right < 45)]) == pytest.approx(
        np.median(left[(left > 20) & (left < 45)]), abs=3
    )
    assert np.argwhere(labels == 1)[:, 2].max() < 325  # the epidural bleed lies on the patient's right
