"""Masks on their way to prepared grids and back: phantoms always, all of phe-sich where it is."""

import sys
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

OWN = [
    *("headct, scan's own spacing", "headct, 5 x 1.4 x 1.4 mm", "headct, 2.5 x 0.7 x 0.7 mm"),
    *("headct, 7.5 x 0.94 x 0.94 mm", "headct, average pooling 2", "paper"),
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


def test_simulated_bleeds_keep_their_volume(script: ModuleType) -> None:
    check(script, script.measure(islice(script.phantoms(), 1, 2)))


@pytest.mark.data
@pytest.mark.slow
def test_all_real_labels_keep_their_volume(script: ModuleType, data: Path) -> None:
    check(script, script.measure(script.real_scans(data)))
