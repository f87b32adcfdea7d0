"""`hemoseg evaluate` and `check` on files."""

import json
import re
import shutil

import pytest

from cohort import hemoseg, write_cohort


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("data") / "Heads", cases=5)


def test_references_against_themselves_are_perfect(dataset, tmp_path):
    labels = dataset / "labelsTr"
    hemoseg("evaluate", labels, labels, "--out", tmp_path / "metrics.json")
    result = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert {"protocol", "cases", "mean", "rules"} < set(result)
    assert len(result["cases"]) == 5
    for name in ("hemorrhage", "edema"):
        assert result["mean"][name]["dice"] == {"value": 1, "low": 1, "high": 1, "n": 4}
        assert result["mean"][name]["nsd_0.42mm"]["value"] == 1
        assert result["mean"][name]["volume_error_ml"] == {"value": 0, "low": 0, "high": 0, "n": 5}
    empty = next(case for case in result["cases"] if case["case"] == "head4")
    assert empty["classes"]["edema"]["dice"] is None
    assert "empty" in empty["classes"]["edema"]["note"]


def test_masks_in_folders_are_found(dataset, tmp_path):
    for path in (dataset / "labelsTr").iterdir():
        target = tmp_path / "out" / path.name.removesuffix(".nii.gz")
        target.mkdir(parents=True)
        (target / "mask.nii.gz").write_bytes(path.read_bytes())
    hemoseg("evaluate", tmp_path / "out", dataset / "labelsTr", "--out", tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text())["mean"]["edema"]["dice"]["value"] == 1


def test_a_missing_prediction_is_named_and_nothing_written(dataset, tmp_path):
    (tmp_path / "some").mkdir()
    done = hemoseg("evaluate", tmp_path / "some", dataset / "labelsTr", "--out", tmp_path / "m.json", code=2)
    assert "head0" in done.stderr
    assert not (tmp_path / "m.json").exists()


def test_every_protocol_with_table_and_page_then_compare_and_rank(dataset, tmp_path):
    labels = dataset / "labelsTr"
    for name, protocol in (("m", "extended"), ("i", "instance2022"), ("s", "nnunet")):
        out = tmp_path / f"{name}.json"
        done = hemoseg("evaluate", labels, labels, "--protocol", protocol, "--out", out, "--csv", "--html")
        assert "Research use only" in done.stdout
        assert out.with_suffix(".csv").read_text().startswith("case,patient,class,")
        assert "Research use only" in out.with_suffix(".html").read_text()
    assert "no difference at all" in hemoseg("compare", tmp_path / "m.json", tmp_path / "m.json").stdout
    out = tmp_path / "places.json"
    hemoseg("rank", tmp_path / "i.json", code=2)
    hemoseg("rank", tmp_path / "i.json", tmp_path / "i.json", "--out", out)
    assert [place["place"] for place in json.loads(out.read_text())["places"]] == [1, 1]
    done = hemoseg("compare", tmp_path / "m.json", tmp_path / "s.json", "--out", tmp_path / "c.json", code=2)
    assert "by the protocol extended" in done.stderr
    assert not (tmp_path / "c.json").exists()


def test_every_protocol_draws_patients_where_they_are_known(dataset, tmp_path):
    """All cases are one patient's, so no interval has a width."""
    for folder in ("labels", "other"):
        shutil.copytree(dataset / "labelsTr", tmp_path / folder)
    shutil.copy(tmp_path / "other" / "head0.nii.gz", tmp_path / "other" / "head1.nii.gz")
    shutil.copy(dataset / "dataset.json", tmp_path)
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (tmp_path / "labels").iterdir())
    (tmp_path / "patients.csv").write_text("case,patient\n" + "".join(f"{case},P\n" for case in cases))
    for protocol in ("extended", "instance2022", "nnunet"):
        out = tmp_path / f"{protocol}.json"
        done = hemoseg("evaluate", tmp_path / "other", tmp_path / "labels", "--protocol", protocol, "--out", out)
        intervals = re.findall(r"\[([\d.]+), ([\d.]+)\]", done.stdout)
        assert intervals, protocol
        assert all(low == high for low, high in intervals), protocol


def test_tolerances_are_chosen(dataset, tmp_path):
    labels = dataset / "labelsTr"
    hemoseg("evaluate", labels, labels, "--tolerances", "0.5,3", "--out", tmp_path / "m.json")
    mean = json.loads((tmp_path / "m.json").read_text())["mean"]["any"]
    assert [name for name in mean if name.startswith("nsd")] == ["nsd_0.5mm", "nsd_3mm"]
    for wrong in (("--tolerances", "1;2"), ("--tolerances", "1", "--protocol", "nnunet")):
        assert "Usage" in hemoseg("evaluate", labels, labels, *wrong, "--out", tmp_path / "w.json", code=2).stderr
    assert (
        "tolerances -1"
        in hemoseg("evaluate", labels, labels, "--tolerances=-1", "--out", tmp_path / "w.json", code=2).stderr
    )


@pytest.mark.parametrize(
    "arguments", [(), ("a",), ("a", "b"), ("a", "b", "--run", "c", "--out", "d"), ("a", "b", "--out", "d")]
)
def test_half_a_question_is_refused(arguments):
    assert "Usage" in hemoseg("evaluate", *arguments, code=2).stderr


def test_a_defect_ends_check_with_code_2(dataset, tmp_path):
    assert "0 errors" in hemoseg("check", dataset).stdout
    broken = write_cohort(tmp_path / "Broken", cases=5)
    (broken / "imagesTr" / "head2_0000.nii.gz").write_bytes(b"torn")
    done = hemoseg("check", broken, code=2)
    assert "head2" in done.stdout
    assert "1 errors" in done.stdout
