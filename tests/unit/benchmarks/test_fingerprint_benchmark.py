"""When the benchmark of measuring a data set says that the outputs agree; nothing is timed."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.datasets import Histogram
from hemoseg.planning.intensity import Mixture, mixture_intensity

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield import_module("fingerprint")
    del sys.modules["fingerprint"]


@pytest.fixture
def mixture() -> Mixture:
    """One case, values 0 to 99 as often each: deviation 28.866."""
    return Mixture(cases=(Histogram.of(np.arange(100, dtype=np.int16)),))


def peer(mixture: Mixture, **changes: float) -> dict[str, object]:
    """What the peer would write for one case of 30 x 200 x 176 voxels."""
    found = mixture_intensity(mixture.cases)
    assert found is not None
    return {
        "spacings": [[5.0, 0.94, 0.94]],
        "shapes_after_crop": [[30, 200, 176]],
        "median_relative_size_after_cropping": 1.0,
        "foreground_intensity_properties_per_channel": {"0": found.model_dump() | changes},
    }


def test_bounds_are_five_standard_errors_and_rounding(script, mixture: Mixture) -> None:
    bounds = script.bounds(mixture, samples=1e8)
    # 5 · 28.866 / 10^4 = 0.014433, and 1e-5 of 49.5
    assert bounds["mean"] == pytest.approx((49.5 - 0.014928, 49.5 + 0.014928), abs=1e-5)
    # A uniform distribution of N values: m4 = (N² - 1)(3 N² - 7) / 240, m2 = (N² - 1) / 12
    m2, m4 = 9999 / 12, 9999 * 29993 / 240
    error = 5 * np.sqrt((m4 - m2**2) / (4 * m2 * 1e8)) + 1e-5 * np.sqrt(m2)
    assert bounds["std"] == pytest.approx((np.sqrt(m2) - error, np.sqrt(m2) + error))
    assert bounds["median"] == (49.0, 50.0)  # F(49) is 1/2 but for the error
    assert bounds["percentile_00_5"] == (0.0, 0.0)
    assert (bounds["min"], bounds["max"]) == ((0.0, 0.0), (99.0, 99.0))


def test_what_agrees_and_what_does_not(script, mixture: Mixture) -> None:
    ours = make_fingerprint([case_facts()])

    def found(**changes: float) -> list[str]:
        return [text.split(":")[0] for text in script.differences(ours, mixture, peer(mixture, **changes))]

    assert found() == found(mean=49.51, median=50) == []
    assert found(mean=49.52) == ["mean"]
    assert found(median=51, max=98, min=-1) == ["min", "max", "median"]
    shifted = peer(mixture) | {"spacings": [[5.0, 0.94, 0.9400000000000001]], "shapes_after_crop": [[30, 200, 175]]}
    assert [t.split(":")[0] for t in script.differences(ours, mixture, shifted)] == ["spacings", "shapes_after_crop"]


def test_both_sides_get_the_same_processes_and_data(script, tmp_path: Path) -> None:
    dataset = tmp_path / "raw" / "Dataset012_Standard"
    for part, name in (("imagesTr", "a_0000.nii.gz"), ("labelsTr", "a.nii.gz")):
        (dataset / part).mkdir(parents=True)
        (dataset / part / name).touch()
    sides = script.commands(dataset, tmp_path, 3)
    assert sides["ours"][1:] == ["fingerprint", str(dataset), "--run", str(tmp_path / "ours")]
    assert sides["peer"][1:5] == ["-d", "12", "-np", "3"]
    assert sides["floor"][2:] == ["3", str(dataset / "imagesTr/a_0000.nii.gz"), str(dataset / "labelsTr/a.nii.gz")]
