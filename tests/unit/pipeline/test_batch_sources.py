"""Which scans are meant by files, folders, patterns and tables."""

from pathlib import Path

import pytest

from hemoseg.errors import InputError
from hemoseg.pipeline.batch.sources import NoScan, Scan, find_scans, take_shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.nii.gz",
        "a.nii",
        "notes.txt",
        ".hidden.nii",
        "deep/c.nii.gz",
        "deep/mask.nii.gz",
        "deep/report.json",
    ):
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "scans"


def names(*sources: Path | str) -> list[str]:
    return [file.name for file in find_scans([str(source) for source in sources]).files]


def test_one_file_is_no_batch_and_more_are() -> None:
    assert not find_scans(["head.nii.gz"]).is_batch
    assert find_scans(["head.nii.gz", "other.nii"]).is_batch
    assert names("z.nii", "a.nii.gz") == ["z", "a"]


def test_a_folder_gives_its_scans_by_name_and_none_of_its_folders(folder: Path) -> None:
    assert names(folder) == ["a", "b"]
    assert find_scans([str(folder)]).is_batch


def test_a_pattern_gives_scans_by_path_but_no_results(folder: Path) -> None:
    assert names(f"{folder}/*") == ["a", "b"]
    assert names(f"{folder}/**/*.nii.gz") == ["b", "c"]
    (folder / "odd[1].nii").touch()
    assert names(folder / "odd[1].nii") == ["odd[1]"]


def test_results_below_the_scans_are_no_scans(folder: Path) -> None:
    """As where `--out` lies in the folder of a pattern, and the command is given again."""
    for name in ("entropy", "disagreement", "probability_1_hemorrhage"):
        (folder / "deep" / f"{name}.nii.gz").touch()
    (folder / "flat").mkdir()
    header = '{"version": 1, "options": {"layout": "flat"}}\n'
    (folder / "flat" / "manifest-1-of-2.jsonl").write_text(f'{header}{{"name": "b"}}\n{{"name": "x"}}\n{{"na')
    for name in ("b.nii.gz", "x.nii", "y.nii.gz"):
        (folder / "flat" / name).touch()
    assert names(f"{folder}/**/*.nii*") == ["a", "b", "c", "x", "y"]
    assert names(folder / "flat") == ["x", "y"]
    (folder / "manifest.jsonl").write_text(header.replace("flat", "folders") + '{"name": "b"}\n')
    assert names(folder) == ["a", "b"]


def test_a_table_gives_paths_as_seen_from_its_folder_and_names(folder: Path) -> None:
    table = folder / "list.csv"
    table.write_text("\ufeffName, Path,ward\nfirst,deep/c.nii.gz,x\n,a.nii,y\n")
    found = find_scans([str(table)])
    assert [(scan.name, scan.path) for scan in found.scans] == [
        ("first", folder / "deep/c.nii.gz"),
        ("a", folder / "a.nii"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "columns without names"),
        ("patient,age\n1,2\n", "columns patient, age"),
        ("path\n", "no rows"),
        ("path,name\n,x\n", "row 2 has no path"),
        ("path,name\na.nii,../x\n", "row 2 has the name '../x'"),
        ("path,name\na.nii,.x\n", "row 2 has the name '.x'"),
        ('path\n"a.nii\n', "no table that can be read"),
    ],
)
def test_tables_that_name_no_scans_are_refused(tmp_path: Path, text: str, found: str) -> None:
    table = tmp_path / "list.csv"
    table.write_text(text)
    with pytest.raises(InputError) as caught:
        find_scans([str(table)])
    assert found in caught.value.found
    assert caught.value.where == table


def test_a_table_may_have_semicolons_as_office_programs_write_them(folder: Path) -> None:
    (folder / "list.csv").write_text("\ufeffPath;Name\r\na.nii.gz;one, first\r\n", encoding="utf-8")
    assert find_scans([str(folder / "list.csv")]).scans == (Scan(path=folder / "a.nii.gz", name="one, first"),)


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(InputError, match="no table that can be read"):
        find_scans([str(tmp_path / "list.csv")])
    with pytest.raises(InputError, match="cannot be read: No such file"):
        find_scans([str(tmp_path / "none.csv")])


@pytest.mark.parametrize("source", ["", "*.nii"])
def test_a_folder_or_pattern_without_scans_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(InputError, match="no scan"):
        find_scans([str(tmp_path / source)])


def test_two_scans_of_one_name_are_named_both(folder: Path) -> None:
    other = folder / "deep" / "A.nii.gz"
    with pytest.raises(InputError, match="two scans have the name A") as caught:
        find_scans([str(folder), str(other)])
    assert str(folder / "a.nii") in caught.value.found
    assert str(other) in caught.value.found
    with pytest.raises(InputError, match="two scans have the name x"):
        find_scans(["x.nii", "x.nii.gz"])


def test_a_file_that_is_no_scan_is_refused_alone_and_told_among_others() -> None:
    with pytest.raises(InputError, match=r"notes\.txt"):
        find_scans(["notes.txt"])
    files = find_scans(["notes.txt", "a.nii"]).files
    assert [type(file) for file in files] == [NoScan, type(files[1])]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_shards_have_every_scan_once_in_order_and_are_alike_in_size(count: int) -> None:
    found = find_scans([f"{number:02}.nii" for number in range(7)])
    shards = [take_shard(found, number, count).scans for number in range(1, count + 1)]
    assert sorted(scan.name for shard in shards for scan in shard) == [scan.name for scan in found.scans]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert all(list(shard) == sorted(shard, key=lambda scan: scan.name) for shard in shards)


def test_a_path_that_leads_nowhere_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_scans([str(tmp_path / "scanz")])
    with pytest.raises(InputError, match="no such file or folder"):
        find_scans([""])
    (told,) = (file for file in find_scans([str(tmp_path / "scanz"), "a.nii"]).files if isinstance(file, NoScan))
    assert told.error.remedy == "check the path"


@pytest.mark.parametrize("names", [("01.dcm",), ("IM0001", "DICOMDIR")])
def test_a_folder_of_dicom_is_told_to_be_converted(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    with pytest.raises(InputError, match="no scan is there, but DICOM") as caught:
        find_scans([str(tmp_path)])
    assert "dcm2niix" in caught.value.remedy


def test_a_name_that_no_file_system_takes_costs_that_scan_alone(tmp_path: Path) -> None:
    long = 300 * "x"
    table = tmp_path / "list.csv"
    table.write_text(f"path\n{long}.nii\na.nii\n")
    first, second = find_scans([str(table)]).files
    assert isinstance(first, NoScan)
    assert "name of 300 bytes" in first.error.found
    assert second.name == "a"
    table.write_text(f"path,name\na.nii,{151 * 'ä'}\n")
    with pytest.raises(InputError, match="row 2 has a name of 302 bytes"):
        find_scans([str(table)])
    with pytest.raises(InputError, match="name of 300 bytes") as caught:
        find_scans([f"{long}.nii"])
    assert "table" in caught.value.remedy
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        find_scans([f"{long}.csv"])


def test_a_file_that_two_words_mean_counts_once(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    twice = [tmp_path / "b.nii.gz", f"{tmp_path}/../{tmp_path.name}/*.nii.gz"]
    assert names(*twice) == ["b", "a"]
    (tmp_path / "list.csv").write_text("path,name\na.nii.gz,first\na.nii.gz,second\na.nii.gz,first\n")
    assert names(tmp_path / "list.csv") == ["first", "second"]
