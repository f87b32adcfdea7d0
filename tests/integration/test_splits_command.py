"""`splits`, and the options of `plan` that part the cases."""

import json

import pytest

from cohort import hemoseg, write_cohort


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run folder with a fingerprint of ten heads."""
    dataset = write_cohort(tmp_path_factory.mktemp("data") / "Heads", cases=10)
    folder = tmp_path_factory.mktemp("runs") / "measured"
    hemoseg("fingerprint", dataset, "--run", folder)
    return folder


def test_folds_are_shown_and_resumed(measured):
    plan = ("plan", "--run", measured, "--iterations", "1", "--patient-pattern", "^(head[0-9])$")
    hemoseg(*plan)
    rows = hemoseg("splits", "--run", measured).stdout.splitlines()
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows if row.startswith("│")]
    assert [row[:2] for row in cells] == [["0", "2"], ["1", "2"], ["2", "2"], ["3", "2"], ["4", "2"]]
    assert sum(int(row[3]) for row in cells) == 1
    assert "no patient is in two folds" in rows[-1]
    hemoseg(*plan)
    done = hemoseg("plan", "--run", measured, "--iterations", "1", "--splits", "nnunet", code=2)
    assert "splits.rule: stratified → nnunet" in done.stderr
    methods = (measured / "methods.md").read_text()
    assert "folds alike in numbers of cases" in methods


def test_a_leak_ends_with_exit_code_2(measured, tmp_path):
    (tmp_path / "leaky").mkdir()
    for name in ("fingerprint.json", "settings.json", "splits.json"):
        (tmp_path / "leaky" / name).write_bytes((measured / name).read_bytes())
    settings = json.loads((tmp_path / "leaky" / "settings.json").read_text())
    settings["splits"]["patient_pattern"] = "^(head)"
    (tmp_path / "leaky" / "settings.json").write_text(json.dumps(settings))
    assert "patients that it holds out, like head" in hemoseg("splits", "--run", tmp_path / "leaky", code=2).stderr


def test_no_rule_and_no_file(measured):
    done = hemoseg("plan", "--run", measured, "--iterations", "1", "--splits", "none.json", code=2)
    assert "--splits none.json: give stratified" in done.stderr.replace("\n", " ")
