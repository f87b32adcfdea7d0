"""Masks on their way to prepared grids and back: phantoms always, every 20th scan of phe-sich where it is."""

import sys
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

OWN = [
    *("headct, scan's own spacing", "headct, 5 x 1.4 x 1.4 mm", "headct, 2.5 x 0.7 x 0.7 mm"),
    *("headct, 7.5 x 0.94 x 0.94 mm", "headct, 6.7 x 0.94 x 0.94 mm", "headct, 8 x 1.1 x 1.1 mm"),
    *("headct, average pooling 2", "paper", "paper, 1 x 2.1 x 2.1 mm", "paper, 1 x 1.7 x 1.7 mm"),
    *("paper, slices of 4.8 mm", "paper, slices of 3 mm"),
]
"""Ways on which volumes are kept; nnU-Net's own label rule does not, and is copied as it is."""
SAME = ("headct, scan's own spacing", "nnunet, scan's own spacing")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark that measures round trips."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    yield import_module("round_trip")
    sys.modules.pop("round_trip", None)


def check(script: ModuleType, found: dict) -> None:
    for name in SAME:
        assert {loss.dice for loss in found[name]} == {1.0}
    for name in OWN:
        assert script.worst_volume_error(found[name]) <= 0.01, name
        assert script.worst_prepared_error(found[name]) <= 0.015, name


def test_simulated_bleeds_keep_their_volume(script: ModuleType) -> None:
    check(script, script.measure(islice(script.phantoms(), 1, 2)))


@pytest.mark.data
@pytest.mark.slow
def test_real_labels_keep_their_volume(script: ModuleType, data: Path) -> None:
    check(script, script.measure(islice(script.real_scans(data), 0, None, 20)))
