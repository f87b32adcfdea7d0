"""Values that options take."""

import errno
import os

import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from hemoseg import artifacts
from hemoseg.cli import make_app
from hemoseg.cli.options import Planner, SlabRange, make_settings, make_splitting, make_steps
from hemoseg.cli.progress import parse_duration, parse_folds
from hemoseg.errors import HemosegError, InputError
from hemoseg.plan import MOST_ITERATIONS
from hemoseg.settings import Settings


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "45", "m", "-5m", "5 m", "0s", "5x", "1e3s", f"{10**400}s"])
def test_no_durations(text):
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


@pytest.mark.parametrize(("text", "folds"), [("0", (0,)), ("1,0,1", (0, 1)), ("all", (0, 1, 2, 3, 4))])
def test_folds(text, folds):
    assert parse_folds(text) == folds


@pytest.mark.parametrize("text", ["", "5", "a", "0-2", "0,", "-1"])
def test_no_folds(text):
    with pytest.raises(typer.BadParameter):
        parse_folds(text)


@pytest.mark.parametrize("spacing_mm", [-1.0, 0.0, 1e-9, 0.0999, 100.1, float("inf"), float("nan")])
def test_slice_spacings_beyond_the_bounds_are_refused_with_them(spacing_mm):
    with pytest.raises(typer.BadParameter, match=r"0\.1 to 100 mm"):
        make_steps(None, None, spacing_mm, None, SlabRange.head)


@pytest.mark.parametrize("spacing_mm", [0.1, 100.0])
def test_the_bounds_themselves_can_be_had(spacing_mm):
    assert make_steps(None, None, spacing_mm, None, SlabRange.head)["slice_spacing_mm"] == spacing_mm


@pytest.mark.parametrize("memory_gb", [0.0, float("inf"), float("nan")])
def test_no_memory(memory_gb):
    with pytest.raises(typer.BadParameter, match="--memory-gb"):
        make_settings(
            budget=None,
            iterations=1,
            epochs=None,
            recipe=None,
            folds="0",
            preset=None,
            planner=Planner.headct,
            steps={},
            splits={},
            memory_gb=memory_gb,
        )


@pytest.mark.parametrize(("option", "most"), [("iterations", 10**9), ("epochs", 4_000_000)])
@pytest.mark.parametrize("command", ["run", "plan"])
def test_trainings_without_an_end_are_refused_before_any_work(command, option, most, tmp_path):
    words = [command, *(["absent"] if command == "run" else []), "--run", str(tmp_path / "run"), f"--{option}"]
    refused = CliRunner().invoke(make_app(command), [*words, str(most + 1)])
    assert refused.exit_code == 2
    assert "less than or equal to" in refused.output
    with pytest.raises(ValidationError, match=f"less than or equal to {most}"):
        Settings(**{option: most + 1})
    assert Settings(**{option: most}).asked_iterations == MOST_ITERATIONS
    assert isinstance(CliRunner().invoke(make_app(command), [*words, str(most)]).exception, HemosegError)
    assert not (tmp_path / "run").exists()


def test_a_file_of_splits_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "splits.json").write_text("[]")

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(artifacts, "sha256_of", refuse)
    with pytest.raises(InputError, match=r"splits\.json: cannot be read: Permission denied"):
        make_splitting(str(tmp_path / "splits.json"), None)


@pytest.mark.parametrize(("command", "extra"), [("segment", "dask"), ("train", "tensorboard")])
def test_help_names_what_to_install(command, extra):
    """Square brackets are markup there: unescaped, `hemoseg[dask]` is printed as `hemoseg`."""
    shown = CliRunner().invoke(make_app(), [command, "--help"], env={"COLUMNS": "200"})
    assert f"hemoseg[{extra}]" in shown.stdout
