"""Values that options take."""

import pytest
import typer

from hemoseg.cli.progress import parse_duration, parse_folds


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "45", "m", "-5m", "5 m", "0s", "5x", "1e3s"])
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
