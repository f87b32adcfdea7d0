"""Options and fixtures shared by all tests."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# Read when torch is loaded, also in the processes that tests start: its threads would spin while they wait for each
# other, and workers that share the CPUs would then wait for spinning threads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes depends on what else runs.
settings.register_profile("hemoseg", deadline=None)
settings.load_profile("hemoseg")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=None, help="Folder with real scans; without it tests marked data skip.")
    parser.addoption("--system", action="store_true", help="Debian packages are there: run tests marked system.")
    parser.addoption("--update-golden", action="store_true", help="Rewrite tests/golden/*.json.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    data = config.getoption("--data")
    no_data = pytest.mark.skip(reason="no real scans: make test DATA=PATH")
    no_system = pytest.mark.skip(reason="no Debian packages: make test SYSTEM=1")
    for item in items:
        if item.get_closest_marker("data") and not data:
            item.add_marker(no_data)
        if item.get_closest_marker("system") and not config.getoption("--system"):
            item.add_marker(no_system)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, also for the processes that they start: the user's stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data(request: pytest.FixtureRequest) -> Path:
    """The folder with real scans."""
    return Path(request.config.getoption("--data")).resolve()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, new for each test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Path]:
    """Write an nnU-Net v2 raw data set of phantoms, classes hemorrhage and edema, and return its folder."""
    from hemoseg.io import write_mask, write_scan
    from hemoseg.phantom import TABLE, PhantomSpec, make_phantom

    def write(
        root: Path,
        cases: int,
        shape: tuple[int, int, int] = (14, 64, 64),
        spacing_mm: tuple[float, float, float] = (10.0, 3.2, 3.2),
    ) -> Path:
        for seed in range(cases):
            spec = PhantomSpec(
                site="lobar" if seed % 3 == 2 else "deep",
                side="left" if seed % 2 else "right",
                volume_ml=20.0 + 3 * (seed % 5),
                edema_ml=15.0,
                seed=seed,
                shape=shape,
                spacing_mm=spacing_mm,
            )
            phantom = make_phantom(spec)
            write_scan(root / "imagesTr" / f"phantom_{seed:03d}_0000.nii.gz", phantom.volume)
            write_mask(root / "labelsTr" / f"phantom_{seed:03d}.nii.gz", phantom.reference, phantom.volume)
        description = {
            "channel_names": {"0": "CT"},
            "labels": {label: number for number, label in enumerate(TABLE.names)},
            "numTraining": cases,
            "file_ending": ".nii.gz",
        }
        (root / "dataset.json").write_text(json.dumps(description))
        return root

    return write


@pytest.fixture
def phantom_cohort(tmp_path: Path, make_cohort: Callable[..., Path]) -> Callable[..., Path]:
    """The same in the test's own folder."""

    def write(cases: int, *grid: Any, name: str = "Dataset001_Phantom", **options: Any) -> Path:
        return make_cohort(tmp_path / name, cases, *grid, **options)

    return write


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Compare a value with tests/golden/<name>.json, or rewrite it on request."""

    def check(name: str, value: Any) -> None:
        path = Path(__file__).parent / "golden" / f"{name}.json"
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert text == path.read_text(), f"{path.name} changed; if meant, run with --update-golden"

    return check
