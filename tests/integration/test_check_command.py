"""`hemoseg check` as a process."""

import json
import subprocess
import sys

import numpy as np
import pytest

from cohort import command, hemoseg
from nifti_files import head_hu, make_dataset, save


def test_findings_as_table_json_page_and_exit_code(tmp_path):
    root = make_dataset(tmp_path / "set", names=("a", "b"))
    (root / "labelsTr" / "b.nii.gz").write_bytes(b"")
    done = hemoseg("check", root, "--json", "--html", tmp_path / "page.html", code=2)
    value = json.loads(done.stdout)
    assert (value["version"], value["dataset"], value["cases"]) == (1, "set", 2)
    (row,) = [row for row in value["rows"] if row["severity"] == "error"]
    assert (row["code"], row["instances"][0]["cases"]) == ("unreadable", ["b"])
    assert (value["repairs"], value["left"]) == ([], None)
    assert (tmp_path / "page.html").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="file systems of others take text alone")
def test_findings_about_names_that_are_no_text_are_json(tmp_path):
    root = make_dataset(tmp_path / "set", names=("a", "b\udce9"))
    (root / "labelsTr" / "b\udce9.nii.gz").write_bytes(b"")
    line = command("check", root, "--json")
    done = subprocess.run(line, capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    value = json.loads(done.stdout.decode())
    assert ["b\udce9"] in [row["instances"][0]["cases"] for row in value["rows"]]


def test_a_repaired_data_set_is_told_and_decides_the_exit_code(tmp_path):
    root = make_dataset(tmp_path / "set", names=("a", "b"))
    affine = np.diag([-0.0005, -0.0005, 0.005, 1.0])
    save(root / "imagesTr" / "a_0000.nii.gz", head_hu(), affine)
    assert "unit-wrong" in hemoseg("check", root, code=2).stdout
    done = hemoseg("check", root, "--fix", tmp_path / "fixed")
    assert "fixed a, unit-wrong: image: unit and lengths become millimeters" in done.stdout
    assert "errors left: 0" in done.stdout
    hemoseg("check", tmp_path / "fixed")
