"""The README's table of results says what the run's files say."""

import json
import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from pages import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("results_table", ROOT / "benchmarks/results_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path) -> Path:
    keys = ("dice", "nsd_1mm", "rvd", "volume_error_ml")
    cases = [
        {"case": "a", "classes": {"hemorrhage": dict.fromkeys(keys, 0.5), "edema": dict.fromkeys(keys)}},
        {"case": "b", "classes": {"hemorrhage": dict.fromkeys(keys, 0.7), "edema": dict.fromkeys(keys)}},
    ]
    some = {"value": 0.6, "low": 0.5, "high": 0.7, "n": 2}
    none = {"value": None, "low": None, "high": None, "n": 0}
    mean = {"hemorrhage": dict.fromkeys(keys, some), "edema": dict.fromkeys(keys, none)}
    settings = {"folds": [0, 1], "iterations": None, "budget_s": 2700.0, "config": "auto", "seed": 3}
    files = {
        "evaluation": {"cases": cases, "mean": mean},
        "fingerprint": {"dataset_name": "cohort"},
        "settings": settings,
    }
    for name, value in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    os.utime(tmp_path / "evaluation.json", (1_700_000_000, 1_700_000_000))  # 2023-11-14
    return tmp_path


def test_the_table_gives_mean_spread_interval_count_and_date(script: ModuleType, run: Path) -> None:
    table = script.results_table(run)
    assert "| hemorrhage | 0.60 ± 0.14 [0.50, 0.70], n = 2 |" in table
    assert "| edema | undefined, n = 0 |" in table
    assert "2 held-out scans of cohort" in table
    assert "Measured on 2023-11-14" in table
    assert "--folds 0,1 --budget 2700s --config auto --seed 3`" in table


def test_the_block_is_replaced_and_nothing_else(script: ModuleType) -> None:
    page = f"above\n{script.BEGIN}\nold\n{script.END}\nbelow\n"
    once = script.replace_block(page, "new")
    assert once == f"above\n{script.BEGIN}\nnew\n{script.END}\nbelow\n"
    assert script.replace_block(once, "new") == once


@pytest.mark.parametrize("page", ["", "{0}", "{1} {0}", "{0} {1} {1}"])
def test_a_page_without_the_block_is_refused(script: ModuleType, page: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        script.replace_block(page.format(script.BEGIN, script.END), "new")


def test_the_readme_has_the_table_of_the_committed_rows(script: ModuleType) -> None:
    page = (ROOT / "README.md").read_text()
    table = script.study_table(ROOT / "benchmarks/results/study")
    assert "80 held-out scans of phe-sich" in table
    assert script.replace_block(page, table) == page, "python benchmarks/results_table.py benchmarks/results/study"


def test_rows_of_the_study_are_one_table(script: ModuleType, tmp_path: Path) -> None:
    """By hand: two folds with one scan each."""
    for fold, dice in enumerate((0.5, 0.75)):
        case = {name: dict.fromkeys(script.METRICS, dice) for name in ("hemorrhage", "any")}
        row = {"row": f"cv-fold-{fold}", "cases": [case], "date": "2026-12-01", "steps": 2400}
        (tmp_path / f"cv-fold-{fold}.json").write_text(json.dumps(row))
    table = script.study_table(tmp_path)
    assert "| hemorrhage | 0.62 ± 0.18 [0.50, 0.75], n = 2 |" in table
    assert "| any |" not in table
    assert "2 held-out scans" in table
    assert "measured on 2026-12-01 by" in table
    with pytest.raises(FileNotFoundError, match="neither"):
        script.study_table(tmp_path / "none")
