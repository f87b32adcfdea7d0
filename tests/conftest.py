"""Options and fixtures shared by all tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=None, help="Folder with real scans; without it tests marked data skip.")
    parser.addoption("--system", action="store_true", help="Debian packages are there: run tests marked system.")
    parser.addoption("--update-golden", action="store_true", help="Rewrite tests/golden/*.json.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    data = config.getoption("--data")
    no_data = pytest.mark.skip(reason="no real scans: make test DATA=PATH")
    no_system = pytest.mark.skip(reason="no Debian packages: make test SYSTEM=1")
    for item in items:
        if "data" in item.keywords and not data:
            item.add_marker(no_data)
        if "system" in item.keywords and not config.getoption("--system"):
            item.add_marker(no_system)


@pytest.fixture(scope="session")
def data(request: pytest.FixtureRequest) -> Path:
    """The folder with real scans."""
    return Path(request.config.getoption("--data")).resolve()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, new for each test."""
    return np.random.default_rng(0)


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
