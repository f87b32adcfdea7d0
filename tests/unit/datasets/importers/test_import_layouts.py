"""What each format's module finds in a layout, before any image is opened."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hemoseg.datasets.importers import FORMATS, SourceSet
from hemoseg.datasets.importers.core import ImportRequest, WindowedScan
from hemoseg.datasets.importers.slice_table import read_slice_table
from hemoseg.errors import InputError, SettingsError
from source_sets import (
    box,
    mask,
    picture,
    rows,
    volume,
    write_bhsd,
    write_ct_ich_pictures,
    write_ct_ich_volumes,
    write_instance22,
    write_nnunet_v1,
    write_table,
)

BRITISH = "license".replace("s", "c")
"""How version 1 spells the key."""
NAMES = ("ID_0a_ID_11", "ID_0a_ID_12", "ID_0b_ID_13")


def discover(kind: str, source: Path, **others: Any) -> SourceSet:
    return FORMATS[kind](ImportRequest(format=kind, source=source, **others))


def paths(found: SourceSet) -> dict[str, tuple[str, str | None]]:
    return {case.name: (case.image_path(found.ending), case.label_path(found.ending)) for case in found.cases}


@pytest.mark.parametrize("folder", ["train_2", "train", "."])
def test_instance22(tmp_path: Path, folder: str):
    found = discover("instance22", write_instance22(tmp_path, folder=folder))
    assert found.classes == ("hemorrhage",)
    assert found.sources[0].name == "INSTANCE 2022"
    assert "no redistribution" in found.sources[0].license
    assert paths(found) == {
        f"instance22_{n}": (f"imagesTr/instance22_{n}_0000.nii.gz", f"labelsTr/instance22_{n}.nii.gz")
        for n in ("001", "002")
    }
    assert {case.annotates for case in found.cases} == {("any",)}
    assert {case.numbers for case in found.cases} == {((0, 0), (1, 1))}


def test_bhsd_as_it_unpacks(tmp_path: Path):
    found = discover("bhsd", write_bhsd(tmp_path, NAMES))
    assert found.classes == ("edh", "iph", "ivh", "sah", "sdh")
    assert {case.name: case.patient for case in found.cases} == dict(
        zip(NAMES, ("ID_0a", "ID_0a", "ID_0b"), strict=True)
    )
    assert all(case.is_trained_on for case in found.cases)
    assert found.cases[0].annotates == found.classes
    assert found.cases[0].numbers == tuple((number, number) for number in range(6))
    assert discover("bhsd", tmp_path / "label_192").cases == found.cases


def test_bhsd_with_its_split(tmp_path: Path):
    found = discover("bhsd", write_bhsd(tmp_path, NAMES, split=NAMES[1:2]))
    assert paths(found)[NAMES[1]] == (f"imagesTs/{NAMES[1]}_0000.nii.gz", f"labelsTs/{NAMES[1]}.nii.gz")
    assert paths(found)[NAMES[2]] == (f"imagesTr/{NAMES[2]}_0000.nii.gz", f"labelsTr/{NAMES[2]}.nii.gz")
    assert found.warnings == ("1 patients are in the training and in the test part: ID_0a",)


def test_bhsd_in_the_decathlons_layout(tmp_path: Path):
    for part, name in (("Tr", NAMES[0]), ("Ts", NAMES[2])):
        volume(tmp_path / f"images{part}" / f"{name}.nii.gz")
        mask(tmp_path / f"labels{part}" / f"{name}.nii.gz", box(1))
    found = discover("bhsd", tmp_path)
    assert [case.held_back for case in found.cases] == [False, True]
    assert found.cases[1].scan.mask is not None
    assert found.warnings == ()
    for path in (tmp_path / "labelsTs").iterdir():
        path.unlink()
    (tmp_path / "labelsTs").rmdir()
    assert paths(discover("bhsd", tmp_path))[NAMES[2]] == (f"imagesTs/{NAMES[2]}_0000.nii.gz", None)


def test_bhsds_test_part_is_held_back_where_it_lies_among_the_others(tmp_path: Path):
    for name in NAMES:
        volume(tmp_path / "imagesTr" / f"{name}.nii.gz")
        mask(tmp_path / "labelsTr" / f"{name}.nii.gz", box(1))
    training = [{"image": f"./imagesTr/{name}.nii.gz"} for name in NAMES[:2]]
    (tmp_path / "dataset.json").write_text(
        json.dumps({"training": training, "test": [f"./imagesTs/{NAMES[2]}.nii.gz"]})
    )
    assert [case.held_back for case in discover("bhsd", tmp_path).cases] == [False, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"training": [], "test": 5}',
        json.dumps({"training": [{"image": f"{NAMES[0]}.nii.gz"}], "test": [f"{NAMES[1]}.nii.gz"]}),
        json.dumps({"training": [{"image": f"{n}.nii.gz"} for n in NAMES], "test": [f"{NAMES[1]}.nii.gz"]}),
    ],
)
def test_a_split_that_does_not_fit_is_refused(tmp_path: Path, text: str):
    root = write_bhsd(tmp_path, NAMES)
    (root / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset\.json"):
        discover("bhsd", root)


def test_pairs(tmp_path: Path):
    volume(tmp_path / "scans" / "x.nii.gz")
    mask(tmp_path / "masks" / "x.nii", box(1))
    found = discover("pairs", tmp_path / "scans", masks=tmp_path / "masks", license="own", citation="nobody")
    assert (found.sources[0].name, found.sources[0].license, found.sources[0].citation) == ("scans", "own", "nobody")
    assert found.cases[0].numbers == ((0, 0), (1, 1), (255, 1))
    assert "patients.csv" in found.warnings[0]
    labels = (("sdh", 1), ("epidural", 4))
    found = discover("pairs", tmp_path / "scans", masks=tmp_path / "masks", labels=labels)
    assert found.classes == ("edh", "sdh")
    assert found.cases[0].numbers == ((0, 0), (1, 2), (4, 1))
    assert found.cases[0].annotates == ("edh", "sdh")
    assert found.sources[0].license == "not stated"


def test_pairs_that_are_none_are_refused(tmp_path: Path):
    volume(tmp_path / "scans" / "x.nii.gz")
    mask(tmp_path / "masks" / "y.nii.gz", box(1))
    with pytest.raises(SettingsError, match="--masks"):
        discover("pairs", tmp_path / "scans")
    with pytest.raises(InputError, match="1 files without a partner: x"):
        discover("pairs", tmp_path / "scans", masks=tmp_path / "masks")
    mask(tmp_path / "masks" / "x.nii.gz", box(1))
    with pytest.raises(InputError, match="1 files without a partner: y"):
        discover("pairs", tmp_path / "scans", masks=tmp_path / "masks")
    volume(tmp_path / "scans" / "x.nii")
    with pytest.raises(InputError, match=r"x\.nii and x\.nii\.gz"):
        discover("pairs", tmp_path / "scans", masks=tmp_path / "masks")
    with pytest.raises(InputError, match="no such folder"):
        discover("pairs", tmp_path / "gone", masks=tmp_path / "masks")
    for strange in (("iph", 0), ("Background", 2), ("ignore", 2)):
        with pytest.raises(SettingsError, match="=".join(map(str, strange))):
            discover("pairs", tmp_path / "scans", masks=tmp_path / "masks", labels=(strange,))


def test_an_empty_source_is_refused(tmp_path: Path):
    (tmp_path / "scans").mkdir()
    with pytest.raises(InputError, match="no scans"):
        discover("pairs", tmp_path / "scans", masks=tmp_path / "scans")


def test_nnunet_v1(tmp_path: Path):
    labels = {"0": "background", "1": "subdural", "2": "Epidural"}
    found = discover("nnunet-v1", write_nnunet_v1(tmp_path, labels=labels, reference="A. Author", **{BRITISH: "CC0"}))
    assert found.classes == ("edh", "sdh")
    assert found.cases[0].numbers == ((0, 0), (1, 2), (2, 1))
    assert paths(found)["a"] == ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    assert paths(found)["t"] == ("imagesTs/t_0000.nii.gz", None)
    source = found.sources[0]
    assert (source.name, source.license, source.citation) == ("Bleeds", "CC0", "A. Author")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"modality": {"0": "MRI"}}, "modality"),
        ({"labels": {"0": "edh", "1": "iph"}}, "labels"),
        ({"labels": {"0": "background", "1": "edh", "2": "background"}}, "labels"),
        ({"labels": {"0": "background", "1": "ignore", "2": "skull"}}, "labels"),
        ({"modality": {"0": "CT", "1": "CTA"}}, "modality"),
        ({"labels": {"0": "background"}}, "labels"),
        ({"labels": {"0": "background", "x": "edh"}}, "labels"),
        ({"labels": 5}, "labels"),
        ({"training": []}, "2 files of imagesTr are not in"),
        ({"training": 5}, "no list of training cases"),
        ({"training": [{"image": f"{n}.nii.gz"} for n in "abc"]}, "1 training cases are not in imagesTr: c"),
    ],
)
def test_nnunet_v1_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], found: str):
    root = (
        write_nnunet_v1(tmp_path, labels={"0": "background", "1": "edh"}, **change) if "labels" not in change else None
    )
    if root is None:
        root = write_nnunet_v1(tmp_path, **change)
    with pytest.raises(InputError, match=found):
        discover("nnunet-v1", root)
    (root / "dataset.json").unlink()
    with pytest.raises(InputError, match="no such file"):
        discover("nnunet-v1", root)


def test_two_scans_of_one_case_are_refused(tmp_path: Path):
    root = write_nnunet_v1(tmp_path, labels={"0": "background", "1": "edh"})
    volume(root / "imagesTr" / "a.nii.gz")
    with pytest.raises(InputError, match=r"a\.nii\.gz and a_0000\.nii\.gz|a_0000\.nii\.gz and a\.nii\.gz"):
        discover("nnunet-v1", root)


@pytest.mark.parametrize("name", ["dataset.json", "labelsTr"])
def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    root = write_nnunet_v1(tmp_path, labels={"0": "background", "1": "edh"})

    def refusing(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Path, *rest: Any) -> Any:
            if self == root / name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
            return original(self, *rest)

        return call

    for method in ("read_bytes", "iterdir"):
        monkeypatch.setattr(Path, method, refusing(getattr(Path, method)))
    with pytest.raises(InputError, match=rf"{name}: cannot be read: Permission denied"):
        discover("nnunet-v1", root)


def test_ct_ich_volumes(tmp_path: Path):
    found = discover("ct-ich", write_ct_ich_volumes(tmp_path))
    assert found.ending == ".nii"
    assert found.intensity == "hu"
    assert "Restricted" in found.sources[0].license
    seen = {case.name: case.seen for case in found.cases}
    assert seen["ctich_050"] == ((), ("sdh",), ("sdh",), ("sdh",), (), ())
    assert paths(found)["ctich_049"] == ("imagesTr/ctich_049_0000.nii", "labelsTr/ctich_049.nii")
    assert paths(found)["ctich_051"] == ("imagesTs/ctich_051_0000.nii", None)
    mask(tmp_path / "masks" / "052.nii", box(1))
    with pytest.raises(InputError, match="masks without a scan"):
        discover("ct-ich", tmp_path)


def test_ct_ich_pictures(tmp_path: Path):
    found = discover("ct-ich", write_ct_ich_pictures(tmp_path))
    assert (found.intensity, found.bounds_hu) == ("pseudo-hu", (-900, 2300))
    assert found.sources[0].nominal_spacing_mm == (5.0, 0.4, 0.4)
    assert "CC BY 4.0" in found.sources[0].license
    assert paths(found) == {
        "ctich_049": ("imagesTs/ctich_049_0000.nii.gz", None),
        "ctich_077": ("imagesTr/ctich_077_0000.nii.gz", "labelsTr/ctich_077.nii.gz"),
    }
    assert found.cases[1].seen == ((), ("edh",), ("edh", "sah"), ("edh",), ())
    assert any("nominal" in text for text in found.warnings)


def test_missing_slices_are_refused_or_filled(tmp_path: Path):
    root = write_ct_ich_pictures(tmp_path, missing=(1, 4))
    with pytest.raises(InputError, match=r"2 slices of 1 patients are missing \(077: 1, 4\)(?s:.*)--fill-missing"):
        discover("ct-ich", root)
    found = discover("ct-ich", root, fill_missing=True)
    case = found.cases[1]
    assert isinstance(case.scan, WindowedScan)
    assert [part.brain is None for part in case.scan.slices] == [False, False, True, False]
    assert case.seen == (("edh",), ("edh", "sah"), None, ())
    texts = " ".join(found.warnings)
    assert "ctich_077: slices 4 are missing, filled" in texts
    assert "ctich_077: slices 1 at an end are missing and left out" in texts


def test_a_slice_in_one_window_alone_is_missing(tmp_path: Path):
    root = write_ct_ich_pictures(tmp_path)
    (root / "Patients_CT/049/bone/2.jpg").unlink()
    with pytest.raises(InputError, match="049: 2"):
        discover("ct-ich", root)


def test_a_picture_of_unknown_meaning_is_refused(tmp_path: Path):
    root = write_ct_ich_pictures(tmp_path)
    path = picture(root / "Patients_CT/049/brain/2_other.jpg", box()[0])
    with pytest.raises(InputError, match="unknown meaning"):
        discover("ct-ich", root)
    path.unlink()
    (root / "Patients_CT/notes").mkdir()
    with pytest.raises(InputError, match="no patient"):
        discover("ct-ich", root)


def test_table_and_pictures_of_other_patients_are_told(tmp_path: Path):
    root = write_ct_ich_pictures(tmp_path)
    write_table(root / "hemorrhage_diagnosis.csv", [*rows(77, dict.fromkeys(range(1, 6), ())), *rows(5, {1: ()})])
    found = discover("ct-ich", root)
    assert found.cases[0].seen is None
    assert "the table has no row of 1 patients: 49" in found.warnings
    assert "the table has 1 patients without pictures: 5" in found.warnings


def test_no_ct_ich_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no CT-ICH"):
        discover("ct-ich", tmp_path)


def test_the_table_of_slices(tmp_path: Path):
    lines = ["49,1,0,1,0,0,1,0,0", "49,2.0,0,0,0,0,0,1,0", "49,3,0,0,0,0,0,0,1", "49,5,1,0,0,0,0,1,0", ",,,,,,,,"]
    table = read_slice_table(write_table(tmp_path / "table.csv", lines))
    assert table.of(49, range(1, 6)) == (("iph", "sdh"), (), ("any",), None, ("ivh",))
    assert table.of(50, range(1, 3)) is None
    assert table.warnings == (
        "table.csv calls slice 5 of patient 49 free of hemorrhage and ivh: it counts as hemorrhagic",
    )


@pytest.mark.parametrize(
    "lines",
    [
        ["49,1,0,2,0,0,0,0,0"],
        ["49,x,0,0,0,0,0,1,0"],
        ["49,1.5,0,0,0,0,0,1,0"],
        ["1e999,1,0,0,0,0,0,1,0"],
        ["49,1,0,0,0,0,0,1,0"] * 2,
        ["49"],
    ],
)
def test_another_table_is_refused(tmp_path: Path, lines: list[str]):
    with pytest.raises(InputError, match="another table"):
        read_slice_table(write_table(tmp_path / "table.csv", lines))


def test_a_table_with_other_columns_is_refused(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("patient,slice\n49,1\n")
    with pytest.raises(InputError, match="another table"):
        read_slice_table(path)
