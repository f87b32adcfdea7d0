"""What a command loads, and how fast help is there."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from hemoseg.cli import COMMANDS, make_app

HEAVY = ("torch", "numpy", "scipy", "nibabel", "matplotlib", "PIL", "pydantic")


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_loads_nothing_heavy():
    assert loaded("import hemoseg, hemoseg.cli") == set()


def test_a_wanted_command_is_loaded_alone():
    script = "import sys; from hemoseg.cli import make_app; make_app('fingerprint')"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; print(*(m for m in sys.modules if m.startswith('hemoseg.cli.')))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hemoseg.cli.runs" in done.stdout.split()
    assert not {"hemoseg.cli.scans", "hemoseg.cli.plan", "hemoseg.cli.nnunet"} & set(done.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_alone_a_command_is_what_it_is_among_all(command: str):
    alone, among = (
        CliRunner().invoke(app, [command, "--help"], prog_name="hemoseg") for app in (make_app(command), make_app())
    )
    assert alone.exit_code == among.exit_code == 0
    assert alone.stdout == among.stdout


def test_an_unknown_word_is_held_against_all_commands():
    shown = CliRunner().invoke(make_app("fingerprnt"), ["fingerprnt"], prog_name="hemoseg")
    assert shown.exit_code == 2
    assert "fingerprint" in shown.output


@pytest.mark.parametrize(
    "module",
    [
        "io",
        "datasets",
        "evaluation",
        "report",
        "preprocess",
        "planning",
        "models",
        "selection",
        "data",
        "phantom",
        "pipeline",
    ],
)
def test_torch_is_loaded_by_networks_alone(module):
    assert "torch" not in loaded(f"import hemoseg.{module}")


def test_measuring_with_a_log_loads_neither_rich_nor_the_plan():
    script = """
import sys
import hemoseg.datasets, hemoseg.pipeline.fingerprint, hemoseg.pipeline.folder, hemoseg.planning.fingerprint
from hemoseg.cli.progress import bars
with bars() as watch:
    watch.begin("fingerprint", 3)
    watch.advance(1, "HEAD_1", total=2)
    watch.say("a line [of] text")
    watch.finish()
print(*(m for m in ("rich", "scipy", "hemoseg.plan.model", "hemoseg.plan.preparation") if m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert done.stderr == "fingerprint (3)\na line [of] text\n"


def test_a_plan_has_all_the_names_that_it_offers():
    import hemoseg.plan

    assert all(getattr(hemoseg.plan, name).__name__ == name for name in ("Plan", "Region", "Intensity", "make_table"))
    assert all(hasattr(hemoseg.plan, name) for name in hemoseg.plan.__all__)
    assert not hasattr(hemoseg.plan, "Decision")
